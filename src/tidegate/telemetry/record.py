"""What is known of a stream when it has ended, and who is told."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from tidegate.events import Usage

__all__ = ["StreamHook", "StreamRecord"]


class StreamRecord(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One stream, ended. Seconds, bytes, tokens. Holds no prompt, no completion and no secret."""

    stream_id: str
    client: str
    """The key's id, or ``anonymous``."""
    model: str
    """As asked for; ``""`` when the request never named one that we serve."""
    served_model: str = ""
    upstream: str = ""
    framing: str = "sse"
    """``sse``, ``ndjson``, ``json`` (a non-streamed answer) or ``raw`` (a call that is not chat)."""
    operation: str = "chat"
    """What was done, in a word: one of :attr:`tidegate.relay.request.Request.operation`."""
    status: int = 200
    reason: str
    """The terminal reason, one of ``relay.lifecycle.Reason``."""
    finish_reason: str | None = None
    """The upstream's own word."""
    accepted_at: float
    """Wall clock, Unix seconds."""
    duration: float
    """Request accepted → stream ended."""
    queue_time: float | None = None
    """Request accepted → request sent to the upstream that answered (retries and connecting included)."""
    ttft: float | None = None
    """Request accepted → first content token written to the reader."""
    tpot: float | None = None
    """(last token − first token) / (tokens − 1)."""
    max_gap: float | None = None
    """Longest wait between two tokens."""
    added_latency: float | None = None
    """First token's bytes read from the upstream → written to the reader, plus acceptance → request sent."""
    cancel_latency: float | None = None
    """Reader gone → upstream connection closed; only for streams whose reader left."""
    tokens: int = 0
    """Content deltas delivered (text, reasoning, refusal and tool-call deltas; one is usually one token)."""
    usage: Usage | None = None
    """As the upstream reported it."""
    retries: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    malformed: int = 0
    error_code: str | None = None
    safety: tuple[tuple[str, str, int], ...] = ()
    """What safety rules found, in the prompt and in the answer: rule, action, how often. Never what it was."""
    validation: dict[str, Any] | None = None
    """The verdict on the whole answer, where one was asked for; without any of its text."""


class StreamHook(Protocol):
    """A sink. Called on the event loop: must not block and must not raise."""

    def opened(self) -> None:
        """A stream was admitted."""

    def ended(self, record: StreamRecord) -> None:
        """A stream that was opened has ended; called exactly once for it."""
