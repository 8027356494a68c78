"""Which HTTP a connection speaks: what TLS has agreed on (ALPN, RFC 7301), or, without TLS, its first bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

__all__ = ["ALPN", "PREFACE", "Negotiation"]

ALPN: Final = ("h2", "http/1.1")
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client begins with that knows (h2c, RFC 9113 §3.3)."""

PATIENCE: Final = 75.0
"""Seconds for the first bytes of a connection of which they decide."""

MakeProtocol = Callable[..., Any]


class Negotiation(asyncio.Protocol):
    """Stands at the connection until it is clear what it speaks, and is out of the way from then on.

    :param http1: makes uvicorn's protocol; both get what uvicorn gives to a protocol.
    :param http2: makes the other one.
    :param h2c: HTTP/2 is spoken without TLS too, to those who begin with it.
    """

    cycle: Final = None
    """As of uvicorn's: nothing has been asked."""

    def __init__(
        self, *, http1: MakeProtocol, http2: MakeProtocol, h2c: bool, server_state: Any, _loop: Any = None, **given: Any
    ) -> None:
        given.update(server_state=server_state, _loop=_loop)
        self._http1, self._http2 = http1, http2
        self._h2c = h2c
        self._given = given
        self._connections: set[Any] = server_state.connections
        self._loop = _loop or asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._first = b""
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self._become(self._http2 if tls.selected_alpn_protocol() == "h2" else self._http1)
        elif not self._h2c:
            self._become(self._http1)
        else:
            self._connections.add(self)
            self._timer = self._loop.call_later(PATIENCE, transport.abort)

    def data_received(self, data: bytes) -> None:
        self._first += data
        if self._first.startswith(PREFACE):
            self._become(self._http2)
        elif not PREFACE.startswith(self._first):
            self._become(self._http1)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    def eof_received(self) -> None:
        """Nothing will be asked."""

    def shutdown(self) -> None:
        """uvicorn's."""
        self.transport.close()

    def _become(self, make: MakeProtocol) -> None:
        self._leave()
        protocol = make(**self._given)
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        if self._first:
            protocol.data_received(self._first)

    def _leave(self) -> None:
        self._connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
