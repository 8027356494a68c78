"""cli/running.py: the first Ctrl-C is an event, the second one is Ctrl-C."""

from __future__ import annotations

import asyncio
import builtins
import os
import signal
from typing import Any

import click
import pytest

from tidegate.cli.running import headers_of, key_of, on_interrupt, run_loop


def test_the_first_interrupt_is_told_and_the_second_interrupts() -> None:
    async def case() -> None:
        told = asyncio.Event()
        with on_interrupt(told.set):
            os.kill(os.getpid(), signal.SIGINT)
            await told.wait()
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(case())


def test_afterwards_signals_are_as_before() -> None:
    async def case() -> None:
        with on_interrupt(lambda: None):
            pass
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    asyncio.run(case())


async def loop_name() -> str:
    return type(asyncio.get_running_loop()).__module__


def test_uvloop_is_used_when_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_loop(loop_name()) == "uvloop"
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name == "uvloop":
            raise ModuleNotFoundError(name=name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    assert run_loop(loop_name()).startswith("asyncio")


def test_a_key_is_a_reference_as_given_or_from_the_usual_variables() -> None:
    assert key_of("file:/x", {"OPENAI_API_KEY": "k"}) == "file:/x"
    assert key_of(None, {"OPENAI_API_KEY": "k"}) == "env:OPENAI_API_KEY"
    assert key_of(None, {"OPENAI_API_KEY": "k", "LLM_API_KEY": "l"}) == "env:LLM_API_KEY"
    assert key_of(None, {}) == ""


def test_headers_are_name_and_value_and_a_bad_one_is_not_repeated() -> None:
    assert headers_of(("X-A: b: c", "d:e")) == {"x-a": "b: c", "d": "e"}
    for bad in ("secret", "a b: secret", ": secret", "x: sec\r\nret", "x: s\u00e9cret"):
        with pytest.raises(click.UsageError, match="--header number 1 is not NAME: VALUE") as caught:
            headers_of((bad,))
        assert "secret" not in str(caught.value)
