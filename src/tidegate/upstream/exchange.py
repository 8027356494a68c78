"""One request on one connection, as the relay sees it: who is told what, and how it is ended."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tidegate.errors import UpstreamFault

if TYPE_CHECKING:
    from tidegate.upstream.connection import Connection

__all__ = ["Exchange", "ResponseHead", "Sink", "Straight"]


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """A final response head. Names in lower case, values without surrounding white space, in their order."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]

    def get(self, name: bytes) -> bytes | None:
        """The first value of that name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


class Sink(Protocol):
    """Told synchronously, on the loop. Exactly one of ``on_end`` and ``on_lost`` comes, and nothing after it."""

    def on_head(self, head: ResponseHead) -> None:
        """The final head (informational ones are skipped)."""

    def on_data(self, data: bytes, framed: bytes | None) -> None:
        """Body bytes of one read, never empty.

        :param framed: the read itself, when it was exactly whole chunks of chunked framing that may pass on as they
            came; else ``None``.
        """

    def on_end(self) -> None:
        """The body is whole as far as HTTP can tell. The connection has been given back already."""

    def on_lost(self, error: UpstreamFault) -> None:
        """The exchange failed."""


class Straight(asyncio.Protocol):
    """Takes the reads between two chunks straight from the transport, with nobody in between.

    ``data_received`` gets each read as it came from the socket, and hands to ``usual`` what it does not take.
    """

    __slots__ = ("usual",)

    usual: asyncio.Protocol
    """The connection; set by it."""

    def eof_received(self) -> bool | None:
        return self.usual.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.usual.connection_lost(exc)


class Exchange:
    """A handle that is safe to keep: once the exchange is over, every method does nothing."""

    __slots__ = ("_connection", "reused")

    def __init__(self, connection: Connection, *, reused: bool) -> None:
        self._connection: Connection | None = connection
        self.reused = reused
        """The connection had carried another exchange before."""

    def pause(self) -> None:
        """Read no further."""
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        """Read on."""
        if self._connection is not None:
            self._connection.resume()

    def go_straight(self, straight: Straight | None) -> None:
        """From now on give each read between two chunks to ``straight``. ``None`` ends that."""
        if self._connection is not None:
            self._connection.go_straight(straight)

    def abort(self) -> None:
        """Close the connection in this loop turn; the sink hears nothing more."""
        connection = self._connection
        if connection is not None:
            connection.abort()

    def drain(self, limit: float) -> None:
        """Forget the sink; read on for ``limit`` seconds at most so that the connection can be used again."""
        connection = self._connection
        if connection is not None:
            connection.drain(limit)

    def over(self) -> None:
        """The connection is no longer ours."""
        self._connection = None
