"""``tidegate simulate``: a model server that follows a script.

Its flags are the fields of the simulator's own options: a new one there is a new flag here.
"""

from __future__ import annotations

import asyncio
import inspect
import signal
import types
from collections.abc import Callable, Coroutine
from typing import Any, Union, get_args, get_origin

import click

from tidegate.cli.listening import cannot_listen, url_of
from tidegate.config.example import field_docs
from tidegate.config.schema import Key, keys_of
from tidegate.simulator.options import SimulatorOptions

__all__ = ["simulate"]

_PLAIN = (bool, int, float, str)
_OURS = ("host", "port")


def _with_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Adds a flag for each option that is one plain value."""
    docs = field_docs(SimulatorOptions)
    for key in reversed(list(keys_of(SimulatorOptions).values())):
        kind = _kind(key)
        if kind is not None and key.name not in _OURS:
            name = key.name.replace("_", "-")
            flag = f"--{name}/--no-{name}" if kind is bool else f"--{name}"
            text = docs.get(key.attribute, "").replace("``", "")
            add = click.option(
                flag, key.attribute, type=kind, default=key.default, show_default=key.default is not None, help=text
            )
            command = add(command)
    return command


def _kind(key: Key) -> type | None:
    hint = key.hint
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(arg for arg in get_args(hint) if arg is not types.NoneType)
    return hint if hint in _PLAIN else None


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where to listen.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--list", "listing", is_flag=True, help="Print the models and faults that can be asked for, and stop.")
@_with_flags
def simulate(host: str, port: int, listing: bool, **script: Any) -> None:
    """Run an OpenAI-compatible model server that follows a script, until Ctrl-C.

    It answers at a set pace, and fails in a set way when the model's name says so: for demonstrations, tests and
    benchmarks.

    \b
      tidegate simulate --port 8000                    then: tidegate serve --upstream http://127.0.0.1:8000/v1
      tidegate simulate --ttft 0.5 --tps 50            half a second of thought, then 50 tokens a second
      tidegate simulate --list                         every fault by its model name
    """
    if listing:
        click.echo(_listing())
        return
    from tidegate.simulator.server import Simulator

    _run(_serve(Simulator(SimulatorOptions(**script)), host, port))


def _listing() -> str:
    from tidegate.simulator.faults import TABLE

    width = max(map(len, TABLE), default=0)
    return "\n".join(f"{name:<{width}}  {_first_line(fault)}".rstrip() for name, fault in TABLE.items())


def _first_line(fault: object) -> str:
    text = fault if isinstance(fault, str) else inspect.getdoc(fault) or ""
    return text.partition("\n")[0]


def _run(main: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ModuleNotFoundError:
        asyncio.run(main)
    else:
        uvloop.run(main)


async def _serve(simulator: Any, host: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await simulator.start(host, port)
    except OSError as error:
        raise cannot_listen(error, host, port) from None
    try:
        url = url_of(host, simulator.port)
        click.echo(f"The simulated model server is ready: {url}/v1\n\n  tidegate serve --upstream {url}/v1\n")
        await stop.wait()
    finally:
        stats = simulator.stats()
        await simulator.close()
    click.echo(f"{stats['started']} generations: {stats['completed']} completed, {stats['aborted']} aborted", err=True)
