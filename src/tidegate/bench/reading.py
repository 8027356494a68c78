"""One stream as its reader sees it: when its tokens came, how it ended, and whether that ending was honest."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

from tidegate.bench.histogram import Histogram
from tidegate.errors import (
    ConnectFailed,
    EventTooLarge,
    StaleConnection,
    UpstreamCut,
    UpstreamFault,
    UpstreamProtocolError,
)
from tidegate.upstream.exchange import Exchange, ResponseHead
from tidegate.wire.ndjson import NdjsonDecoder
from tidegate.wire.openai_chat import MalformedChunk, decode_chunk, error_of, has_token
from tidegate.wire.sse import SseDecoder

__all__ = ["CANCELLED", "COMPLETE", "DISHONEST", "Reading"]

COMPLETE: Final = "complete"
CANCELLED: Final = "cancelled"
SILENT_END: Final = "silent end: no finish reason, no error"
FALSE_DONE: Final = "[DONE] without a finish reason"
NOT_A_STREAM: Final = "200 with what is not a stream"
DISHONEST: Final = frozenset({SILENT_END, FALSE_DONE, NOT_A_STREAM})
"""Failures that look like successes: an SDK behind them notices nothing."""

_CODE: Final = 40
"""Characters of an error's code that are shown."""


class Reading:
    """Told of one exchange by the connection (it is a ``Sink``), and tells ``ended`` once when it is over.

    :param gaps: gets the time between each token and the one before; tokens of one read came together.
    :param cancel_after: tokens after which it hangs up; 0 never.
    """

    __slots__ = (
        "_choices",
        "_decoder",
        "_done",
        "_ended",
        "_error",
        "_finished",
        "_gaps",
        "_lines",
        "_status",
        "_wrong_type",
        "cancel_after",
        "cancelled_at",
        "exchange",
        "first_token_at",
        "heard_at",
        "last_token_at",
        "outcome",
        "requested_at",
        "tag",
        "tokens",
    )

    def __init__(
        self, ended: Callable[[Reading], None], *, gaps: Histogram, tag: str = "", cancel_after: int = 0
    ) -> None:
        self.tag = tag
        self.cancel_after = cancel_after
        self.cancelled_at: float | None = None
        self.exchange: Exchange | None = None
        self.requested_at = self.heard_at = monotonic()
        """When the request was made and when bytes last came: ``time.monotonic``, as in a simulator's truths."""
        self.first_token_at: float | None = None
        self.last_token_at = 0.0
        self.tokens = 0
        self.outcome = ""
        """``complete``, ``cancelled``, or what went wrong; empty while it runs."""
        self._ended = ended
        self._gaps = gaps
        self._decoder: SseDecoder | None = SseDecoder()
        self._lines: NdjsonDecoder | None = None
        self._status = 0
        self._wrong_type = False
        self._choices: set[int] = set()
        self._finished: set[int] = set()
        self._done = False
        self._error: str | None = None

    @property
    def ttft(self) -> float | None:
        """Seconds to the first token."""
        return None if self.first_token_at is None else self.first_token_at - self.requested_at

    @property
    def tpot(self) -> float | None:
        """Seconds per token after the first."""
        if self.first_token_at is None or self.tokens < 2:
            return None
        return (self.last_token_at - self.first_token_at) / (self.tokens - 1)

    # The connection's side.

    def on_head(self, head: ResponseHead) -> None:
        self.heard_at = monotonic()
        self._status = head.status
        kind = (head.get(b"content-type") or b"").partition(b";")[0].strip().lower()
        if kind in (b"application/x-ndjson", b"application/jsonl", b"application/ndjson"):
            self._decoder, self._lines = None, NdjsonDecoder()
        else:
            self._wrong_type = kind != b"text/event-stream"

    def on_data(self, data: bytes, framed: bytes | None) -> None:
        now = self.heard_at = monotonic()
        if self._status != 200 or self._wrong_type:
            return
        before = self.tokens
        try:
            if self._decoder is not None:
                for event in self._decoder.feed(data):
                    self._read(event.data, event.event)
            else:
                assert self._lines is not None
                for record in self._lines.feed(data):
                    self._read(record, "")
        except EventTooLarge:
            self._fail("an event over the limit")
            return
        if self.tokens > before:
            self._timed(now, self.tokens - before)

    def on_end(self) -> None:
        self._over(self._verdict())

    def on_lost(self, error: UpstreamFault) -> None:
        self._over(self._error or _kind(error, self._status))

    # The load test's side.

    def timed_out(self) -> None:
        """It was silent for too long."""
        self._fail("silent too long, before the first token" if not self.tokens else "silent too long, in the stream")

    def stop(self) -> None:
        """End it, because the load test ends."""
        self._fail(CANCELLED)

    def failed(self, error: Exception) -> None:
        """It did not even begin."""
        self._over(_kind(error, 0))

    # Inside.

    def _read(self, data: bytes, name: str) -> None:
        if data == b"[DONE]":
            self._done = True
            return
        try:
            chunk = decode_chunk(data)
        except MalformedChunk:
            self._error = self._error or "an event that is not JSON"
            return
        self.tokens += has_token(chunk)
        for choice in chunk.choices:
            self._choices.add(choice.index)
            if choice.finish_reason:
                self._finished.add(choice.index)
        if not chunk.choices or chunk.error is not None or name == "error":
            failed = error_of(chunk) or (error_of(data) if name == "error" else None)
            if failed is not None:
                self._error = f"error event {(failed.code or failed.type or '')[:_CODE]}".rstrip()

    def _timed(self, now: float, count: int) -> None:
        if self.first_token_at is None:
            self.first_token_at = now
        else:
            self._gaps.add(now - self.last_token_at)
        self._gaps.add(0.0, count - 1)
        self.last_token_at = now
        if 0 < self.cancel_after <= self.tokens and not self.outcome:
            self.cancelled_at = monotonic()
            self._fail(CANCELLED)

    def _verdict(self) -> str:
        if self._status != 200:
            return f"HTTP {self._status}"
        if self._error is not None:
            return self._error
        if self._wrong_type:
            return NOT_A_STREAM
        if self._choices and self._finished >= self._choices:
            return COMPLETE
        return FALSE_DONE if self._done else SILENT_END

    def _fail(self, outcome: str) -> None:
        """Hang up, in this loop turn."""
        if self.exchange is not None:
            self.exchange.abort()
        self._over(outcome)

    def _over(self, outcome: str) -> None:
        if not self.outcome:
            self.outcome = outcome
            self._ended(self)


def _kind(error: Exception, status: int) -> str:
    if status not in (0, 200):
        return f"HTTP {status}"
    if isinstance(error, StaleConnection):
        return "a kept connection had been closed"
    if isinstance(error, UpstreamCut):
        return "cut" if status else "closed without an answer"
    if isinstance(error, ConnectFailed):
        return f"no connection: {error.default_code}"
    if isinstance(error, UpstreamProtocolError):
        return "not HTTP/1.1"
    return getattr(error, "default_code", type(error).__name__)
