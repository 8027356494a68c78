"""A token as one write: the reader's socket, handed to the relay by a small subclass of uvicorn's HTTP protocol.

uvicorn still parses the request and keeps the connection alive. The answer goes straight to the socket: the event
loop's own queue costs more than the system call, so the socket's ``write`` is tried first, while nothing is queued.

This leans on uvicorn's internals (:data:`NEEDED`). :func:`protocol_class` looks whether they are where they were; when
they have moved, or the connection is not a plain one, everything runs over plain ASGI ``send`` instead.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import structlog
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tidegate.relay.direct import Direct
from tidegate.relay.downstream import BODILESS, Reader
from tidegate.server.at_once import EXTENSION, AtOnce, Awaited, CoroutineSend, Later, ran

__all__ = ["NEEDED", "DirectConnection", "FastDownstream", "FastProtocol", "protocol_class"]

NEEDED: Final[dict[type, tuple[str, ...]]] = {
    HttpToolsProtocol: (
        *("connection_made", "connection_lost", "data_received", "pause_writing", "resume_writing"),
        "on_headers_complete",
        "_unset_keepalive_if_required",
    ),
    RequestResponseCycle: ("send", "receive", "run_asgi"),
}
"""Methods that are overridden or called."""

NEEDED_ON_CYCLE: Final = (
    "body",
    "default_headers",
    "disconnected",
    "flow",
    "keep_alive",
    "message_event",
    "more_body",
    "on_response",
    "response_complete",
    "response_started",
    "scope",
    "transport",
    "waiting_for_100_continue",
)
NEEDED_ON_PROTOCOL: Final = ("client", "connections", "cycle", "flow", "loop", "scheme", "scope", "server", "transport")

MAX_UNSENT: Final = 65536
"""Bytes that the system takes for a reader beyond what is on its way to him (tcp(7), ``TCP_NOTSENT_LOWAT``): without a
limit it takes megabytes for one who does not read, and backpressure begins behind them."""

_NOTSENT_LOWAT: Final[int | None] = getattr(socket, "TCP_NOTSENT_LOWAT", None)

_PHRASES: Final = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}

_log = structlog.get_logger()


class FastProtocol(HttpToolsProtocol):
    """uvicorn's protocol, and somebody to tell when the reader stalls, catches up or leaves.

    A chat request that is there as a whole when its head is begins its stream in the same callback, without a task.
    """

    _fast: FastDownstream | None = None
    _socket: Direct | None = None
    _reading = False
    _held: tuple[Any, Any] | None = None
    """A request whose head is there, with the application that it is for, until what came with it has been read."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        own, peer = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        tls = transport.get_extra_info("sslcontext") is not None
        if tls or not isinstance(own, tuple) or not isinstance(peer, tuple):
            super().connection_made(transport)
            return
        # What uvicorn does, with two questions to the socket in place of seven.
        self.connections.add(self)
        self.transport = transport
        self.flow = FlowControl(transport)
        self.server, self.client, self.scheme = own[:2], peer[:2], "http"
        self._socket = _socket_of(transport)

    def data_received(self, data: bytes) -> None:
        self._reading = True
        super().data_received(data)
        self._reading = False
        if self._held is not None:
            (cycle, app), self._held = self._held, None
            self._begin(cycle, app)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self._held is None:  # uvicorn has made a task, which starts in the next loop turn
            self._extend(self.cycle)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        if self._reading and self._held is None and isinstance(getattr(app, "direct", None), Mapping):
            self._held = cycle, app
        else:
            super()._start_asgi_task(cycle, app)

    def _begin(self, cycle: Any, app: Any) -> None:
        scope = cycle.scope
        endpoint: AtOnce | None = app.direct.get(scope["path"]) if scope["method"] == "POST" else None
        connection = DirectConnection(self, cycle)
        if endpoint is not None and connection.usable() and endpoint.ready(scope, connection):
            left = endpoint.at_once(scope, connection)
            if left is None:
                return
            if left is not Later.LATER:
                app = left
        self._extend(cycle)
        super()._start_asgi_task(cycle, app)

    def _extend(self, cycle: Any) -> None:
        """Let the application know what connection its request came on."""
        scope: Any = cycle.scope
        if scope.get("method") == "POST":
            scope.setdefault("extensions", {})[EXTENSION] = DirectConnection(self, cycle)

    def connection_lost(self, exc: Exception | None) -> None:
        fast, self._fast = self._fast, None
        if fast is not None:
            fast.lost()
        super().connection_lost(exc)
        # uvicorn leaves this timer to itself when a kept connection is reset, and with it everything of its request.
        self._unset_keepalive_if_required()
        # They hold each other, and nothing of this connection is asked any more.
        self.cycle: Any = None
        self._socket = None

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._fast is not None and self._fast.reader is not None:
            self._fast.reader.on_pause()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._fast is not None and self._fast.reader is not None:
            self._fast.reader.on_resume()

    def attach(self, fast: FastDownstream | None) -> None:
        """Tell ``fast`` of this connection's ups and downs; ``None``: nobody."""
        self._fast = fast

    @property
    def socket(self) -> Direct | None:
        """The connection's socket, where bytes may be written past the transport."""
        return self._socket


class DirectConnection:
    """One request's connection, as it stands in the scope."""

    __slots__ = ("cycle", "protocol")

    def __init__(self, protocol: FastProtocol, cycle: Any) -> None:
        self.protocol = protocol
        self.cycle: Any = cycle

    @property
    def whole(self) -> bool:
        """The request body is there."""
        cycle = self.cycle
        return not (cycle.more_body or cycle.disconnected or cycle.waiting_for_100_continue)

    def body(self) -> bytes | None:
        """The request body when it has arrived whole already, which is the rule; else ``None``: ask ``receive``."""
        if not self.whole:
            return None
        cycle = self.cycle
        body, cycle.body = bytes(cycle.body), bytearray()
        return body

    def close_after(self) -> None:
        """Do not keep the connection when this answer has ended, and say so in its head."""
        self.cycle.keep_alive = False

    def usable(self) -> bool:
        """Whether the answer may be written to the connection itself."""
        cycle: Any = self.cycle
        if cycle.scope["http_version"] != "1.1":
            return False
        return not cycle.flow.write_paused and self.protocol.cycle is cycle

    def usable_with(self, send: Any) -> bool:
        """The same, for an application that was called with ``send``: nothing of somebody else's stands between."""
        own: bool = getattr(send, "__self__", None) is self.cycle
        return own and self.usable()

    def downstream(self, send: CoroutineSend | None, *, high_water: int, stall_timeout: float) -> FastDownstream:
        """See :class:`tidegate.server.at_once.OwnConnection`."""
        return FastDownstream(self, send, high_water=high_water, stall_timeout=stall_timeout)


class FastDownstream(Awaited):
    """The relay's downstream on a uvicorn connection (:class:`tidegate.relay.downstream.Downstream`).

    Its parameters are those of :meth:`tidegate.server.at_once.OwnConnection.downstream`.
    """

    __slots__ = (
        "_chunked",
        "_cycle",
        "_head",
        "_protocol",
        "_send",
        "_transport",
        "direct",
        "framed",
    )

    def __init__(
        self, connection: DirectConnection, send: CoroutineSend | None, *, high_water: int, stall_timeout: float
    ) -> None:
        super().__init__(stall_timeout)
        protocol = self._protocol = connection.protocol
        self._cycle = connection.cycle
        self._transport: Any = protocol.transport
        self._send = send
        self._head = b""
        self._chunked = True
        self.framed = True
        self.direct = protocol.socket
        if self.direct is not None:
            self.direct.behind = True  # of what this connection wrote before
        self._transport.set_write_buffer_limits(high=high_water)

    def bind(self, reader: Reader) -> None:
        self.reader = reader
        self._protocol.attach(self)
        # A large request body pauses reading, and a paused connection would not notice that its peer leaves.
        self._cycle.flow.resume_reading()
        if self._cycle.disconnected or self._transport.is_closing():
            self.lost()

    def start(self, status: int, headers: Sequence[tuple[bytes, bytes]], length: int | None = None) -> None:
        # The head waits for the first body bytes, which come in the same loop turn: one system call, not two.
        cycle = self._cycle
        self._chunked = length is None
        framing = (b"transfer-encoding", b"chunked") if length is None else (b"content-length", b"%d" % length)
        if status in BODILESS:
            self._chunked = False
        else:
            headers = [*headers, framing]
        if self._send is not None:
            cork = cycle.transport = _Cork(self._transport)
            self._drive(self._send({"type": "http.response.start", "status": status, "headers": list(headers)}))
            cycle.transport = self._transport
            self._head = b"".join(cork.parts)
            return
        cycle.response_started = True
        lines = [name + b": " + value for name, value in (*cycle.default_headers, *headers)]
        if not cycle.keep_alive:
            lines.append(b"connection: close")
        self._head = b"HTTP/1.1 %d %b\r\n%b\r\n\r\n" % (status, _PHRASES.get(status, b""), b"\r\n".join(lines))

    def write(self, data: bytes) -> None:
        self.write_framed(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def write_framed(self, framed: bytes) -> None:
        transport = self._transport
        # A closing transport has given its descriptor back, and it may be somebody else's by now.
        if transport.is_closing():
            return
        if self._head:
            framed, self._head = self._head + framed, b""
        direct = self.direct
        if direct is not None and direct.behind:
            direct.behind = transport.get_write_buffer_size() > 0
        if direct is None or direct.behind:
            transport.write(framed)
        else:
            direct.send(framed)

    def finish(self, data: bytes = b"") -> None:
        self._protocol.attach(None)
        cycle, transport = self._cycle, self._transport
        if not cycle.disconnected and not transport.is_closing():
            if self._send is None:
                self._end(data)
            elif self._head:
                cork = cycle.transport = _Cork(transport, self._head)
                self._head = b""
                self._drive(self._send({"type": "http.response.body", "body": data, "more_body": False}))
                cycle.transport = transport
                cork.pull()
            else:
                self._drive(self._send({"type": "http.response.body", "body": data, "more_body": False}))
            self._wait_for()
        self._is_over()

    def _end(self, data: bytes) -> None:
        """The last bytes of the body, and the end of uvicorn's cycle as its own ``send`` makes it."""
        cycle = self._cycle
        if self._chunked:
            data = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data) if data else b"0\r\n\r\n"
        self.write_framed(data)
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            self._transport.close()
        done, cycle.on_response = cycle.on_response, _nothing
        done()

    def abort(self) -> None:
        self._protocol.attach(None)
        self._cycle.disconnected = True
        self._transport.abort()
        self._is_over()

    def lost(self) -> None:
        """The connection is gone."""
        self._protocol.attach(None)
        reader = self.reader
        self._is_over()
        if reader is not None:
            reader.on_gone()

    async def __aenter__(self) -> FastDownstream:
        return self

    def _drive(self, step: Any) -> None:
        """Run a ``send`` that has nothing to wait for: the connection is not paused."""
        if not ran(step):
            self.abort()

    def _unsent(self) -> int:
        if self._transport.is_closing() or self._protocol.cycle is not self._cycle:
            return 0
        return int(self._transport.get_write_buffer_size())

    def _give_up(self) -> None:
        self._transport.abort()


def _nothing() -> None:
    """In place of what has been called, so that a cycle does not hold its protocol."""


class _Cork:
    """Stands in for the transport while uvicorn writes a head, so that it leaves together with what follows."""

    __slots__ = ("_closing", "_transport", "parts")

    def __init__(self, transport: Any, head: bytes = b"") -> None:
        self._transport = transport
        self._closing = False
        self.parts = [head]

    def write(self, data: bytes) -> None:
        self.parts.append(data)

    def close(self) -> None:
        self._closing = True

    def is_closing(self) -> bool:
        return self._closing or bool(self._transport.is_closing())

    def pull(self) -> None:
        """Do what was asked for meanwhile."""
        self._transport.write(b"".join(self.parts))
        if self._closing:
            self._transport.close()


def _socket_of(transport: Any) -> Direct | None:
    sock = transport.get_extra_info("socket")
    if sock is None:
        return None
    if _NOTSENT_LOWAT is not None:
        sock.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, MAX_UNSENT)
    return Direct(int(sock.fileno()), transport)


def protocol_class() -> type[HttpToolsProtocol] | None:
    """The fast protocol, or ``None`` when uvicorn has changed so that it cannot work."""
    missing = [f"{kind.__name__}.{name}" for kind, names in NEEDED.items() for name in names if not hasattr(kind, name)]
    if missing:
        _log.warning("server.fast_path_off", missing=missing, effect="tokens go through plain ASGI send")
        return None
    return FastProtocol
