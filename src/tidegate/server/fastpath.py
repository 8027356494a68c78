"""A token as one write: the reader's socket, handed to the relay by a small subclass of uvicorn's HTTP protocol.

uvicorn still parses the request, writes the head and the end of the response and keeps the connection alive. Only
what lies between goes straight to the socket: the event loop's own queue costs more than the system call, so the
socket's ``write`` is tried first, while nothing is queued.

This leans on uvicorn's internals (:data:`NEEDED`). :func:`protocol_class` looks whether they are where they were; when
they have moved, or the connection is not a plain one, everything runs over plain ASGI ``send`` instead.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tidegate.relay.downstream import Direct, Reader

__all__ = [
    "EXTENSION",
    "NEEDED",
    "CoroutineSend",
    "DirectConnection",
    "FastDownstream",
    "FastProtocol",
    "protocol_class",
]

EXTENSION: Final = "tidegate.direct"
"""In the ASGI scope's ``extensions``: the connection that this request came on."""

NEEDED: Final[dict[type, tuple[str, ...]]] = {
    HttpToolsProtocol: (
        *("connection_lost", "pause_writing", "resume_writing", "on_headers_complete"),
        "_unset_keepalive_if_required",
    ),
    RequestResponseCycle: ("send", "receive", "run_asgi"),
}
"""Methods that are overridden or called."""

NEEDED_ON_CYCLE: Final = (
    "body",
    "disconnected",
    "flow",
    "more_body",
    "response_complete",
    "scope",
    "transport",
    "waiting_for_100_continue",
)
NEEDED_ON_PROTOCOL: Final = ("cycle", "scope", "transport")

_log = structlog.get_logger()

CoroutineSend = Callable[[Any], Coroutine[Any, Any, None]]


class FastProtocol(HttpToolsProtocol):
    """uvicorn's protocol, and somebody to tell when the reader stalls, catches up or leaves."""

    _fast: FastDownstream | None = None

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        # The request's task starts in the next loop turn, so what is added now is there when it looks.
        if self.scope.get("method") == "POST":
            scope: Any = self.scope
            scope.setdefault("extensions", {})[EXTENSION] = DirectConnection(self, self.cycle)

    def connection_lost(self, exc: Exception | None) -> None:
        fast, self._fast = self._fast, None
        if fast is not None:
            fast.lost()
        super().connection_lost(exc)
        # uvicorn leaves this timer to itself when a kept connection is reset, and with it everything of its request.
        self._unset_keepalive_if_required()
        # They hold each other, and nothing of this connection is asked any more.
        self.cycle: Any = None

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


class DirectConnection:
    """One request's connection, as it stands in the scope."""

    __slots__ = ("cycle", "protocol")

    def __init__(self, protocol: FastProtocol, cycle: Any) -> None:
        self.protocol = protocol
        self.cycle: Any = cycle

    def body(self) -> bytes | None:
        """The request body when it has arrived whole already, which is the rule; else ``None``: ask ``receive``."""
        cycle = self.cycle
        if cycle.more_body or cycle.disconnected or cycle.waiting_for_100_continue:
            return None
        body, cycle.body = bytes(cycle.body), bytearray()
        return body

    def usable_with(self, send: Any) -> bool:
        """Whether ``send`` is the connection's own: nothing of somebody else's stands between it and us."""
        cycle: Any = self.cycle
        own: bool = getattr(send, "__self__", None) is self.cycle
        if not own or cycle.scope["http_version"] != "1.1":
            return False
        return not cycle.flow.write_paused and self.protocol.cycle is cycle


class FastDownstream:
    """The relay's downstream on a uvicorn connection (:class:`tidegate.relay.downstream.Downstream`).

    :param send: the ASGI ``send`` as the route got it: heads and ends go through it, so that middleware of the
        application itself (CORS) sees them.
    :param high_water: unsent bytes above which the reader counts as behind.
    :param stall_timeout: seconds after which what a finished response still has unsent is given up.
    """

    __slots__ = (
        "_closed",
        "_cycle",
        "_fd",
        "_head",
        "_loop",
        "_protocol",
        "_send",
        "_stall",
        "_transport",
        "direct",
        "framed",
        "reader",
    )

    def __init__(
        self, connection: DirectConnection, send: CoroutineSend, *, high_water: int, stall_timeout: float
    ) -> None:
        self._protocol = connection.protocol
        self._cycle = connection.cycle
        self._transport: Any = connection.protocol.transport
        self._send = send
        self._stall = stall_timeout
        self._loop = asyncio.get_running_loop()
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._fd = _descriptor(self._transport)
        self._head = b""
        self.framed = True
        self.direct: Direct | None = Direct(self._fd, self._transport) if self._fd >= 0 else None
        self.reader: Reader | None = None
        self._transport.set_write_buffer_limits(high=high_water)

    def bind(self, reader: Reader) -> None:
        self.reader = reader
        self._protocol.attach(self)
        # A large request body pauses reading, and a paused connection would not notice that its peer leaves.
        self._cycle.flow.resume_reading()
        if self._cycle.disconnected or self._transport.is_closing():
            self.lost()

    def start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        # The head waits for the first body bytes, which come in the same loop turn: one system call, not two.
        cork = self._cycle.transport = _Cork(self._transport)
        self._drive(self._send({"type": "http.response.start", "status": status, "headers": list(headers)}))
        self._cycle.transport = self._transport
        self._head = b"".join(cork.parts)

    def write(self, data: bytes) -> None:
        self.write_framed(b"%x\r\n%b\r\n" % (len(data), data))

    def write_framed(self, framed: bytes) -> None:
        transport = self._transport
        # A closing transport has given its descriptor back, and it may be somebody else's by now.
        if transport.is_closing():
            return
        if self._head:
            framed, self._head = self._head + framed, b""
        if self._fd >= 0 and not transport.get_write_buffer_size():
            try:
                sent = os.write(self._fd, framed)
            except BlockingIOError:
                sent = 0
            except OSError:
                transport.abort()
                return
            if sent == len(framed):
                return
            framed = framed[sent:]
        transport.write(framed)

    def finish(self, data: bytes = b"") -> None:
        self._protocol.attach(None)
        if not self._cycle.disconnected and not self._transport.is_closing():
            if self._head:
                cork = self._cycle.transport = _Cork(self._transport, self._head)
                self._head = b""
                self._drive(self._send({"type": "http.response.body", "body": data, "more_body": False}))
                self._cycle.transport = self._transport
                cork.pull()
            else:
                self._drive(self._send({"type": "http.response.body", "body": data, "more_body": False}))
            if not self._transport.is_closing() and self._transport.get_write_buffer_size():
                self._loop.call_later(self._stall, self._give_up)
        self._over()

    def abort(self) -> None:
        self._protocol.attach(None)
        self._cycle.disconnected = True
        self._transport.abort()
        self._over()

    def lost(self) -> None:
        """The connection is gone."""
        self._protocol.attach(None)
        reader = self.reader
        self._over()
        if reader is not None:
            reader.on_gone()

    async def closed(self) -> None:
        """Until the response is finished, aborted or the reader gone."""
        await self._closed

    async def __aenter__(self) -> FastDownstream:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def _drive(self, step: Coroutine[Any, Any, None]) -> None:
        """Run a ``send`` that has nothing to wait for: the connection is not paused."""
        try:
            step.send(None)
        except StopIteration:
            return
        except Exception as error:
            _log.error("server.send_failed", kind=type(error).__name__)
        else:
            step.close()
        self.abort()

    def _give_up(self) -> None:
        """A response that ended long ago and still is not sent: nobody reads it."""
        unsent = not self._transport.is_closing() and self._transport.get_write_buffer_size()
        if unsent and self._protocol.cycle is self._cycle:
            self._transport.abort()

    def _over(self) -> None:
        self.reader = None
        if not self._closed.done():
            self._closed.set_result(None)


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


def _descriptor(transport: Any) -> int:
    """The socket's file descriptor, or -1 when bytes have to pass through the transport (TLS)."""
    if transport.get_extra_info("sslcontext") is not None:
        return -1
    sock = transport.get_extra_info("socket")
    return -1 if sock is None else int(sock.fileno())


def protocol_class() -> type[HttpToolsProtocol] | None:
    """The fast protocol, or ``None`` when uvicorn has changed so that it cannot work."""
    missing = [f"{kind.__name__}.{name}" for kind, names in NEEDED.items() for name in names if not hasattr(kind, name)]
    if missing:
        _log.warning("server.fast_path_off", missing=missing, effect="tokens go through plain ASGI send")
        return None
    return FastProtocol
