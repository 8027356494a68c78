"""Running a command's coroutine: on uvloop where there is one, and with Ctrl-C as an ordinary event."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import click

__all__ = ["headers_of", "key_of", "on_interrupt", "run_loop"]

_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")

T = TypeVar("T")


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run it to its end."""
    try:
        import uvloop
    except ModuleNotFoundError:
        return asyncio.run(main)
    return uvloop.run(main)


@contextmanager
def on_interrupt(first: Callable[[], object]) -> Iterator[None]:
    """Call ``first`` on the first Ctrl-C or SIGTERM; a second one ends the program as ever."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)

    def interrupted() -> None:
        restore()
        first()

    def restore() -> None:
        for number in signals:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.default_int_handler)

    for number in signals:
        loop.add_signal_handler(number, interrupted)
    try:
        yield
    finally:
        restore()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def key_of(given: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """The key's reference: as given, else the variables that the SDKs read; empty for none."""
    if given is not None:
        return given
    return next((f"env:{name}" for name in ("LLM_API_KEY", "OPENAI_API_KEY") if environ.get(name)), "")


def headers_of(given: tuple[str, ...]) -> dict[str, str]:
    """``NAME: VALUE`` each.

    :raises click.UsageError: one is not that. It is not repeated: it may hold a key.
    """
    found = {}
    for number, text in enumerate(given, 1):
        name, colon, value = text.partition(":")
        value = value.strip()
        if not colon or not _NAME.fullmatch(name) or not value.isascii() or not value.isprintable():
            raise click.UsageError(f"--header number {number} is not NAME: VALUE")
        found[name.lower()] = value
    return found
