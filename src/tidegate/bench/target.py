"""Where requests go, and what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from tidegate.bench.options import Framing
from tidegate.errors import InvalidRequest
from tidegate.wire.openai_chat import encode_json

__all__ = ["Target", "chat_body", "chat_headers", "target_of"]

_ENDPOINTS = ("/chat/completions", "/chat/stream")


@dataclass(frozen=True, slots=True)
class Target:
    """``base_url`` and ``path`` together are the endpoint."""

    base_url: str
    path: str

    @property
    def url(self) -> str:
        return self.base_url + self.path


def target_of(url: str) -> Target:
    """The chat endpoint that ``url`` means: an endpoint, a base URL with its version, or a server alone.

    :raises InvalidRequest: it is no http or https URL.
    """
    text = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise InvalidRequest(f"{url} is not an http or https URL.")
    path = parts.path.rstrip("/")
    for endpoint in _ENDPOINTS:
        if path.endswith(endpoint):
            return Target(urlunsplit((parts.scheme, parts.netloc, path.removesuffix(endpoint), "", "")), endpoint)
    return Target(urlunsplit((parts.scheme, parts.netloc, path or "/v1", "", "")), "/chat/completions")


def chat_body(
    model: str,
    messages: Sequence[Mapping[str, Any]],
    *,
    stream: bool = True,
    max_tokens: int = 0,
    tag: str = "",
) -> bytes:
    """One request. ``tag`` goes into the last message, where a simulator finds it behind any gateway."""
    said = [dict(message) for message in messages]
    if tag and said and isinstance(said[-1].get("content"), str):
        said[-1]["content"] = f"{said[-1]['content']} [[{tag}]]"
    body: dict[str, Any] = {"model": model, "messages": said, "stream": stream}
    if max_tokens:
        body["max_tokens"] = max_tokens
    return encode_json(body)


def chat_headers(framing: Framing, more: Mapping[str, str] | None = None) -> list[tuple[bytes, bytes]]:
    """What goes with it."""
    accept = "application/x-ndjson" if framing == "ndjson" else "text/event-stream"
    headers = {"content-type": "application/json", "accept": accept, **(more or {})}
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
