"""PURE. When things happened to one stream, and the figures that follow from it. Seconds, of a monotonic clock."""

from __future__ import annotations

__all__ = ["Timing"]


class Timing:
    """Written by the stream as things happen; the clock is the caller's."""

    __slots__ = (
        "accepted",
        "closed",
        "ended",
        "first_read",
        "first_token",
        "gone",
        "last_token",
        "max_gap",
        "sent",
        "tokens",
    )

    def __init__(self, accepted: float) -> None:
        self.accepted = accepted
        self.sent: float | None = None
        """The request was sent to the upstream that is being listened to."""
        self.first_read: float | None = None
        """The first token's bytes were read."""
        self.first_token: float | None = None
        """They were written to the reader."""
        self.last_token = 0.0
        self.max_gap = 0.0
        self.tokens = 0
        self.gone: float | None = None
        """The reader hung up."""
        self.closed: float | None = None
        """The upstream connection of a reader who hung up was closed."""
        self.ended: float | None = None

    def on_tokens(self, now: float, tokens: int) -> None:
        """``tokens`` deltas so far, the latest read at ``now``."""
        if self.tokens:
            gap = now - self.last_token
            if gap > self.max_gap:
                self.max_gap = gap
        self.last_token = now
        self.tokens = tokens

    @property
    def ttft(self) -> float | None:
        """Request accepted → first content token written to the reader."""
        return None if self.first_token is None else self.first_token - self.accepted

    @property
    def tpot(self) -> float | None:
        """(last token − first token) / (tokens − 1); one token has none."""
        if self.first_read is None or self.tokens < 2:
            return None
        return (self.last_token - self.first_read) / (self.tokens - 1)

    @property
    def queue(self) -> float | None:
        """Request accepted → sent: connecting, waiting for a connection and earlier tries."""
        return None if self.sent is None else self.sent - self.accepted

    @property
    def added(self) -> float | None:
        """What the gateway itself put before the first token: acceptance → sent, and read → written."""
        if self.sent is None or self.first_read is None or self.first_token is None:
            return None
        return (self.sent - self.accepted) + (self.first_token - self.first_read)

    @property
    def cancel_latency(self) -> float | None:
        """Reader gone → upstream connection closed."""
        return None if self.gone is None or self.closed is None else self.closed - self.gone

    def duration(self, now: float) -> float:
        """Request accepted → ended, or until ``now``."""
        return (now if self.ended is None else self.ended) - self.accepted
