"""The gateway as a whole: ``[server]`` and, around it, every room's options."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tidegate.ledger.options import LedgerOptions
from tidegate.policy.options import AuthOptions, LimitOptions, PriceOptions
from tidegate.relay.options import StreamOptions
from tidegate.safety.profile import SafetyOptions
from tidegate.shared.options import SharedOptions
from tidegate.upstream.options import UpstreamOptions

__all__ = ["GatewayOptions", "ServerOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """``[server]``. Loopback by default: a gateway that is reachable from outside is a decision."""

    host: str = "127.0.0.1"
    port: int = 8080
    workers: int | Literal["auto"] = 1
    """Processes that serve; ``"auto"``: as many as there are cores. What bounds one process (``max_streams``, and of an
    upstream ``max_connections``) is divided among them; limits and budgets hold for all together.
    """
    drain_timeout: float = 30.0
    """After SIGTERM, how long live streams may go on."""
    drain_delay: float = 0.0
    """After SIGTERM, how long new streams are still taken while `/readyz` says 503: as long as a balancer needs to see
    that.
    """
    max_request_bytes: int = 32 * 1024 * 1024
    """A request body. Prompts with images reach 20 MiB."""
    request_timeout: float = 30.0
    """For the request body to arrive."""
    max_streams: int = 20_000
    """Live streams; one more is answered 503 with Retry-After."""
    cors_origins: tuple[str, ...] = ()
    calls: bool = True
    """Pass on calls of OpenAI's API other than chat (`/v1/embeddings`, `/v1/responses`, `/v1/audio/*`, `/v1/files`)."""
    default_upstream: str = ""
    """Where a call goes that names no model (`/v1/files`) and no upstream. Empty: to the only one, if there is one."""
    compression: Literal["auto", "on", "off"] = "auto"
    """Compress answers for clients that take gzip or zstd. `auto`: for browsers, for `Save-Data: on`, and for keys that
    ask for it. Each event is flushed, and can be read when it comes.
    """
    fast_path: bool = True
    """Tokens go straight to the reader's socket. Off, they go through plain ASGI, as on any other server."""
    tls_cert: str = ""
    """A certificate with its chain (PEM): the port speaks TLS then, HTTP/2 and HTTP/1.1. SIGHUP reads it again."""
    tls_key: str = ""
    """Its key, without a password. Empty: it is in `tls_cert` too."""
    http2: bool = True
    """Offer HTTP/2 to whoever speaks TLS. Needs `tidegate[edge]`."""
    h2c: bool = False
    """Speak HTTP/2 without TLS as well, to clients that begin with it (RFC 9113 §3.3), such as a proxy."""
    log_format: str = "auto"
    """``json``, ``console``, or ``auto``: console on a terminal."""
    log_level: str = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayOptions:
    """Everything ``create_app`` needs."""

    server: ServerOptions = field(default_factory=ServerOptions)
    stream: StreamOptions = field(default_factory=StreamOptions)
    upstreams: tuple[UpstreamOptions, ...] = ()
    auth: AuthOptions = field(default_factory=AuthOptions)
    safety: SafetyOptions = field(default_factory=SafetyOptions)
    ledger: LedgerOptions = field(default_factory=LedgerOptions)
    prices: tuple[PriceOptions, ...] = ()
    limits: LimitOptions = field(default_factory=LimitOptions)
    shared: SharedOptions = field(default_factory=SharedOptions)
