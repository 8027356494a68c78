"""The HTTP/1.1 streaming reader: an asyncio protocol whose token path is one slice.

httptools is the authority on heads, odd framing, trailers and ends. Nearly every read of a stream is one whole chunk
of chunked framing, though, which needs no parser: between two chunks the parser stands still, so such a read is cut
out by hand and the parser never sees it (a quarter of the cost). Whatever is not exactly whole chunks goes to the
parser.

The request is written in one piece and the connection is never half-closed: some servers take a FIN for a hang-up.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, Final

import httptools

from tidegate.errors import (
    HeadTooLarge,
    StaleConnection,
    UpstreamCut,
    UpstreamFault,
    UpstreamProtocolError,
)
from tidegate.upstream.coding import Decoder, decoder_for
from tidegate.upstream.exchange import Exchange, ResponseHead, Sink, Straight

__all__ = ["Connection"]

MAX_INTERIM: Final = 10
"""1xx heads before the final one."""

MAX_CODED_STEP: Final = 1 << 20
"""Decoded bytes handed on in one piece."""

_MAX_SIZE_LINE: Final = 8
"""Hex digits of a chunk size that is cut out by hand: 4 GiB is never one read."""

_LAST: Final = b"0\r\n\r\n"
"""The last chunk of a body, without trailers."""

# Shared by all connections: chunk sizes repeat for ever.
_SIZES: dict[bytes, int] = {}
_HEX: Final = frozenset(b"0123456789abcdefABCDEF")


class Connection(asyncio.Protocol):
    """One connection to a model server; carries one exchange at a time.

    :param release: told when the connection is free for another exchange.
    :param closed: told once when it has gone.
    """

    __slots__ = (
        "_between",
        "_closed",
        "_collected",
        "_decoder",
        "_drain_timer",
        "_ended",
        "_exchange",
        "_fault",
        "_fd",
        "_framing_close",
        "_head_bytes",
        "_head_done",
        "_headers",
        "_interim",
        "_keep_alive",
        "_lengths",
        "_loop",
        "_max_head",
        "_name",
        "_parser",
        "_paused",
        "_release",
        "_seen",
        "_sink",
        "_status",
        "_straight",
        "_straightway",
        "busy",
        "host",
        "idle_since",
        "lost",
        "served",
        "transport",
    )

    def __init__(
        self,
        *,
        name: str,
        max_head: int,
        release: Callable[[Connection], None],
        closed: Callable[[Connection], None],
    ) -> None:
        self.transport: Any = None
        self._fd = -1
        self.lost = False
        self.served = 0
        """Exchanges begun."""
        self.busy = False
        self.idle_since = 0.0
        self._name = name
        self._max_head = max_head
        self._release = release
        self._closed = closed
        self._loop = asyncio.get_running_loop()
        self._parser: Any = None
        self._sink: Sink | None = None
        self._exchange: Exchange | None = None
        self._drain_timer: asyncio.TimerHandle | None = None
        self._paused = False
        self._straightway = False
        """Reads go to ``_straight``: it is the transport's protocol, in our place."""
        self._reset()

    def _reset(self) -> None:
        self._between = False
        self._collected: list[bytes] = []
        self._decoder: Decoder | None = None
        self._ended = False
        self._fault: UpstreamFault | None = None
        self._framing_close = False
        self._head_bytes = 0
        self._head_done = False
        self._headers: list[tuple[bytes, bytes]] = []
        self._interim = 0
        self._keep_alive = False
        self._seen = False
        self._straight: Straight | None = None
        self._status = 0

    # The exchange's side.

    def request(self, data: bytes, sink: Sink) -> Exchange:
        """Send a whole request and tell ``sink`` of its answer. The connection must be free and alive."""
        assert not self.busy
        self._reset()
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        self.busy = True
        exchange = self._exchange = Exchange(self, reused=self.served > 0)
        self.served += 1
        self._sink = sink
        self._send(data)
        return exchange

    def _send(self, data: bytes) -> None:
        """To the socket itself, where it may be: the loop's queue costs more than the system call."""
        if self._fd >= 0 and not self.transport.get_write_buffer_size():
            try:
                data = data[os.write(self._fd, data) :]
            except OSError:
                pass  # full, or gone: the transport finds out, and tells
        if data:
            self.transport.write(data)

    def pause(self) -> None:
        if not self._paused and not self.lost:
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            if not self.lost and not self.transport.is_closing():
                self.transport.resume_reading()

    def go_straight(self, straight: Straight | None) -> None:
        self._straight = straight
        if straight is not None:
            straight.usual = self
        if self._straightway and not self.lost:
            self._turn(straight)

    def _turn(self, straight: Straight | None) -> None:
        """Make ``straight`` the one whom the transport gives what it reads, or this connection itself."""
        self._straightway = straight is not None
        self.transport.set_protocol(self if straight is None else straight)

    def abort(self) -> None:
        """Close now."""
        self._detach()
        if self.transport is not None:
            self.transport.abort()

    def drain(self, limit: float) -> None:
        """Read to the end of the body without anybody listening."""
        if self._exchange is not None:
            self._exchange.over()
        self._sink = None
        self.go_straight(None)
        self.resume()
        if not self._ended:  # else it has been read already, and nothing is left to wait for
            self._drain_timer = self._loop.call_later(limit, self.abort)

    def _detach(self) -> None:
        if self._exchange is not None:
            self._exchange.over()
            self._exchange = None
        self._sink = None
        self.go_straight(None)
        if self._drain_timer is not None:
            self._drain_timer.cancel()
            self._drain_timer = None

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        sock = transport.get_extra_info("socket")
        if sock is not None and transport.get_extra_info("sslcontext") is None:
            self._fd = sock.fileno()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        sink = self._sink
        busy, self.busy = self.busy, False
        error = self._lost_because(exc) if busy and sink is not None and not self._ended else None
        whole = busy and not self._ended and self._framing_close and exc is None and self._fault is None
        if whole and self._decoder is not None and not self._decoder.complete:
            whole, error = (
                False,
                UpstreamCut(f"Upstream '{self._name}' closed the connection inside a compressed body."),
            )
        self._detach()
        self._parser = None
        self._closed(self)
        if sink is None or self._ended:
            return
        if whole:
            sink.on_end()
        elif error is not None:
            sink.on_lost(error)

    def _lost_because(self, exc: Exception | None) -> UpstreamFault:
        if self._fault is not None:
            return self._fault
        if not self._seen and self.served > 1:
            return StaleConnection(f"Upstream '{self._name}' had closed the kept connection.")
        how = "reset" if exc is not None else "closed"
        where = "inside its answer" if self._head_done else "before it answered"
        return UpstreamCut(f"Upstream '{self._name}' {how} the connection {where}.")

    def data_received(self, data: bytes) -> None:
        by_hand = self._between and self._decoder is None
        payload = _whole_chunks(data) if by_hand else None
        if payload is None:
            self._parse(self._last_of(data) if by_hand else data)
        elif self._sink is not None:
            self._sink.on_data(payload, data)
        straight = self._straight
        if straight is not None and self._between is not self._straightway:
            self._turn(straight if self._between else None)

    def _last_of(self, data: bytes) -> bytes:
        """Of whole chunks and the last one, the parser needs to see the last one only: it makes three calls of each."""
        payload = _whole_chunks(data[: -len(_LAST)]) if data.endswith(_LAST) else None
        if not payload:
            return data
        self._collected.append(payload)
        return _LAST

    def _parse(self, data: bytes) -> None:
        if not self.busy:
            # Bytes that nobody asked for: whatever they are, the next answer would be read wrongly.
            self.abort()
            return
        self._seen = True
        if not self._head_done:
            self._head_bytes += len(data)
        self._between = False
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self._ended:
                self._keep_alive = False  # bytes behind the answer: the next one would be read wrongly
            elif self._fault is None:
                self._fault = self._not_http(error)
        if self._fault is None and not self._head_done and self._head_bytes > self._max_head:
            self._fault = self._head_too_large()
        self._hand_on()

    def _not_http(self, error: Exception) -> UpstreamFault:
        if isinstance(error, httptools.HttpParserUpgrade):
            return UpstreamProtocolError(f"Upstream '{self._name}' switched protocols.")
        return UpstreamProtocolError(f"Upstream '{self._name}' sent what is not HTTP/1.1.")

    def _head_too_large(self) -> UpstreamFault:
        return HeadTooLarge(f"Upstream '{self._name}' sent a response head of more than {self._max_head} bytes.")

    def _hand_on(self) -> None:
        """Tell the sink what one read held: its body bytes in one piece, then its end or fault."""
        collected, self._collected = self._collected, []
        if collected and self._sink is not None:
            self._give(b"".join(collected))
        if self._fault is not None:
            self._fail(self._fault)
        elif self._ended:
            self._finish()

    def _give(self, data: bytes) -> None:
        if self._decoder is None:
            if self._sink is not None:
                self._sink.on_data(data, None)
            return
        try:
            for piece in self._decoder.decode(data, MAX_CODED_STEP):
                if self._sink is None:
                    return
                self._sink.on_data(piece, None)
        except ValueError:
            self._fault = UpstreamProtocolError(f"Upstream '{self._name}' sent a compressed body that is not valid.")

    def _fail(self, error: UpstreamFault) -> None:
        sink = self._sink
        self._ended = True
        self.abort()
        if sink is not None:
            sink.on_lost(error)

    def _finish(self) -> None:
        """The body is whole: give the connection back, then tell."""
        if self._decoder is not None and not self._decoder.complete:
            self._fail(UpstreamCut(f"Upstream '{self._name}' ended a compressed body too early."))
            return
        sink = self._sink
        self._detach()
        self.busy = False
        self._between = False
        if self._keep_alive and not self.transport.is_closing():
            self.resume()
            self._release(self)
        else:
            self.transport.close()
        if sink is not None:
            sink.on_end()

    # The parser's side.

    def on_message_begin(self) -> None:
        if self._ended:  # the parser shall stop: what follows an answer is nobody's
            raise httptools.HttpParserError("a second answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_done:
            # A trailer: of no interest, and bounded like a head.
            self._head_bytes += len(name) + len(value)
            if self._head_bytes > 2 * self._max_head and self._fault is None:
                self._fault = self._head_too_large()
            return
        self._headers.append((name.lower(), value.strip()))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            self._interim += 1
            if status == 101 or self._interim > MAX_INTERIM:
                self._fault = UpstreamProtocolError(f"Upstream '{self._name}' sent an unexpected status {status}.")
            return
        self._head_done = True
        headers, self._headers = self._headers, []
        head = ResponseHead(status, tuple(headers))
        self._fault = self._fault or self._wrong_framing(head)
        if self._fault is not None:
            return
        if self._head_bytes > self._max_head and sum(len(n) + len(v) + 4 for n, v in headers) > self._max_head:
            self._fault = self._head_too_large()
            return
        self._status = status
        self._keep_alive = self._parser.should_keep_alive()
        chunked = (head.get(b"transfer-encoding") or b"").lower().endswith(b"chunked")
        self._between = chunked  # before the first one, that is
        self._framing_close = not chunked and head.get(b"content-length") is None
        coding = (head.get(b"content-encoding") or b"").strip().lower()
        if coding and coding != b"identity":
            self._decoder = decoder_for(coding)
            if self._decoder is None:
                self._fault = UpstreamProtocolError(
                    f"Upstream '{self._name}' encoded its answer in a way that it was not asked for."
                )
                return
        if self._sink is not None:
            self._sink.on_head(head)

    def _wrong_framing(self, head: ResponseHead) -> UpstreamFault | None:
        """Two answers to where the body ends are none (RFC 9112 §6.3)."""
        lengths = [value for name, value in head.headers if name == b"content-length"]
        if len(lengths) > 1 or (lengths and head.get(b"transfer-encoding") is not None):
            return UpstreamProtocolError(f"Upstream '{self._name}' framed its answer in two ways at once.")
        return None

    def on_body(self, body: bytes) -> None:
        if self._fault is None:  # the sink has not been told of the head of a body that is refused
            self._collected.append(body)

    def on_chunk_complete(self) -> None:
        self._between = True

    def on_chunk_header(self) -> None:
        self._between = False

    def on_message_complete(self) -> None:
        if not self._head_done:
            # An informational answer ends too; the final one follows.
            self._headers = []
            return
        self._ended = True


def _whole_chunks(data: bytes) -> bytes | None:
    """The payload when ``data`` is exactly one or more whole chunks, none of them the last one."""
    # Exactly one chunk, of a size that was seen before.
    at = data.find(b"\r\n", 0, _MAX_SIZE_LINE + 2)
    if _SIZES.get(data[:at]) == len(data) - at - 4 and data.endswith(b"\r\n"):
        return data[at + 2 : -2]
    parts: list[bytes] = []
    start, total = 0, len(data)
    while start < total:
        at = data.find(b"\r\n", start, start + _MAX_SIZE_LINE + 2)
        if at <= start:
            return None
        line = data[start:at]
        size = _SIZES.get(line)
        if size is None:
            size = _size_of(line)
        end = at + 2 + size
        if not size or data[end : end + 2] != b"\r\n":
            return None
        parts.append(data[at + 2 : end])
        start = end + 2
    return b"".join(parts)


def _size_of(line: bytes) -> int:
    """A chunk size; 0 for what the parser shall look at. Remembered: sizes repeat."""
    if not line or len(line) > _MAX_SIZE_LINE or not _HEX.issuperset(line):
        return 0
    size = int(line, 16)
    if size and len(_SIZES) < 65536:  # a remembered 0 would pass the last chunk, and with it the body's end, as data
        _SIZES[line] = size
    return size
