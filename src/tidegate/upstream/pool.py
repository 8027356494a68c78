"""Connections to one upstream: kept for the next request, counted, and never more than allowed.

Deciding is plain code that nothing can interrupt; only connecting and waiting for a place are awaited, and each of the
two gives back what it holds when it is cancelled.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from time import monotonic

from tidegate.upstream.connection import Connection

__all__ = ["Pool"]


class Pool:
    """Last in, first out: the connection used last is the least likely to have gone stale.

    :param connect: makes a connection; raises when it cannot.
    :param limit: connections that are open or being opened.
    :param max_idle: connections kept without use.
    :param expiry: seconds that one is kept.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[Connection]], *, limit: int, max_idle: int, expiry: float
    ) -> None:
        self._connect = connect
        self._limit = limit
        self._max_idle = max_idle
        self._expiry = expiry
        self._places = 0
        self._open: set[Connection] = set()
        self._idle: deque[Connection] = deque()
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False

    @property
    def open(self) -> int:
        """Connections that are open or being opened."""
        return self._places

    @property
    def idle(self) -> int:
        """Connections that wait for a request."""
        return len(self._idle)

    @property
    def waiting(self) -> int:
        """Requests that wait for a place."""
        return len(self._waiters)

    def take_idle(self) -> Connection | None:
        """A kept connection, without waiting."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.lost and not connection.transport.is_closing():
                return connection
        return None

    async def acquire(self, *, fresh: bool = False) -> Connection:
        """A connection that is free: a kept one, else a new one, else the next to become free, in order of asking.

        :param fresh: a new one.
        """
        while True:
            if not fresh:
                kept = self.take_idle()
                if kept is not None:
                    return kept
            if self._places < self._limit:
                self._places += 1
                return await self._new()
            if fresh and self._idle:
                self._idle.popleft().abort()  # its place comes back in the next loop turn
            given = await self._wait()
            if given is None:
                return await self._new()
            if not given.lost and not given.transport.is_closing():
                return given

    async def _wait(self) -> Connection | None:
        """A connection, or ``None``: a place for a new one."""
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():
                given = waiter.result()
                if given is None:
                    self._free_place()
                else:
                    self.release(given)
            elif waiter in self._waiters:  # else somebody who had something to give has passed over it already
                self._waiters.remove(waiter)
            raise

    async def _new(self) -> Connection:
        """With a place that is counted already."""
        try:
            connection = await self._connect()
        except BaseException:
            self._free_place()
            raise
        if connection.lost:
            # Closed before we looked: `closed` has been called without knowing the connection.
            self._free_place()
            raise ConnectionResetError
        if self._closing:
            connection.abort()
        self._open.add(connection)
        return connection

    def _free_place(self) -> None:
        self._places -= 1
        while self._waiters and self._places < self._limit:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._places += 1
                waiter.set_result(None)

    def release(self, connection: Connection) -> None:
        """The connection is free for another request."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        if self._closing or self._max_idle < 1:
            connection.abort()
            return
        connection.idle_since = monotonic()
        self._idle.append(connection)
        if len(self._idle) > self._max_idle:
            self._idle.popleft().abort()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._expiry, self._expire)

    def closed(self, connection: Connection) -> None:
        """The connection has gone."""
        if connection in self._open:
            self._open.remove(connection)
            try:
                self._idle.remove(connection)
            except ValueError:
                pass
            self._free_place()

    def _expire(self) -> None:
        self._timer = None
        oldest_allowed = monotonic() - self._expiry
        while self._idle and self._idle[0].idle_since <= oldest_allowed:
            self._idle.popleft().abort()
        if self._idle:
            pause = self._idle[0].idle_since - oldest_allowed
            self._timer = asyncio.get_running_loop().call_later(pause, self._expire)

    async def close(self) -> None:
        """Abort everything; returns once no connection is left."""
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for connection in list(self._open):
            connection.abort()
        while self._open:  # noqa: ASYNC110 - one loop turn
            await asyncio.sleep(0)
