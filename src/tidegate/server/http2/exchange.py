"""One request and its response on an HTTP/2 connection: ASGI's ``receive`` and ``send``, and bytes under flow control.

Tokens take :meth:`Exchange.write`: a DATA frame is nine bytes before its data (RFC 9113 §6.1), made here, and taken
from the two windows that h2 keeps; h2 itself would cost more than the rest of a token. It makes every other frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog
from h2.errors import ErrorCodes
from h2.stream import H2Stream

from tidegate.relay.downstream import BODILESS
from tidegate.server.at_once import CoroutineSend
from tidegate.telemetry.log import place_of

if TYPE_CHECKING:
    from tidegate.server.http2.connection import Http2Protocol
    from tidegate.server.http2.downstream import Http2Downstream

__all__ = ["HIGH_WATER", "MAX_FRAME", "Exchange", "Listener"]

MAX_FRAME: Final = 16_384
"""Bytes of one DATA frame: what every peer takes (RFC 9113 §6.5.2)."""

HIGH_WATER: Final = 65_536
"""Unsent bytes above which an application's ``send`` waits."""

_HOP: Final = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})
"""Of HTTP/1.1's connections only (RFC 9113 §8.2.2)."""

_frame_head: Final = Struct(">IBI").pack
"""Length in 24 bits and type in 8 (DATA is 0), flags, stream."""

Message = MutableMapping[str, Any]
App = Callable[[Any, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

_log = structlog.get_logger()


class Listener(Protocol):
    """Who is told what becomes of the response."""

    def moved(self) -> None:
        """There is more unsent than there was, or less."""

    def lost(self) -> None:
        """The reader has gone."""


class Exchange:
    """As it stands in the scope it is also the request's :class:`tidegate.server.at_once.OwnConnection`.

    :param window: the stream as h2 knows it: what may be sent of it is ``outbound_flow_control_window``.
    """

    __slots__ = (
        "_body",
        "_connection",
        "_ending",
        "_event",
        "_listener",
        "_more",
        "_read",
        "_window",
        "ended",
        "gone",
        "number",
        "scope",
        "started",
        "unsent",
    )

    def __init__(self, connection: Http2Protocol, number: int, window: H2Stream, scope: Any) -> None:
        self._connection = connection
        self._window = window
        self._body = bytearray()
        self._more = True
        self._event: asyncio.Event | None = None
        self._read = False
        self._listener: Listener | None = None
        self._ending = False
        self.number = number
        self.scope = scope
        self.unsent = bytearray()
        """What the windows or the socket do not let out yet."""
        self.started = False
        """The head is out."""
        self.ended = False
        """The response is whole, and so is what was sent of it."""
        self.gone = False
        """The stream was reset, by either side, or its connection is gone."""

    # The request.

    def arrived(self, data: bytes, padding: int) -> None:
        """Body bytes. The peer gets room for more of them when they are taken."""
        if self._more and not self.gone:
            self._body += data
            if padding:
                self._connection.credit(self, padding)
            self._wake()

    def request_ended(self) -> None:
        """The request is whole."""
        self._more = False
        self._wake()

    @property
    def whole(self) -> bool:
        """The request body is there."""
        return not (self._more or self.gone)

    def body(self) -> bytes | None:
        """The request body when it has arrived whole already; else ``None``: ask ``receive``."""
        if not self.whole:
            return None
        body, self._body = bytes(self._body), bytearray()
        return body

    def close_after(self) -> None:
        """Nothing: a stream that is reset leaves its connection as it is."""

    def usable(self) -> bool:
        """Whether the answer may be written to the connection itself."""
        return not (self.gone or self.started)

    def usable_with(self, send: Any) -> bool:
        """The same, for an application that was called with ``send``."""
        return getattr(send, "__self__", None) is self and self.usable()

    def downstream(self, send: CoroutineSend | None, *, high_water: int, stall_timeout: float) -> Http2Downstream:
        """The relay's downstream on this stream."""
        from tidegate.server.http2.downstream import Http2Downstream

        return Http2Downstream(self, send, high_water=high_water, stall_timeout=stall_timeout)

    # The application's side.

    async def run(self, app: App) -> None:
        """Let an application answer, and see to it that the stream has an end."""
        try:
            await app(self.scope, self.receive, self.send)
        except Exception as error:
            _log.error("server.bug", kind=type(error).__name__, where=place_of(error))
        finally:
            if not self.started and not self.gone:
                self.start(500, [(b"content-type", b"text/plain; charset=utf-8")])
                self.end(b"Internal Server Error")
            elif not (self._ending or self.gone):
                self.reset()

    async def receive(self) -> Message:
        """ASGI."""
        while not (self.gone or self._ending) and (self._read or (self._more and not self._body)):
            await self._wait()
        if self.gone or self._ending:
            return {"type": "http.disconnect"}
        body, self._body = bytes(self._body), bytearray()
        if self._more:
            self._connection.credit(self, len(body))
        else:
            self._read = True
        return {"type": "http.request", "body": body, "more_body": self._more}

    async def send(self, message: Message) -> None:
        """ASGI. It waits while more than :data:`HIGH_WATER` is unsent, and never with a head or the last bytes."""
        if self.gone or self._ending:
            return
        if message["type"] == "http.response.start":
            self.start(message["status"], message.get("headers", ()))
            return
        body = message.get("body", b"")
        if not message.get("more_body", False):
            self.end(body)
            return
        self.write(body)
        while len(self.unsent) > HIGH_WATER and not self.gone:
            await self._wait()

    async def _wait(self) -> None:
        if self._event is None:
            self._event = asyncio.Event()
        await self._event.wait()

    def _wake(self) -> None:
        if self._event is not None:
            self._event.set()
            self._event.clear()

    # The response.

    def attach(self, listener: Listener | None) -> None:
        """Tell ``listener`` from now on; ``None``: nobody."""
        self._listener = listener

    def start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Send the head."""
        if self.gone or self.started:
            return
        self.started = True
        fields = [(name, value) for name, value in headers if name not in _HOP]
        self._connection.send_head(self.number, [(b":status", b"%d" % status), *self._connection.dated(), *fields])
        if self.scope["method"] == "HEAD" or status in BODILESS:
            self._ending = True
            self._end()

    def write(self, data: bytes) -> None:
        """Send body bytes: now, as far as the peer has room for them."""
        size = len(data)
        connection, window = self._connection, self._window
        shared = connection.h2
        if (
            connection.paused
            or size > window.outbound_flow_control_window
            or size > shared.outbound_flow_control_window
            or size > MAX_FRAME
            or self.unsent
            or self.gone
            or self._ending
            or not size
        ):
            self._keep(data)
            return
        window.outbound_flow_control_window -= size
        shared.outbound_flow_control_window -= size
        connection.put(_frame_head(size << 8, 0, self.number), data)

    def end(self, data: bytes = b"") -> None:
        """Send the last body bytes and the end."""
        self.write(data)
        if self._ending or self.gone:
            return
        self._ending = True
        self._wake()
        if not self.unsent:
            self._end()

    def reset(self) -> None:
        """End without an end, so that the reader can see that the body is not whole."""
        if not (self.gone or self.ended):
            self._connection.reset(self, ErrorCodes.INTERNAL_ERROR)
            self.over()

    def over(self) -> None:
        """The stream was reset, or is lost with its connection."""
        if self.gone or self.ended:
            return
        self.gone = True
        self.unsent.clear()
        listener, self._listener = self._listener, None
        self._wake()
        if listener is not None:
            listener.lost()

    def _keep(self, data: bytes) -> None:
        if self.gone or self._ending or not data:
            return
        self.unsent += data
        self._connection.wait_for_room(self)
        if self._listener is not None and not self.gone:
            self._listener.moved()

    def advance(self) -> bool:
        """Send one frame of what is unsent. ``False``: the stream has no room, or nothing more."""
        window, shared = self._window, self._connection.h2
        size = min(
            len(self.unsent), MAX_FRAME, window.outbound_flow_control_window, shared.outbound_flow_control_window
        )
        if size <= 0:
            return False
        window.outbound_flow_control_window -= size
        shared.outbound_flow_control_window -= size
        self._connection.put(_frame_head(size << 8, 0, self.number), bytes(self.unsent[:size]))
        del self.unsent[:size]
        return True

    def advanced(self) -> None:
        """What could be sent has been sent."""
        if self.ended or self.gone:
            return
        if self._ending and not self.unsent:
            self._end()
        elif self._listener is not None:
            self._listener.moved()
        elif len(self.unsent) <= HIGH_WATER:
            self._wake()

    def _end(self) -> None:
        self.ended = True
        self._connection.end(self, whole_request=not self._more)
