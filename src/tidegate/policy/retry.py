"""When a try is worth repeating, and how long to wait before it."""

from __future__ import annotations

from collections.abc import Iterable

from tidegate.errors import Overloaded, TidegateError, TlsFailed, UpstreamRefused
from tidegate.wire.retry_after import retry_after

__all__ = ["RETRYABLE_STATUS", "backoff", "needs_other_upstream", "retry_after_of", "retryable"]

RETRYABLE_STATUS = frozenset({408, 409, 429})
"""The 4xx that say "later", not "never"; the official SDKs retry the same ones. Every 5xx is retryable by its class."""

_ASKING = frozenset({b"retry-after", b"retry-after-ms"})


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


def retry_after_of(headers: Iterable[tuple[bytes, bytes]], *, now_epoch: float) -> float | None:
    """What an answer's headers ask for; names in lower case. See :mod:`tidegate.wire.retry_after`."""
    asked = {name.decode("ascii"): value.decode("latin-1") for name, value in headers if name in _ASKING}
    return retry_after(asked, now_epoch=now_epoch)
