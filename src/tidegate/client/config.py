"""What a stream client needs to know, and where its endpoint is."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import urlsplit, urlunsplit

from tidegate.errors import ConfigError

__all__ = ["Endpoint", "IncrementalFilter", "StreamConfig", "endpoint_of"]

LOCAL_GATEWAY: Final = "http://127.0.0.1:8080"
STREAM_PATH: Final = "/api/v1/chat/stream"
CHAT_PATH: Final = "/v1/chat/completions"


class IncrementalFilter(Protocol):
    """Rewrites the text of one answer while it streams. What it returns is what the reader gets."""

    def feed(self, text: str) -> str:
        """More of the answer; returns what may be shown now. What cannot be decided yet is held back."""

    def close(self) -> str:
        """The answer has ended; returns what was held back."""


def _endpoint() -> str:
    return os.environ.get("LLM_STREAM_ENDPOINT") or STREAM_PATH


def _api_key() -> str | None:
    return os.environ.get("LLM_API_KEY") or None


def _model() -> str:
    return os.environ.get("LLM_MODEL") or "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfig:
    """Of a client, and of every stream that it opens. Times in seconds."""

    endpoint: str = field(default_factory=_endpoint)
    """Where to stream from. A URL with its path (``https://host/v1/chat/completions``,
    ``http://host:8080/api/v1/chat/stream``), a base that ends in ``/v1`` (``/chat/completions`` is added), an origin
    (taken for a Tidegate gateway), or a path on the gateway of this machine.
    From ``LLM_STREAM_ENDPOINT``, else ``/api/v1/chat/stream`` of the local gateway."""
    api_key: str | None = field(default_factory=_api_key, repr=False)
    """Sent as a bearer token. From ``LLM_API_KEY``."""
    model: str = field(default_factory=_model)
    """When a request names none. From ``LLM_MODEL``."""
    framing: str = "auto"
    """What to ask for: ``sse``, ``ndjson``, or ``auto`` (NDJSON from ``…/chat/stream``, SSE elsewhere). What is
    answered is read by its own content type."""
    timeout: float = 30.0
    """Without a byte, once for the response to begin and then between any two reads. The time during which nobody asks
    for the next chunk does not count."""
    connect_timeout: float = 5.0
    """DNS, TCP and TLS together."""
    retry_attempts: int = 2
    """Further tries after the first, only before the first token."""
    retry_delay: float = 0.8
    """Base of the exponential back-off with full jitter between tries. ``Retry-After`` is honoured; above ``timeout``
    the error is raised instead."""
    chunk_throttle: float = 0.016
    """Text arrives at most once in this time, what came meanwhile in one piece: 16 ms is a frame at 60 Hz. 0 is off."""
    max_buffer: int = 50
    """One piece of text holds at most this many of the model's chunks."""
    max_tokens: int | None = 2048
    """Of the answer. ``None`` leaves it to the server."""
    temperature: float | None = 0.7
    """``None`` leaves it to the server."""
    ttft: bool = True
    """Measure the time to the first token."""
    tpot: bool = True
    """Measure the time per output token."""
    cancellation: bool = True
    """Tell cancelled and stopped streams from others in the result's ``reason``."""
    finish_reason: bool = True
    """Keep the model's finish reason in the result."""
    incremental_filter: Callable[[], IncrementalFilter] | None = None
    """Makes a filter for the text of one answer. Off."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further request headers."""
    max_event_bytes: int = 8 * 1024 * 1024
    """One chunk of the answer. Above every real one (a base64 image is 1-4 MiB)."""
    max_connections: int = 1000
    """Open at once; a further stream waits."""
    trust_env: bool = True
    """Honour HTTP_PROXY, HTTPS_PROXY and NO_PROXY."""

    def __post_init__(self) -> None:
        if self.framing not in ("auto", "sse", "ndjson"):
            raise ConfigError(f"framing must be auto, sse or ndjson, not {self.framing!r}.")
        for name in ("timeout", "connect_timeout"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be more than 0 seconds.")
        for name in ("retry_attempts", "retry_delay", "chunk_throttle"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} must not be negative.")
        if self.max_buffer < 1:
            raise ConfigError("max_buffer must be at least 1 chunk.")
        endpoint_of(self.endpoint)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint, taken apart."""

    url: str
    base: str
    """Before ``/v1`` or ``/api/v1``: where a gateway's other calls are."""
    ndjson: bool
    """It answers NDJSON unless asked for an event stream."""

    def stop_url(self, stream_id: str) -> str:
        """``POST`` here is a soft stop."""
        return f"{self.base}/v1/streams/{stream_id}/stop"


def endpoint_of(text: str) -> Endpoint:
    """Read an endpoint.

    :raises ConfigError: not an http(s) URL, nor a path.
    """
    given = LOCAL_GATEWAY + text if text.startswith("/") else text
    try:
        parts = urlsplit(given)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or parts.username is not None:
        raise ConfigError("The endpoint must be an http:// or https:// URL without a user name, or a path.")
    path = parts.path.rstrip("/")
    if not path:
        path = STREAM_PATH
    elif path.endswith("/v1"):
        path += "/chat/completions"
    base = path
    for known in (STREAM_PATH, CHAT_PATH, "/chat/completions"):
        if path.endswith(known):
            base = path.removesuffix(known)
            break
    return Endpoint(
        urlunsplit((parts.scheme, parts.netloc, path, parts.query, "")),
        urlunsplit((parts.scheme, parts.netloc, base, "", "")),
        path.endswith("/chat/stream"),
    )
