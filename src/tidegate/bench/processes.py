"""A gateway and a model server as processes of their own, for as long as a block runs."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tidegate.errors import GatewayFault

__all__ = ["gateway", "simulator"]

_READY: Final = re.compile(r" is ready: (http://\S+)")
_PATIENCE: Final = 30.0
_NONE: Final[Mapping[str, str]] = {}


@asynccontextmanager
async def simulator() -> AsyncIterator[str]:
    """``tidegate simulate``; its base URL."""
    async with _command(["simulate", "--port", "0"]) as (url, _):
        yield url


@asynccontextmanager
async def gateway(upstream: str, *, safety: str = "", host: str = "") -> AsyncIterator[tuple[str, int]]:
    """``tidegate serve`` in front of ``upstream``, with its defaults; its URL and process id.

    :param safety: the safety profile of every request.
    :param host: the address that it listens on, for anybody who reaches it; by default its own, which is loopback.
    """
    arguments = ["serve", "--port", "0", "--upstream", upstream, "--log-format", "json"]
    settings = {"TIDEGATE_SAFETY__USE": safety} if safety else {}
    if host:
        arguments += ["--host", host]
        settings["TIDEGATE_AUTH__ANONYMOUS"] = "true"
    async with _command(arguments, settings) as found:
        yield found


@asynccontextmanager
async def _command(arguments: Sequence[str], settings: Mapping[str, str] = _NONE) -> AsyncIterator[tuple[str, int]]:
    """Our own command, told by nothing but its arguments and ``settings``.

    :raises GatewayFault: it did not start.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}
    environ |= {"LLM_API_KEY": "none", **settings}
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "output"
        with said.open("wb") as output:
            # In a folder and a process group of its own: no configuration is found, and Ctrl-C is for us.
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tidegate", *arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                env=environ,
                start_new_session=True,
            )
        try:
            yield await _ready(said, process, arguments[0]), process.pid
        finally:
            await _end(process)


async def _ready(said: Path, process: asyncio.subprocess.Process, name: str) -> str:
    for _ in range(int(_PATIENCE / 0.05)):
        found = _READY.search(await asyncio.to_thread(said.read_text, errors="replace"))
        if found:
            return found[1]
        if process.returncode is not None:
            break
        await asyncio.sleep(0.05)
    raise GatewayFault(f"tidegate {name} did not start.")


async def _end(process: asyncio.subprocess.Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        process.send_signal(number)
        try:
            async with asyncio.timeout(5.0):
                await process.wait()
        except TimeoutError:
            continue
