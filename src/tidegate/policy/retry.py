"""When a try is worth repeating, and how long to wait before it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC
from email.utils import parsedate_to_datetime

from tidegate.errors import Overloaded, TidegateError, TlsFailed, UpstreamRefused

__all__ = ["RETRYABLE_STATUS", "backoff", "needs_other_upstream", "parse_retry_after", "retry_after_of", "retryable"]

RETRYABLE_STATUS = frozenset({408, 409, 429})
"""The 4xx that say "later", not "never"; the official SDKs retry the same ones. Every 5xx is retryable by its class."""


def retryable(error: TidegateError) -> bool:
    """Whether another try, on this upstream or the next, may go better. Only ever asked before the first token."""
    if isinstance(error, UpstreamRefused):
        return error.retryable or error.status in RETRYABLE_STATUS
    return error.retryable or isinstance(error, Overloaded)


def needs_other_upstream(error: TidegateError) -> bool:
    """Whether the same upstream would only fail in the same way: its certificate is bad, or our pool to it is full."""
    return isinstance(error, TlsFailed | Overloaded)


def backoff(attempt: int, base: float, rand: float, *, retry_after: float | None = None, cap: float = 30.0) -> float:
    """Seconds to wait before the next try: exponential with full jitter (Brooker, 2015).

    :param attempt: retries already made; 0 before the first.
    :param rand: uniform in [0, 1).
    :param retry_after: what the upstream asked for. Never undercut, also above ``cap``: the caller holds it against
        the time that the stream has left. The jitter comes on top, so that a crowd does not come back as one.
    """
    ceiling = min(cap, base * 2.0 ** min(attempt, 64))
    return rand * ceiling if retry_after is None else retry_after + rand * min(base, cap)


def parse_retry_after(value: str, *, now_epoch: float) -> float | None:
    """Seconds of a ``Retry-After`` header: a number (fractions too: some servers send them) or an HTTP date.

    0 for a moment that has passed; ``None`` for what is neither.
    """
    seconds = _number(value)
    if seconds is not None:
        return seconds
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:  # "-0000" and a missing zone: HTTP dates are always GMT
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - now_epoch)


def retry_after_of(headers: Iterable[tuple[bytes, bytes]], *, now_epoch: float) -> float | None:
    """What an answer's headers (names in lower case) ask for; ``retry-after-ms`` is the finer one, so it wins."""
    found = {name: value.decode("latin-1") for name, value in headers if name in {b"retry-after", b"retry-after-ms"}}
    milliseconds = _number(found.get(b"retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    value = found.get(b"retry-after")
    return None if value is None else parse_retry_after(value, now_epoch=now_epoch)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return max(0.0, number) if math.isfinite(number) else None
