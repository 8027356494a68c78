"""One question by HTTP, with its limits: JSON out, JSON back."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic
from typing import Any, Final

import msgspec

from tidegate.safety.classifier import ClassifierOptions
from tidegate.upstream.client import UpstreamClient
from tidegate.upstream.options import UpstreamOptions

__all__ = ["JsonService", "ServiceFailed"]

MAX_ANSWER: Final = 256 * 1024
"""Bytes. A moderation result has about 2 KB."""

MAX_CONNECTIONS: Final = 64
"""To one service, for all streams together; a question beyond waits for its turn."""


class ServiceFailed(Exception):
    """It did not answer as it should. The text holds neither question nor answer."""


class JsonService:
    """A service at one URL, asked over kept connections.

    :raises ConfigError: the URL or the key cannot be used.
    """

    def __init__(self, options: ClassifierOptions, url: str, path: str, environ: Mapping[str, str]) -> None:
        keys = (options.api_key,) if options.api_key else ()
        self._path = path
        self._deadline = options.deadline
        self._client = UpstreamClient(
            UpstreamOptions(
                name=f"classifier {options.name}",
                base_url=url,
                api_keys=keys,
                max_connections=MAX_CONNECTIONS,
                connect_timeout=options.deadline,
            ),
            environ=environ,
        )

    async def ask(self, question: Any) -> Any:
        """The JSON of its answer.

        :raises ServiceFailed: it is none, or not 200.
        :raises TidegateError: no connection, or a broken one.
        :raises TimeoutError: later than the deadline.
        """
        head, body = await self._client.fetch(
            self._path,
            method="POST",
            headers=((b"content-type", b"application/json"), (b"accept", b"application/json")),
            body=msgspec.json.encode(question),
            key=self._client.keys.take(monotonic()),
            limit=MAX_ANSWER,
            timeout=self._deadline,
        )
        if head.status != 200:
            raise ServiceFailed(f"it answered {head.status}")
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ServiceFailed("its answer is no JSON") from None

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()
