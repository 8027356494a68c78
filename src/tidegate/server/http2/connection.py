"""One HTTP/2 connection (RFC 9113), on the loop of everything else: h2 reads it and keeps its state.

What leaves in one turn of the loop leaves in one write: with TLS, that is one record and one system call for the tokens
of all streams of a browser. No stream waits for another: each has its own room, and those that wait take turns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

import structlog
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame
from uvicorn.config import Config
from uvicorn.server import ServerState

from tidegate.server.at_once import EXTENSION, AtOnce, Later
from tidegate.server.http2.exchange import HIGH_WATER, MAX_FRAME, App, Exchange
from tidegate.server.negotiation import PREFACE
from tidegate.telemetry.log import place_of

__all__ = ["MAX_RESETS", "MAX_STREAMS", "Http2Protocol"]

MAX_STREAMS: Final = 256
"""Streams at once on one connection: as many as Chromium uses when it may."""

STREAM_WINDOW: Final = 262_144
"""Bytes of a request body that wait until the application takes them."""

CONNECTION_WINDOW: Final = 8 * 1024 * 1024
"""Bytes of all request bodies that may be on their way; they are let in as they come."""

MAX_RESETS: Final = 2_000
RESET_PERIOD: Final = 30.0
"""Streams that a peer may begin and reset in so many seconds: each costs a request to a model (CVE-2023-44487)."""

MAX_OWED: Final = 65_536
"""Bytes of answers to control frames (PING, SETTINGS) that a peer may leave unread (CVE-2019-9512, -9515)."""

LENGTH: Final = 3
FRAME_HEAD: Final = 9
"""Bytes of a frame's length, and of all that stands before its payload (RFC 9113 §4.1)."""

_log = structlog.get_logger()


class Http2Protocol(asyncio.Protocol):
    """Beside :class:`tidegate.server.fastpath.FastProtocol`, for uvicorn's server.

    :param direct: chat requests go to their endpoint at once, and tokens past ASGI.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        direct: bool = True,
    ) -> None:
        self.loop = _loop or asyncio.get_running_loop()
        self.h2 = H2Connection(
            H2Configuration(
                client_side=False,
                # Ours are lower case and pass `Exchange.start`; what comes from outside is checked.
                normalize_outbound_headers=False,
                validate_outbound_headers=False,
            )
        )
        self.transport: Any = None
        self.paused = False
        """The socket takes no more: streams keep what they have."""
        self._app: Any = config.loaded_app
        self._direct = direct
        self._root_path = config.root_path
        self._asgi = {"version": config.asgi_version, "spec_version": "2.3"}
        self._keep_alive = config.timeout_keep_alive
        self._state = server_state
        self._app_state = app_state
        self._scheme = "http"
        self._server: tuple[Any, ...] | None = None
        self._client: tuple[Any, ...] | None = None
        self._exchanges: dict[int, Exchange] = {}
        self._new: list[Exchange] = []
        self._waiting: dict[int, Exchange] = {}
        self._pending: list[bytes] = []
        self._idle: asyncio.TimerHandle | None = None
        self._going = False
        self._owed = 0
        self._left = len(PREFACE)
        self._part = b""
        self._resets = 0
        self._resets_since = self.loop.time()

    # What the transport tells.

    def connection_made(self, transport: Any) -> None:
        self._state.connections.add(self)  # type: ignore[arg-type] # what uvicorn asks of one, it has
        self.transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER)
        own, peer = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        self._server = own[:2] if isinstance(own, tuple) else None
        self._client = peer[:2] if isinstance(peer, tuple) else None
        self._scheme = "http" if transport.get_extra_info("sslcontext") is None else "https"
        self.h2.local_settings = type(self.h2.local_settings)(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
                SettingCodes.MAX_HEADER_LIST_SIZE: self.h2.DEFAULT_MAX_HEADER_LIST_SIZE,
                SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
                SettingCodes.ENABLE_PUSH: 0,
            },
        )
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(CONNECTION_WINDOW)
        self._take()
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._state.connections.discard(self)
        self._stop_waiting()
        self._pending.clear()
        self._waiting.clear()
        left, self._exchanges = list(self._exchanges.values()), {}
        for exchange in left:
            exchange.over()

    def eof_received(self) -> None:
        """Half a connection is none."""

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self._owed = 0
        self._pump()

    def data_received(self, data: bytes) -> None:
        if self._too_long(data):
            self._refuse(ErrorCodes.FRAME_SIZE_ERROR)
            return
        try:
            events = self.h2.receive_data(data)
        except ProtocolError as error:
            _log.info("server.http2_refused", kind=type(error).__name__)
            self._take()
            self._close()
            return
        except Exception as error:  # a peer's bytes must not be able to raise anything else
            _log.error("server.bug", kind=type(error).__name__, where=place_of(error))
            self.transport.abort()
            return
        # Before anything that follows from it: room that new settings give may be used once they are acknowledged.
        self._take(owed=True)
        for event in events:
            handler = _HANDLERS.get(type(event))
            if handler is not None:
                handler(self, event)
        new, self._new = self._new, []
        for exchange in new:
            self._begin(exchange)
        self._take()

    def _too_long(self, data: bytes) -> bool:
        """Whether a frame in it is longer than may be: h2 looks when it has the whole of it, up to 16 MB."""
        data, at = self._part + data, self._left
        while len(data) - at >= LENGTH:
            length = int.from_bytes(data[at : at + LENGTH], "big")
            if length > MAX_FRAME:
                return True
            at += FRAME_HEAD + length
        self._part, self._left = data[at:], max(0, at - len(data))
        return False

    @property
    def idle(self) -> bool:
        """Nothing that was asked is unanswered."""
        return not self._exchanges

    def shutdown(self) -> None:
        """uvicorn's: take no new request, and close when those that run are answered."""
        if not self._going:
            self._going = True
            self.put(GoAwayFrame(last_stream_id=self.h2.highest_inbound_stream_id).serialize())
        self._close_if_done()

    # What exchanges ask for.

    def dated(self) -> Sequence[tuple[bytes, bytes]]:
        """Headers of every answer, in lower case."""
        return self._state.default_headers

    def put(self, *data: bytes) -> None:
        """Write at the end of this turn of the loop."""
        pending = self._pending
        if not pending:
            self.loop.call_soon(self.flush)
        pending += data

    def flush(self) -> None:
        """Write now what this turn has brought so far."""
        if self._pending:
            data = b"".join(self._pending)
            self._pending.clear()
            if not self.transport.is_closing():
                self.transport.write(data)

    def send_head(self, number: int, fields: list[tuple[bytes, bytes]]) -> None:
        """Send the head of a response."""
        if self._takes(number):
            self.h2.send_headers(number, fields)
            self._take()

    def credit(self, exchange: Exchange, size: int) -> None:
        """Let the peer send so many more bytes of a request body."""
        if size and self._takes(exchange.number):
            self.h2.increment_flow_control_window(size, exchange.number)
            self._take()

    def wait_for_room(self, exchange: Exchange) -> None:
        """Send what the exchange keeps, now or when there is room."""
        self._waiting[exchange.number] = exchange
        self._pump()

    def end(self, exchange: Exchange, *, whole_request: bool) -> None:
        """End a response. A request that is still on its way need not come (RFC 9113 §8.1)."""
        if self._takes(exchange.number):
            self.h2.end_stream(exchange.number)
            if not whole_request:
                self.h2.reset_stream(exchange.number, ErrorCodes.NO_ERROR)
            self._take()
        self._forget(exchange)

    def reset(self, exchange: Exchange, code: ErrorCodes) -> None:
        """End a stream without an end."""
        if self._takes(exchange.number):
            self.h2.reset_stream(exchange.number, code)
            self._take()
        self._forget(exchange)

    def _takes(self, number: int) -> bool:
        """Whether h2 has not heard already, of a read that is still being worked on, that the peer has reset it."""
        stream = self.h2.streams.get(number)
        return stream is not None and not stream.closed

    # What the peer says.

    def _on_request(self, event: RequestReceived) -> None:
        fields = event.headers
        if self._going:
            self.h2.reset_stream(event.stream_id, ErrorCodes.REFUSED_STREAM)
            return
        window = self.h2.streams.get(event.stream_id)
        if window is None:  # reset in the same read, and forgotten
            return
        self._stop_waiting()
        exchange = Exchange(self, event.stream_id, window, self._scope(fields))
        self._exchanges[event.stream_id] = exchange
        self._new.append(exchange)

    def _on_data(self, event: DataReceived) -> None:
        size = event.flow_controlled_length
        if size:
            self.h2.increment_flow_control_window(size)
        exchange = self._exchanges.get(event.stream_id)
        if exchange is not None:
            exchange.arrived(event.data, size - len(event.data))

    def _on_request_end(self, event: StreamEnded) -> None:
        exchange = self._exchanges.get(event.stream_id)
        if exchange is not None:
            exchange.request_ended()

    def _on_reset(self, event: StreamReset) -> None:
        exchange = self._exchanges.get(event.stream_id)
        if exchange is not None:
            self._forget(exchange)
            exchange.over()
        now = self.loop.time()
        if now - self._resets_since > RESET_PERIOD:
            self._resets, self._resets_since = 0, now
        self._resets += 1
        if self._resets > MAX_RESETS:
            self._refuse(ErrorCodes.ENHANCE_YOUR_CALM)

    def _on_room(self, _: Event) -> None:
        self._pump()

    def _on_goodbye(self, _: ConnectionTerminated) -> None:
        # h2 sends nothing more then, and who says goodbye reads nothing more.
        self._going = True
        for exchange in list(self._exchanges.values()):
            self._forget(exchange)
            exchange.over()
        self._close_if_done()

    # The request, and its place among others.

    def _scope(self, fields: Sequence[tuple[bytes, bytes]]) -> dict[str, Any]:
        pseudo: dict[bytes, bytes] = {}
        headers: list[tuple[bytes, bytes]] = []
        for name, value in fields:
            if name.startswith(b":"):
                pseudo[name] = value
            else:
                headers.append((bytes(name), bytes(value)))
        if b":authority" in pseudo and not any(name == b"host" for name, _ in headers):
            headers.insert(0, (b"host", pseudo[b":authority"]))
        raw, _, query = pseudo.get(b":path", b"/").partition(b"?")
        return {
            "type": "http",
            "asgi": self._asgi,
            "http_version": "2",
            "server": self._server,
            "client": self._client,
            "scheme": self._scheme,
            "method": pseudo[b":method"].decode("latin-1"),
            "root_path": self._root_path,
            "path": self._root_path + unquote(raw.decode("latin-1")),
            "raw_path": self._root_path.encode("ascii") + raw,
            "query_string": query,
            "headers": headers,
            "state": self._app_state.copy(),
        }

    def _begin(self, exchange: Exchange) -> None:
        """In this callback where the endpoint can, else in a task."""
        if exchange.gone:
            return
        app: App = self._app
        scope = exchange.scope
        self._state.total_requests += 1
        if self._direct and scope["method"] == "POST":
            direct = getattr(app, "direct", None)
            endpoint: AtOnce | None = direct.get(scope["path"]) if isinstance(direct, Mapping) else None
            if endpoint is not None and endpoint.ready(scope, exchange):
                left = endpoint.at_once(scope, exchange)
                if left is None:
                    return
                if left is not Later.LATER:
                    app = left
            scope["extensions"] = {EXTENSION: exchange}
        task = self.loop.create_task(exchange.run(app))
        task.add_done_callback(self._state.tasks.discard)
        self._state.tasks.add(task)

    def _pump(self) -> None:
        """Send what waits, one frame of each stream in turn, as long as anybody has room."""
        moved: dict[int, Exchange] = {}
        while self._waiting and not self.paused:
            round_ = [exchange for exchange in self._waiting.values() if exchange.advance()]
            if not round_:
                break
            moved.update((exchange.number, exchange) for exchange in round_)
            self._waiting = {number: waiting for number, waiting in self._waiting.items() if waiting.unsent}
            self.flush()  # and hear whether the socket takes more
        for exchange in moved.values():
            exchange.advanced()

    def _forget(self, exchange: Exchange) -> None:
        self._exchanges.pop(exchange.number, None)
        self._waiting.pop(exchange.number, None)
        self._close_if_done()
        if not self._exchanges:
            self._await_request()

    # The connection's end.

    def _take(self, *, owed: bool = False) -> None:
        """What h2 has to say leaves with the rest, in its place."""
        data = self.h2.data_to_send()
        if not data:
            return
        self.put(data)
        if owed and self.paused:
            self._owed += len(data)
            if self._owed > MAX_OWED:
                self.transport.abort()

    def _await_request(self) -> None:
        self._stop_waiting()
        self._idle = self.loop.call_later(self._keep_alive, self._refuse, ErrorCodes.NO_ERROR)

    def _stop_waiting(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _refuse(self, code: ErrorCodes) -> None:
        """Close a connection that does nothing, or too much."""
        if code is not ErrorCodes.NO_ERROR:
            _log.info("server.http2_refused", kind=code.name)
        self.h2.close_connection(code)
        self._take()
        self._close()

    def _close_if_done(self) -> None:
        if self._going and not self._exchanges:
            self._close()

    def _close(self) -> None:
        self.flush()
        if self.paused:
            self.transport.abort()  # nobody reads what is left
        else:
            self.transport.close()


_HANDLERS: Final[Mapping[type[Event], Callable[[Http2Protocol, Any], None]]] = {
    RequestReceived: Http2Protocol._on_request,
    DataReceived: Http2Protocol._on_data,
    StreamEnded: Http2Protocol._on_request_end,
    StreamReset: Http2Protocol._on_reset,
    WindowUpdated: Http2Protocol._on_room,
    RemoteSettingsChanged: Http2Protocol._on_room,
    ConnectionTerminated: Http2Protocol._on_goodbye,
}
"""What is not here, h2 answers by itself or needs no answer."""
