"""A client of the Redis that ``[shared]`` names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidegate.errors import ConfigError
from tidegate.shared.options import SharedOptions

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["MOST_CONNECTIONS", "redis_client"]

MOST_CONNECTIONS: Final = 32


def redis_client(url: str, options: SharedOptions, *, timeout: float | None) -> Redis:
    """It connects with its first call, and repeats none: whether the first one was carried out, nobody knows.

    :param timeout: seconds for one answer; ``None`` for a connection that waits for messages.
    :raises ConfigError: the client library is not installed, or the address makes no sense.
    """
    try:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ModuleNotFoundError:
        raise ConfigError("[shared] redis needs: pip install 'tidegate[redis]'") from None
    try:
        return Redis.from_url(
            url,
            max_connections=MOST_CONNECTIONS,
            socket_timeout=timeout,
            socket_connect_timeout=options.redis_timeout,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError:
        raise ConfigError("[shared] redis must be redis://HOST:PORT/0, rediss:// or unix://PATH") from None
