"""What a configuration is made for."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

__all__ = ["Site"]

IDLE = 75
"""Seconds that a connection of a reader is kept without a request."""

GRACE = 5
"""Seconds by which the gateway is first to say that an answer takes too long."""

BEATS = 4
"""Heartbeats that a time-out is long, so that one that is late cuts nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A gateway, or several, as the world shall see them."""

    gateways: tuple[str, ...]
    """``host:port`` of each."""
    domain: str = ""
    """With TLS under this name; empty: plain HTTP under any."""
    listen: str = ""
    """``address:port`` or a port; empty: 443 with a domain, else 80."""
    certificate: str = ""
    key: str = ""
    """PEM files; empty: where the program, or Let's Encrypt's client, keeps them."""
    heartbeat: float = 15.0
    """``[stream] heartbeat`` of the gateways, in seconds."""
    longest: float = 600.0
    """``[stream] total_timeout`` of the gateways, in seconds."""
    most_bytes: int = 32 * 1024 * 1024
    """``[server] max_request_bytes`` of the gateways."""

    @property
    def timeout(self) -> int:
        """Seconds without a byte after which a connection may be cut: longer than the heartbeat of a stream, and than
        the longest answer in one body, which has none.
        """
        return ceil(max(BEATS * self.heartbeat, self.longest + GRACE))

    @property
    def address(self) -> str:
        """Where it listens."""
        return self.listen or ("443" if self.domain else "80")

    @property
    def megabytes(self) -> int:
        return ceil(self.most_bytes / (1024 * 1024))
