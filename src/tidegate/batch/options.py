"""What steers a batch. Times in seconds."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BatchOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """How hard to try, and how much at once."""

    start: int = 4
    """Requests in flight at first."""
    most: int = 256
    """Requests in flight at most."""
    retries: int = 5
    """Of one request, after failures that may pass: 408, 409, 429, 5xx, a lost connection."""
    retry_delay: float = 0.8
    """Of the first retry; doubles, with full jitter. What the server asks for is never undercut."""
    timeout: float = 600.0
    """For one answer."""
    tolerance: float = 3.0
    """How many times slower per token than at its best the server may become before it is asked for less."""
    max_answer_bytes: int = 64 * 1024 * 1024
    fresh: bool = False
    """A connection of its own for each request, instead of a kept one: what scripts do, for comparison."""
