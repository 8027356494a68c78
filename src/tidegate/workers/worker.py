"""One worker: a gateway of its own, which asks the supervisor about limits and tells it what it counts."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from time import monotonic
from typing import Any, Final

import msgspec
import structlog

from tidegate.errors import LinkLost, Overloaded, TidegateError
from tidegate.server.app import create_app
from tidegate.server.gateway import Gateway
from tidegate.server.options import GatewayOptions
from tidegate.shared.limits import SharedLimits
from tidegate.telemetry.log import configure_logging
from tidegate.telemetry.workers import samples_of
from tidegate.upstream.options import UpstreamOptions
from tidegate.workers.bus import LinkBus
from tidegate.workers.link import Link
from tidegate.workers.server import WorkerServer

__all__ = ["Setup", "work"]

PATIENCE: Final = 5.0
"""Seconds for a decision about a limit. The supervisor does little else, and a worker that decided alone would let in
what another one has let in already."""

SCRAPE: Final = 5.0
"""Seconds for everybody's figures."""

TELL: Final = 2.0
"""Seconds between two times that the supervisor is told what is counted here: what it does not know when a worker is
killed is lost."""

SPARE: Final = 1000
"""It is told less often where that would take more than one part in so many: with twenty models it takes 8 ms."""

Background = Callable[[], AbstractAsyncContextManager[UpstreamOptions]]

_log = structlog.get_logger()


class Setup(msgspec.Struct):
    """What the supervisor says first."""

    options: GatewayOptions
    tag: str
    name: str


async def work(link: int, inherited: Sequence[Sequence[int]], *, background: Sequence[Background] = ()) -> int:
    """Serve until the supervisor says otherwise, or has gone. Returns the exit code.

    :param link: the descriptor of the socket to the supervisor.
    :param inherited: those of the sockets to accept from, a group for each worker.
    :param background: model servers of this worker alone, if the options have none.
    """
    for descriptor in (link, *(each for group in inherited for each in group)):
        os.set_inheritable(descriptor, False)  # what it starts has no use for them
    worker = Worker(inherited, background)
    worker.link = await Link.over(socket.socket(fileno=link), worker.handlers(), worker.lost)
    try:
        await worker.serve(await worker.setup)
    except TidegateError as error:
        worker.link.tell("failed", error.message)
        return 1
    finally:
        await worker.close()
    return 0


class Worker:
    """What the supervisor asks of it, and what it asks the supervisor."""

    link: Link

    def __init__(self, inherited: Sequence[Sequence[int]], background: Sequence[Background]) -> None:
        self._inherited = inherited
        self._background = background
        self.setup: asyncio.Future[Setup] = asyncio.get_running_loop().create_future()
        self._server: WorkerServer | None = None
        self._bus: LinkBus | None = None
        self._telling: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def handlers(self) -> Mapping[str, Callable[[Any], Any]]:
        """By what the supervisor says."""
        return {
            "setup": lambda said: self.setup.set_result(msgspec.msgpack.decode(said, type=Setup)),
            "alive": lambda _: None,
            "listen": self._listen,
            "leave": lambda _: self._serving.leave(),
            "stop": lambda _: self._serving.stop(),
            "samples": lambda _: samples_of(self._gateway.metrics.registry),
            "others": lambda workers: self._known.know(workers),
            "pass": lambda message: self._known.take(message),
        }

    @property
    def _serving(self) -> WorkerServer:
        assert self._server is not None, "nothing is asked before it is ready"
        return self._server

    @property
    def _known(self) -> LinkBus:
        assert self._bus is not None, "nobody is known before it is ready"
        return self._bus

    @property
    def _gateway(self) -> Gateway:
        return self._serving.gateway

    async def _listen(self, places: Sequence[int]) -> None:
        await self._serving.listen(places)

    async def serve(self, setup: Setup) -> None:
        """:raises TidegateError: it cannot be done."""
        options = setup.options
        configure_logging(options.server.log_format, options.server.log_level)
        async with AsyncExitStack() as stack:
            if not options.upstreams:
                started = [await stack.enter_async_context(make()) for make in self._background]
                options = replace(options, upstreams=tuple(started))
            limits = None if options.shared.redis else SharedLimits(options.shared, LinkScript(self.link))
            self._bus = LinkBus(self.link, setup.tag, setup.name)
            app = create_app(options, bus=self._bus, limits=limits)
            gateway: Gateway = app.state.gateway
            gateway.everyone = self._scrape
            await gateway.start()
            self._server = WorkerServer(app, options, inherited=self._inherited, ready=self._ready, leave=self._leave)
            await self._server.serve()
            self.link.tell("samples", samples_of(gateway.metrics.registry))

    def _leave(self) -> None:
        self.link.tell("leaving")

    def _ready(self) -> None:
        if not self.link.tell("ready"):
            self._serving.should_exit = True  # the supervisor went while this one started
        self._telling = asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        pause = TELL
        while True:
            await asyncio.sleep(pause)
            began = monotonic()
            self.link.tell("samples", samples_of(self._gateway.metrics.registry))
            pause = max(TELL, SPARE * (monotonic() - began))

    async def _scrape(self) -> tuple[bytes, str]:
        try:
            mine = samples_of(self._gateway.metrics.registry)
            body, content_type = await self.link.ask("scrape", mine, timeout=SCRAPE)
        except LinkLost as error:
            raise Overloaded(f"The figures of all workers cannot be had. {error.message}", retry_after=1.0) from None
        return body, content_type

    def lost(self) -> None:
        """The supervisor has gone."""
        if not self.setup.done():
            self.setup.set_exception(LinkLost("The supervisor has gone."))
        if self._server is not None and not self._server.should_exit:
            _log.error("worker.supervisor_gone", effect="live streams may end, nobody else is let in")
            task = asyncio.get_running_loop().create_task(self._server.alone())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Say the last, and go."""
        tasks = [*self._tasks, *([] if self._telling is None else [self._telling])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.let_go()
        self.link.close()
        await self.link.closed()


class LinkScript:
    """The way to the supervisor's :class:`tidegate.shared.table.Table`, for :class:`SharedLimits`."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def __call__(self, operation: str, ask: bytes) -> Sequence[int]:
        answer: Sequence[int] = await self._link.ask("limits", [operation, ask], timeout=PATIENCE)
        return answer

    async def close(self) -> None:
        """It is not this one's to close."""
