"""One model server: ``[[upstream]]`` in the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["UpstreamOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamOptions:
    """Where a model server is, which models it serves, and the limits on talking to it. Seconds and bytes."""

    name: str
    base_url: str
    """Up to and with the version segment: ``https://api.openai.com/v1``; ``/chat/completions`` is added to it."""
    dialect: Literal["openai-chat"] = "openai-chat"
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    """References (``env:NAME``, ``file:/path``) to secrets, or the secrets themselves. Used round robin."""
    models: tuple[str, ...] = ("*",)
    """Exact names or globs that this upstream serves under their own name."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Names that clients use, to the names that this upstream knows."""
    priority: int = 0
    """Lower goes first; the next priority is failed over to."""
    weight: float = 1.0
    """Share of requests among upstreams of one priority."""
    max_connections: int = 10_000
    """Open connections, idle ones included. A further stream waits ``connect_timeout`` at most, then 503."""
    max_idle_connections: int = 256
    idle_expiry: float = 30.0
    """An idle connection older than this is closed, before common servers close theirs (nginx 75, uvicorn 5)."""
    connect_timeout: float = 5.0
    """DNS, TCP, proxy CONNECT and TLS together."""
    max_head_bytes: int = 65536
    """Status line and headers. (nginx 4-8 KiB per header, Node 16 KiB, Go 1 MiB in all.)"""
    receive_buffer: int = 65536
    """Of one connection, in the system (``SO_RCVBUF``): what an upstream may run ahead of a reader who does not read,
    and what one read can hold. At 100 ms there and back an answer gets about 600 kB/s; 0 leaves it to the system."""
    ca_file: str | None = None
    """PEM file of a certificate authority to trust, instead of the system's store."""
    tls_verify: bool = True
    trust_env: bool = True
    """Honour HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY."""
    ask_usage: bool = True
    """Ask for token counts when a client does not. A server that refuses that is asked again without, once."""
    safety: str = ""
    """The safety profile of requests that may go there, on top of that of every request."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Further request headers for this upstream (an organisation id, say). Values may be references."""
