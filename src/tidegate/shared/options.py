"""What several processes share: ``[shared]`` in the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["SharedOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedOptions:
    """``[shared]``. With Redis, limits hold across all processes and machines that use the same one."""

    redis: str = ""
    """``redis://``, ``rediss://`` or ``unix://``, or a reference such as ``env:REDIS_URL``. Empty: every gateway counts
    for itself, its workers together.
    """
    prefix: str = "tidegate"
    """Of every key in Redis. Gateways that share limits have the same."""
    redis_timeout: float = 0.25
    """For one answer of Redis; after it, Redis is away."""
    when_away: Literal["open", "closed"] = "open"
    """While Redis is away: ``open`` goes on with limits that each process counts for itself, ``closed`` refuses
    streams that fall under a limit, with 503.
    """
    lease: float = 10.0
    """How long the streams of a process that was killed keep their slots."""
