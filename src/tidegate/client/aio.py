"""The async client: a pool of connections, and the streams over them."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, Self, overload

import aiohttp

from tidegate.client.clock import FrameClock
from tidegate.client.config import StreamConfig
from tidegate.client.core import request_body
from tidegate.client.result import StreamResult
from tidegate.client.stream import AsyncStream
from tidegate.errors import TidegateError
from tidegate.events import Event

__all__ = ["AsyncStreamClient", "Messages"]

Messages = Iterable[Mapping[str, Any]]
Chunked = Callable[[str], Awaitable[None] | None]
Completed = Callable[[StreamResult], Awaitable[None] | None]
Failing = Callable[[TidegateError], Awaitable[None] | None]


class AsyncStreamClient:
    """Streams answers from an OpenAI-compatible endpoint. One client keeps one pool; make it once and share it.

    :param config: everything that can be set; ``options`` are its fields, and win over it.
    """

    def __init__(self, config: StreamConfig | None = None, **options: Any) -> None:
        self.config = _configured(config, options)
        self._clock = FrameClock(self.config.chunk_throttle) if self.config.chunk_throttle > 0 else None
        self._pool: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection; streams that still run are cut."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    @overload
    def stream(
        self, messages: Messages, *, model: str | None = None, raw: Literal[False] = False, **fields: Any
    ) -> AsyncStream[str]: ...

    @overload
    def stream(
        self, messages: Messages, *, model: str | None = None, raw: Literal[True], **fields: Any
    ) -> AsyncStream[Event]: ...

    def stream(
        self, messages: Messages, *, model: str | None = None, raw: bool = False, **fields: Any
    ) -> AsyncStream[Any]:
        """A stream; nothing is sent before it is entered or iterated.

        :param messages: as the dialect has them: ``[{"role": "user", "content": "…"}]``.
        :param raw: events as they came (:mod:`tidegate.events`) instead of text.
        :param fields: anything else of the request's body, such as ``tools``; wins over the configuration.
        :raises ValueError: the request is not JSON.
        """
        body = request_body(self.config, list(messages), model, fields)
        return AsyncStream(self._session, self.config, body, model or self.config.model, raw=raw, clock=self._clock)

    async def generate(
        self,
        messages: Messages,
        *,
        on_chunk: Chunked | None = None,
        on_complete: Completed | None = None,
        on_error: Failing | None = None,
        model: str | None = None,
        **fields: Any,
    ) -> StreamResult:
        """Run one stream to its end; callbacks may be plain functions or coroutines.

        ``on_complete`` is called for a complete answer only. With ``on_error`` an error goes there and is not raised.

        :raises TidegateError: without ``on_error``.
        """
        stream = self.stream(messages, model=model, **fields)
        try:
            async with stream:
                async for piece in stream:
                    await _call(on_chunk, piece)
        except TidegateError as error:
            if on_error is None:
                raise
            await _call(on_error, error)
        else:
            await _call(on_complete, stream.result)
        return stream.result

    def _session(self) -> aiohttp.ClientSession:
        if self._pool is None:
            self._pool = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self.config.max_connections),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.config.connect_timeout),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=self.config.trust_env,
            )
        return self._pool


def _configured(config: StreamConfig | None, options: Mapping[str, Any]) -> StreamConfig:
    if config is None:
        return StreamConfig(**options)
    return dataclasses.replace(config, **options)


async def _call(callback: Callable[[Any], Awaitable[None] | None] | None, value: Any) -> None:
    if callback is not None:
        waiting = callback(value)
        if inspect.isawaitable(waiting):
            await waiting
