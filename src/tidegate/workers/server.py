"""The server of one worker: it accepts from sockets that it inherited, and leaves without failing anybody.

A worker that is replaced stops accepting; what is in a socket's queue waits for the others. Every further answer on a
kept connection says ``Connection: close``, so that the client's next request goes elsewhere; an idle connection is
closed once it has been idle for :data:`IDLE`. Live streams get ``drain_timeout``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tidegate.server.app import GatewayApp
from tidegate.server.options import GatewayOptions, ServerOptions
from tidegate.server.run import BACKLOG, GatewayServer, on_signals

__all__ = ["IDLE", "WorkerServer"]

IDLE: Final = 5.0
"""Seconds that a connection must have been idle before a worker that leaves closes it: a request that was on its way
when nobody expected the close would fail."""

POLL: Final = 0.1

_log = structlog.get_logger()


class WorkerServer(GatewayServer):
    """:param inherited: descriptors of the sockets, a group for each worker.
    :param ready: called once requests can be answered.
    :param leave: called when somebody wants this one worker to go (SIGTERM).
    """

    def __init__(
        self,
        app: GatewayApp,
        options: GatewayOptions,
        *,
        inherited: Sequence[Sequence[int]],
        ready: Callable[[], None],
        leave: Callable[[], None],
    ) -> None:
        super().__init__(app, options)
        self._inherited = inherited
        self._ready = ready
        self._leave = leave
        self._listening: dict[int, list[asyncio.Server]] = {}
        self._changing = asyncio.Lock()
        self._leaving: asyncio.Task[None] | None = None

    def http1(self, options: ServerOptions) -> type[HttpToolsProtocol]:
        self._http1: Any = type("WorkerProtocol", (_Leaving, super().http1(options)), {})
        made: type[HttpToolsProtocol] = self._http1
        return made

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The supervisor's word counts; SIGTERM asks for this one worker to be replaced."""
        with on_signals({signal.SIGTERM: self._leave, signal.SIGINT: _nothing, signal.SIGHUP: _nothing}):
            yield

    async def listen(self, places: Sequence[int]) -> None:
        """Accept from these groups of sockets, and from no others."""
        async with self._changing:
            for place in [place for place in self._listening if place not in places]:
                for server in self._listening.pop(place):
                    server.close()
                    self.servers.remove(server)
            for place in places:
                if place not in self._listening and self._inherited:
                    self._listening[place] = [await self._accepting(each) for each in self._inherited[place]]
                    self.servers += self._listening[place]

    async def _accepting(self, descriptor: int) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        sock = socket.socket(fileno=socket.dup(descriptor))
        return await loop.create_server(self._connection, sock=sock, backlog=BACKLOG, ssl=self.config.ssl)

    def _connection(self) -> asyncio.Protocol:
        make: Any = self.config.http_protocol_class
        made: asyncio.Protocol = make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        return made

    def leave(self) -> None:
        """Others have taken over: finish what is here, then end."""
        if self._leaving is None:
            _log.info("worker.leaving", live=len(self.gateway.relay.registry), timeout=self._drain_timeout)
            self._leaving = asyncio.get_running_loop().create_task(self._finish())

    async def let_go(self) -> None:
        """Accept from nothing any more, whatever is said later."""
        await self.listen(())
        inherited, self._inherited = self._inherited, ()
        for descriptor in (each for group in inherited for each in group):
            os.close(descriptor)  # a socket that nobody accepts from would still let connections wait

    async def _finish(self) -> None:
        await self.let_go()
        self._http1.leaving = self.gateway.leaving = True
        await self._connections_gone(asyncio.get_running_loop().time() + self._drain_timeout)
        late = await self.gateway.relay.drain(0)
        if late:
            _log.warning("server.drain_timeout", ended=late)
        self.should_exit = True

    async def _connections_gone(self, deadline: float) -> None:
        clock, connections = asyncio.get_running_loop().time, cast(set[Any], self.server_state.connections)
        idle: dict[Any, float] = {}
        while connections and clock() < deadline and not self.should_exit:
            now = clock()
            for connection in list(connections):
                if not hasattr(connection, "cycle"):
                    # HTTP/2 has a word for it, so that what is on its way is asked again elsewhere. Streams would go
                    # on behind it, but not all clients read them then (h2's do not).
                    if connection.idle:
                        connection.shutdown()
                    continue
                cycle = connection.cycle
                if cycle is not None and not cycle.response_complete:
                    idle.pop(connection, None)
                elif now - idle.setdefault(connection, now) >= IDLE:
                    connection.shutdown()
            await asyncio.sleep(POLL)

    async def alone(self) -> None:
        """The supervisor has gone: nobody is accepted any more, live streams get their time."""
        await self.let_go()
        if not self.should_exit and self._draining is None:
            self.stop()


class _Leaving:
    """In front of a protocol of uvicorn's: once the worker leaves, no connection is kept after its next answer."""

    leaving = False
    cycle: Any

    def on_headers_complete(self) -> None:
        super().on_headers_complete()  # type: ignore[misc] # uvicorn's, behind this one
        if self.leaving:
            self.cycle.keep_alive = False  # uvicorn and FastDownstream then say so in the head


def _nothing() -> None:
    """A signal that is the supervisor's business."""
