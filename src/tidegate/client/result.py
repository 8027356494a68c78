"""What became of a stream."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tidegate.events import Usage

__all__ = ["StreamResult"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamResult:
    """One stream, as far as it got. Times in seconds, ``None`` where they are not known or not measured."""

    complete: bool
    """The model said that it was done (or somebody stopped it softly), and everything arrived."""
    text: str = field(repr=False)
    """The answer, or what came of it."""
    reason: str | None
    """How it ended: the finish reason, ``soft_stop``, ``client_cancel``, or the code of its error. ``None`` while it
    runs."""
    finish_reason: str | None
    """The model's own word."""
    response: dict[str, Any] = field(repr=False)
    """The assembled ``chat.completion``: all choices, tool calls and reasoning."""
    usage: Usage | None
    stream_id: str | None
    """The gateway's name for the stream."""
    model: str
    """As the server named it, else as it was asked for."""
    tokens: int
    """Chunks that carried something; for most servers a chunk is a token."""
    ttft: float | None
    """From the request to the first token, retries included."""
    tpot: float | None
    """Between two output tokens, on average."""
    duration: float
    retries: int
    malformed: int
    """Chunks that were not valid and were skipped."""
