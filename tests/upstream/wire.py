"""A connection without a network: a transport that a test holds the other end of."""

from __future__ import annotations

import asyncio
import socket

from tidegate.upstream.connection import Connection
from tidegate.upstream.exchange import Straight


class Wire:
    """A transport that a test holds the other end of.

    :param sock: what it says it stands on.
    """

    def __init__(self, sock: socket.socket | None = None) -> None:
        self.sock = sock
        self.protocol: asyncio.Protocol | None = None
        self.queued = 0
        self.sent = b""
        self.closing = False
        self.aborted = False
        self.paused = False

    def write(self, data: bytes) -> None:
        self.sent += data

    def set_protocol(self, protocol: asyncio.Protocol) -> None:
        self.protocol = protocol

    def get_extra_info(self, name: str) -> socket.socket | None:
        return self.sock if name == "socket" else None

    def get_write_buffer_size(self) -> int:
        return self.queued

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        assert not self.paused, "asyncio does not mind; other loops do"
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Held:
    """A connection on a :class:`Wire`, and what its owner is told."""

    def __init__(self, max_head: int = 65536, sock: socket.socket | None = None) -> None:
        self.wire = Wire(sock)
        self.released = 0
        self.closed = 0
        self.connection = Connection(
            name="up", max_head=max_head, release=lambda _: self._release(), closed=lambda _: self._close()
        )
        self.wire.protocol = self.connection
        self.connection.connection_made(self.wire)  # type: ignore[arg-type]

    def _release(self) -> None:
        self.released += 1

    def _close(self) -> None:
        self.closed += 1

    def feed(self, *parts: bytes) -> None:
        """As a loop does: nothing is read from a transport that closes."""
        for part in parts:
            if part and not self.wire.closing:
                assert self.wire.protocol is not None
                self.wire.protocol.data_received(part)

    def lose(self, exc: Exception | None = None) -> None:
        self.wire.closing = True
        assert self.wire.protocol is not None
        self.wire.protocol.connection_lost(exc)


class Shortcut(Straight):
    """Takes every read that is exactly ``known``, which holds ``payload``."""

    def __init__(self, known: bytes, payload: bytes) -> None:
        self.known = known
        self.payload = payload
        self.taken = b""

    def data_received(self, data: bytes) -> None:
        if data == self.known:
            self.taken += self.payload
        else:
            self.usual.data_received(data)
