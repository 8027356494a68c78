"""PURE. Which headers cross the gateway: everything that is not dangerous on the way to the model, only what is known
to be useful on the way back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from tidegate.relay.body import Head, Redactor

__all__ = ["described", "forwarded", "forwarded_call", "passed_on"]

_HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""RFC 9110 §7.6.1; whatever ``connection`` names goes with them."""

_PLAIN_CONNECTION: Final = frozenset({b"close", b"keep-alive", b"Close", b"Keep-Alive"})
"""Values that name no header: all that most clients ever send."""

_OURS: Final = frozenset(
    {b"accept", b"accept-encoding", b"content-encoding", b"content-length", b"content-type", b"expect", b"host"}
)
"""The gateway sends its own."""

_AS_THEY_CAME: Final = frozenset({b"content-type", b"accept"})

_PRIVATE: Final = frozenset(
    {
        b"authorization",
        b"cookie",
        b"cookie2",
        b"forwarded",
        b"from",
        b"origin",
        b"referer",
        b"via",
        b"x-real-ip",
        b"x-goog-api-key",
    }
)
_PRIVATE_STARTS: Final = (b"x-forwarded-", b"sec-", b"cf-", b"x-tidegate-", b"x-amzn-", b"x-envoy-", b"access-control-")
_PRIVATE_WORDS: Final = (b"api-key", b"apikey", b"token", b"secret", b"password", b"credential", b"session", b"auth")
"""The application's credentials are for us, whatever their header is called."""

_PASSED_ON: Final = frozenset({b"x-request-id", b"request-id", b"openai-processing-ms", b"openai-version"})
_DESCRIBING: Final = frozenset({b"content-type", b"content-disposition", b"content-range"})
"""What a body is, for answers that are not made by the gateway."""
_MAX_VALUE: Final = 1024


def forwarded(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The application's headers that go to the upstream, with the gateway's own. Names in lower case."""
    return _forwarded(headers, [(b"content-type", b"application/json"), (b"accept", b"text/event-stream")])


def forwarded_call(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The same for a call that passes as it came: with the application's own ``content-type`` and ``accept``."""
    return _forwarded(headers, [header for header in headers if header[0] in _AS_THEY_CAME])


def _forwarded(headers: Iterable[tuple[bytes, bytes]], passing: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    named: set[bytes] = set()
    for header in headers:
        if _may_pass(header[0]):
            passing.append(header)
        elif header[0] == b"connection" and header[1] not in _PLAIN_CONNECTION:
            named.update([token.strip().lower() for token in header[1].split(b",")])
    return passing if not named else [header for header in passing if header[0] not in named]


@lru_cache(maxsize=1024)
def _may_pass(name: bytes) -> bool:
    if name in _HOP_BY_HOP or name in _OURS or name in _PRIVATE or name.startswith(_PRIVATE_STARTS):
        return False
    return name == b"idempotency-key" or not any(word in name for word in _PRIVATE_WORDS)


def passed_on(head: Head, redact: Redactor | None) -> list[tuple[bytes, bytes]]:
    """The upstream's headers that the reader may see."""
    return _picked(head, redact, _PASSED_ON)


def described(head: Head, redact: Redactor | None) -> list[tuple[bytes, bytes]]:
    """The upstream's headers that say what its body is."""
    return _picked(head, redact, _DESCRIBING)


def _picked(head: Head, redact: Redactor | None, names: frozenset[bytes]) -> list[tuple[bytes, bytes]]:
    found = []
    for name, value in head.headers:
        if name in names and len(value) <= _MAX_VALUE and not any(byte < 32 or byte == 127 for byte in value):
            if redact is not None and redact.found(value):
                value = redact.redact_bytes(value)
            found.append((name, value))
    return found
