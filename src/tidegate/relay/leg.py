"""A stream's way to the upstream, one try after another: being connected, asked, or slept through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from tidegate.errors import TidegateError
from tidegate.upstream.exchange import Exchange, Straight

__all__ = ["Leg", "Told", "Tried", "resolve"]

LINGER: Final = 2.0
"""After the end marker: how long the connection may take to finish its body and go back to the pool."""

Told = Callable[[TidegateError | None], None]
"""Told how a try ended: the failure that it met before its first token, or ``None`` once the stream has ended."""


class Tried(NamedTuple):
    """A try that failed before its first token, and was followed by another. Seconds since the request came."""

    upstream: str
    model: str
    started: float
    ended: float
    error: TidegateError


class Leg:
    """At most one of a connection that is being made and an exchange; and who is told the outcome of the try."""

    __slots__ = ("_connecting", "_tell", "exchange")

    def __init__(self) -> None:
        self._connecting: asyncio.Task[Exchange] | None = None
        self._tell: Told | None = None
        self.exchange: Exchange | None = None

    def begin(self, tell: Told) -> None:
        """A try begins; ``tell`` is told once, by :meth:`wake`."""
        self._tell = tell

    def sleep(self, seconds: float) -> asyncio.Future[TidegateError | None]:
        """A back-off: done after ``seconds``, or as soon as somebody wakes it."""
        loop = asyncio.get_running_loop()
        wake: asyncio.Future[TidegateError | None] = loop.create_future()
        handle = loop.call_later(seconds, resolve, wake, None)
        wake.add_done_callback(lambda _: handle.cancel())
        self.begin(partial(resolve, wake))
        return wake

    def wake(self, error: TidegateError | None) -> None:
        """Tell whoever waits, once."""
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(error)

    def connecting(self, task: asyncio.Task[Exchange], done: Callable[[asyncio.Task[Exchange]], None]) -> None:
        """The connection is being made; ``done`` is told, also when that was cancelled."""
        self._connecting = task
        task.add_done_callback(done)

    def connected(self) -> None:
        """It is no longer being made."""
        self._connecting = None

    def pause(self) -> None:
        """Read no further."""
        if self.exchange is not None:
            self.exchange.pause()

    def resume(self) -> None:
        """Read on."""
        if self.exchange is not None:
            self.exchange.resume()

    def go_straight(self, straight: Straight | None) -> None:
        """See :meth:`tidegate.upstream.exchange.Exchange.go_straight`."""
        if self.exchange is not None:
            self.exchange.go_straight(straight)

    def linger(self) -> None:
        """The answer is whole: nothing more is listened to, and the connection may finish its body."""
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.drain(LINGER)

    def close(self) -> None:
        """Whatever is open towards the upstream is closed in this loop turn."""
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.abort()
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()


def resolve(wake: asyncio.Future[TidegateError | None], error: TidegateError | None) -> None:
    """Tell a future, if nobody has told it yet."""
    if not wake.done():
        wake.set_result(error)
