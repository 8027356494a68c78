"""PURE. What a response that is no stream means, and whether another try may go better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tidegate.errors import TidegateError, UpstreamFailed, UpstreamProtocolError, UpstreamRefused
from tidegate.wire.openai_chat import error_of
from tidegate.wire.retry_after import retry_after

__all__ = ["MAX_ERROR_BODY", "backoff", "refusal", "retryable"]

MAX_ERROR_BODY: Final = 65536
"""Bytes of an error body that are read; OpenAI's are below 1 KiB."""

MAX_MESSAGE: Final = 1000

_LATER: Final = frozenset({408, 409, 429})
"""The 4xx that say "later", not "never"; the official SDKs retry the same ones."""


def refusal(
    status: int, headers: Mapping[str, str], body: bytes, *, secret: str | None, now_epoch: float
) -> TidegateError:
    """The error that a response other than 200 is.

    :param secret: never repeated in the message, also where the server does.
    """
    failed = error_of(body)
    message = failed.message[:MAX_MESSAGE] if failed is not None else f"The server answered {status}."
    if secret:
        message = message.replace(secret, "[key]")
    code = (failed.code or failed.type) if failed is not None else None
    wait = retry_after(headers, now_epoch=now_epoch)
    if 400 <= status < 500:
        return UpstreamRefused(message, status=status, code=code, retry_after=wait, retryable=status in _LATER)
    if status >= 500:
        return UpstreamFailed(message, status=status, code=code, retry_after=wait)
    return UpstreamProtocolError(f"The server answered {status} where 200 was expected.", retryable=False)


def retryable(error: TidegateError, *, longest_wait: float) -> bool:
    """Whether to try again; only ever asked before the first token.

    :param longest_wait: a server that asks for more is not waited for.
    """
    return error.retryable and (error.retry_after is None or error.retry_after <= longest_wait)


def backoff(attempt: int, base: float, rand: float, retry_after: float | None, *, cap: float = 30.0) -> float:
    """Seconds until the next try: exponential with full jitter (Brooker, 2015), and never before ``retry_after``.

    :param attempt: retries already made; 0 before the first.
    :param rand: uniform in [0, 1).
    """
    if retry_after is not None:
        return retry_after + rand * min(base, cap)
    return float(rand * min(cap, base * 2.0 ** min(attempt, 64)))
