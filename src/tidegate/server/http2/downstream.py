"""The relay's downstream on a stream of an HTTP/2 connection."""

from __future__ import annotations

from collections.abc import Sequence

from tidegate.relay.direct import Direct
from tidegate.relay.downstream import BODILESS, Reader
from tidegate.server.at_once import Awaited, CoroutineSend, ran
from tidegate.server.compression import unframed
from tidegate.server.http2.exchange import Exchange

__all__ = ["Http2Downstream"]


class Http2Downstream(Awaited):
    """See :class:`tidegate.relay.downstream.Downstream`, and :meth:`tidegate.server.at_once.OwnConnection.downstream`.

    ``framed``, although the chunks are opened again here: what leads to whole chunks is the shortest way for a token.
    """

    __slots__ = ("_exchange", "_high", "_paused", "_send")

    framed = True
    direct: Direct | None = None

    def __init__(
        self, exchange: Exchange, send: CoroutineSend | None, *, high_water: int, stall_timeout: float
    ) -> None:
        super().__init__(stall_timeout)
        self._exchange = exchange
        self._send = send
        self._high = high_water
        self._paused = False

    async def __aenter__(self) -> Http2Downstream:
        return self

    def bind(self, reader: Reader) -> None:
        self.reader = reader
        self._exchange.attach(self)
        if self._exchange.gone:
            self.lost()

    def start(self, status: int, headers: Sequence[tuple[bytes, bytes]], length: int | None = None) -> None:
        if length is not None and status not in BODILESS:
            headers = [*headers, (b"content-length", b"%d" % length)]
        if self._send is None:
            self._exchange.start(status, headers)
        elif not ran(self._send({"type": "http.response.start", "status": status, "headers": list(headers)})):
            self.abort()

    def write(self, data: bytes) -> None:
        self._exchange.write(data)

    def write_framed(self, framed: bytes) -> None:
        self._exchange.write(unframed(framed))

    def finish(self, data: bytes = b"") -> None:
        exchange = self._exchange
        exchange.attach(None)
        if self._send is None:
            exchange.end(data)
        elif not ran(self._send({"type": "http.response.body", "body": data, "more_body": False})):
            exchange.reset()
        self._wait_for()
        self._is_over()

    def _unsent(self) -> int:
        return len(self._exchange.unsent)

    def _give_up(self) -> None:
        self._exchange.reset()

    def abort(self) -> None:
        self._exchange.attach(None)
        self._exchange.reset()
        self._is_over()

    # What the exchange tells.

    def moved(self) -> None:
        """There is more unsent than there was, or less."""
        unsent, reader = len(self._exchange.unsent), self.reader
        if reader is None:
            return
        if not self._paused:
            if unsent > self._high:
                self._paused = True
                reader.on_pause()
        elif unsent <= self._high // 4:
            self._paused = False
            reader.on_resume()

    def lost(self) -> None:
        """The reader has gone, by itself or with its connection."""
        self._exchange.attach(None)
        reader = self.reader
        self._is_over()
        if reader is not None:
            reader.on_gone()
