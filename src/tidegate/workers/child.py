"""One worker, as the supervisor sees it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Final

import msgspec
import structlog

from tidegate.errors import ConfigError, GatewayFault, LinkLost, NoAnswer
from tidegate.server.options import GatewayOptions
from tidegate.server.run import GOODBYE
from tidegate.workers.link import Link
from tidegate.workers.worker import Setup

__all__ = ["Child", "how"]

START: Final = 60.0
"""Seconds until a worker must be ready. It takes about one; a machine that just boots may take ten."""

LAST_WORDS: Final = 2.0
"""Seconds for what a worker said last, once it has ended."""

LATE: Final = 10.0
"""Seconds beyond its drain after which a worker that should be gone is killed."""

LOOK: Final = 10.0
"""Seconds between two looks whether a worker answers."""

STILL: Final = 60.0
"""Seconds without an answer after which it is killed, and another one started."""

STDERR: Final = 2

_log = structlog.get_logger()


class Child:
    """:param number: its place among the workers, from 0.
    :param options: its own share.
    """

    def __init__(self, number: int, options: GatewayOptions) -> None:
        self.number = number
        self.options = options
        self.tag = os.urandom(4).hex()
        self.name = f"worker {number + 1}"
        self.processes: set[str] = set()
        """The names under which it has asked about limits."""
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.serving_since: float | None = None
        self.told_to_go = False
        self._process: Process | None = None
        self._link: Link | None = None
        self._killing: asyncio.TimerHandle | None = None
        self._looking: asyncio.Task[None] | None = None

    @property
    def link(self) -> Link:
        assert self._link is not None, "asked once it has started"
        return self._link

    @property
    def pid(self) -> int:
        return 0 if self._process is None else self._process.pid

    async def start(
        self,
        program: Sequence[str],
        groups: Sequence[Sequence[socket.socket]],
        handlers: Mapping[str, Callable[[Any], Any]],
    ) -> None:
        """:param program: to which the link's descriptor is added, and those of each group of sockets.
        :raises OSError: no process can be started.
        """
        own, other = socket.socketpair()
        descriptors = [[sock.fileno() for sock in group] for group in groups]
        try:
            self._process = await asyncio.create_subprocess_exec(
                *program,
                str(other.fileno()),
                *(",".join(map(str, group)) for group in descriptors),
                stdin=DEVNULL,
                stdout=STDERR,
                pass_fds=(other.fileno(), *(each for group in descriptors for each in group)),
                start_new_session=True,  # a Ctrl-C at the terminal is for the supervisor
            )
            self._link = await Link.over(own, handlers, _nothing)
        except BaseException:
            own.close()
            self.kill()
            raise
        finally:
            other.close()
        self._link.tell("setup", msgspec.msgpack.encode(Setup(self.options, self.tag, self.name)))

    def is_ready(self, _: object) -> None:
        """It can serve."""
        if not self.ready.done():
            self.ready.set_result(None)

    def failed(self, message: str) -> None:
        """It cannot serve, for that reason."""
        if not self.ready.done():
            self.ready.set_exception(ConfigError(message))

    async def wait_ready(self) -> None:
        """:raises GatewayFault: it cannot serve."""
        try:
            async with asyncio.timeout(START):
                await asyncio.shield(self.ready)
        except TimeoutError:
            raise GatewayFault(f"A worker was not ready within {START:g} s.") from None

    async def ended(self) -> int:
        """Its exit code, negative for a signal, once it has ended."""
        assert self._process is not None
        code = await self._process.wait()
        for waiting in (self._killing, self._looking):
            if waiting is not None:
                waiting.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS):
                await self.link.closed()
        self.link.close()
        if not self.ready.done():
            self.ready.set_exception(GatewayFault(f"A worker ended while it started: {how(code)}."))
        self.ready.exception()  # whoever waits for it hears of it; nobody may
        return code

    def go(self, word: str) -> None:
        """``leave``: others have taken over. ``stop``: all end; once more, at once. One that is not ready is killed."""
        self.told_to_go = True
        if self.serving_since is None:
            self.kill()
            return
        self.link.tell(word)
        if self._killing is None:
            server = self.options.server
            patience = server.drain_delay + server.drain_timeout + GOODBYE + LATE
            self._killing = asyncio.get_running_loop().call_later(patience, self._too_late)

    def _too_late(self) -> None:
        _log.error("workers.killed", worker=self.number + 1, pid=self.pid, why="it did not end in time")
        self.kill()

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    def serves(self) -> None:
        """It takes streams from now on."""
        self.serving_since = monotonic()
        self._looking = asyncio.get_running_loop().create_task(self._look_after())

    async def _look_after(self) -> None:
        """One whose event loop stands still is as good as dead."""
        while True:
            await asyncio.sleep(LOOK)
            try:
                await self.link.ask("alive", timeout=STILL)
            except NoAnswer:
                _log.error(
                    "workers.killed", worker=self.number + 1, pid=self.pid, why=f"it stood still for {STILL:g} s"
                )
                self.kill()
                return
            except LinkLost:
                return  # it is on its way out


def how(code: int) -> str:
    """How a process ended."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _nothing() -> None:
    """The end of the link is the end of the process, which is waited for."""
