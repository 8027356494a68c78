"""One streamed answer, on aiohttp.

There is no task and no queue behind a stream: bytes are read when the reader asks for the next piece, so a reader that
does not ask stops the socket. aiohttp was chosen by measurement: of the libraries that speak HTTP with TLS, proxies and
pools it was the only one near the cost of the socket itself (``bench/client.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import warnings
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic, time
from typing import Any, Final, Generic, Self, TypeVar

import aiohttp

from tidegate import __version__
from tidegate.client.clock import FrameClock
from tidegate.client.config import StreamConfig, endpoint_of
from tidegate.client.core import StreamCore, request_headers
from tidegate.client.failure import MAX_ERROR_BODY, refusal
from tidegate.client.result import StreamResult
from tidegate.errors import (
    Cancelled,
    ConnectFailed,
    ConnectTimeout,
    IdleTimeout,
    NameNotResolved,
    StaleConnection,
    TidegateError,
    TlsFailed,
    UpstreamCut,
    UpstreamProtocolError,
)

__all__ = ["AsyncStream"]

Piece = TypeVar("Piece")

FINISH_GRACE: Final = 1.0
"""Seconds that a finished answer may take to send its usage and end marker. Servers were seen that never do."""

READ_SIZE: Final = 65536
"""asyncio's own loop reads into a new 256 KiB buffer each time, which costs more than all the rest of a token."""


class AsyncStream(Generic[Piece]):
    """One streamed answer: iterate over it, inside ``async with`` or not.

    A loop that ends by itself has had the whole answer. Otherwise it raises: :class:`~tidegate.errors.StreamTruncated`
    when a stream that had begun was cut, the error itself before its first token, and
    :class:`~tidegate.errors.Cancelled` after :meth:`cancel`.
    """

    def __init__(
        self,
        session: Callable[[], aiohttp.ClientSession],
        config: StreamConfig,
        body: bytes,
        model: str,
        *,
        raw: bool,
        clock: FrameClock | None,
    ) -> None:
        self._session = session
        self._config = config
        self._endpoint = endpoint_of(config.endpoint)
        self._body = body
        self._core = StreamCore(config, model, raw=raw, now=monotonic())
        self._clock = None if raw else clock
        self._response: aiohttp.ClientResponse | None = None
        self._read: Callable[[], Awaitable[bytes]] = _no_response
        # aiohttp's own list of what has come and was not read, as long as it has one; else empty.
        self._unread: deque[bytes] = deque()
        self._opening: asyncio.Task[Any] | None = None
        self._cancelled = False
        self._delivered = False
        # One timer a stream, moved only when it fires: it looks at when the wait for bytes began (0: nobody waits).
        self._waiting_since = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._idle = False
        self._grace_until: float | None = None

    @property
    def id(self) -> str | None:
        """The gateway's name for the stream, once its response has begun; ``None`` on other servers."""
        return self._core.stream_id

    @property
    def text(self) -> str:
        """The answer so far."""
        return self._core.text

    @property
    def result(self) -> StreamResult:
        """What became of the stream so far; final once the loop over it has ended, however it did."""
        return self._core.result(monotonic())

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Piece:
        core = self._core
        while True:
            piece = core.take()
            if piece is not None:
                self._delivered = True
                return piece  # type: ignore[no-any-return]
            if core.ended:
                if core.failure is not None:
                    raise core.failure
                raise StopAsyncIteration
            await self._advance()

    async def pieces(self) -> list[Piece]:
        """Every piece that is ready, waiting for at least one; empty once the answer is complete.

        :raises TidegateError: as the loop does.
        """
        core = self._core
        while not (pieces := core.take_all()):
            if core.ended:
                if core.failure is not None:
                    raise core.failure
                return []
            await self._advance()
        self._delivered = True
        return pieces

    def cancel(self) -> None:
        """Close the socket now, from any task: the server stops the model. Whoever iterates gets ``Cancelled``."""
        if self._core.ended:
            return
        self._cancelled = True
        self._core.fail(Cancelled("The stream was cancelled."), monotonic())
        self._drop()
        if self._opening is not None:
            self._opening.cancel()

    async def stop(self) -> None:
        """Stop the model and keep the answer so far: the loop goes on to a clean end, with reason ``soft_stop``.

        A Tidegate gateway is asked to; with any other server the stream is closed on this side.

        :raises TidegateError: the gateway cannot be reached. The stream is not harmed.
        """
        core = self._core
        if core.ended:
            return
        if not (core.is_gateway and core.stream_id):
            core.stop(monotonic())
            self._drop()
            return
        headers = request_headers(self._config, ndjson=False, version=__version__)
        try:
            request = self._session().post(
                self._endpoint.stop_url(core.stream_id),
                headers={**headers, "accept": "application/json"},
                timeout=aiohttp.ClientTimeout(total=self._config.timeout),
                allow_redirects=False,
            )
            async with request as response:
                if response.status != 200:
                    raise await self._refused(response)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _translated(error) from error

    async def close(self) -> None:
        """Close the socket unless the answer is over. Again is the same."""
        if not self._core.ended:
            self._core.fail(Cancelled("The stream was closed before its end."), monotonic())
        self._drop()

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        if getattr(self, "_response", None) is None:
            return
        _warn(f"an unfinished stream was dropped; it is closed now: {self!r}", ResourceWarning, source=self)
        self._drop()

    async def _advance(self) -> None:
        """Read once: more pieces, or the end."""
        core = self._core
        if self._response is None:
            await self._open()
            return
        if self._clock is not None and self._delivered:
            # What comes meanwhile waits in the buffers below, and is taken in one read.
            self._delivered = False
            await self._clock.frame()
            if core.ended:
                return  # cancelled meanwhile
        if len(self._unread) > 1:
            # With each chunk that it hands out aiohttp asks its parser and the transport to go on: one is cheaper.
            whole = b"".join(self._unread)
            self._unread.clear()
            self._unread.append(whole)
        self._waiting_since = monotonic()
        try:
            data = await self._read()
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            self._take_unread()
            await self._ended(_translated(error))
            return
        finally:
            self._waiting_since = 0.0
        if not data:
            await self._ended(None)
        elif not core.ended:  # cancelled meanwhile
            core.feed(data, monotonic())
            if core.attention:
                await self._consider()

    def _take_unread(self) -> None:
        """What came before the connection broke. aiohttp raises at once and leaves it lying."""
        unread = b"".join(self._unread)
        if unread and not self._core.ended:
            self._core.feed(unread, monotonic())

    async def _consider(self) -> None:
        """More than another token came: the end, or what may be one."""
        if self._core.over:
            await self._ended(None)
        elif self._grace_until is None and self._core.complete:
            self._grace_until = monotonic() + FINISH_GRACE
            self._arm(FINISH_GRACE)

    async def _ended(self, broken: TidegateError | None) -> None:
        """The body is over: complete, cut, or to be tried again."""
        core = self._core
        if core.ended:
            return
        if self._idle and not core.complete:
            self._idle = False
            broken = IdleTimeout(f"The server sent nothing for {self._config.timeout:g} seconds.", retryable=True)
        if core.over and core.complete:
            await self._drain()
        self._drop()
        if not core.complete:
            error = core.failed_early or broken or UpstreamCut("The answer ended before its first token.")
            wait = core.wait_before_retry(error, random.random())  # noqa: S311 - jitter
            if wait is not None:
                await self._open(wait)
                return
        core.finish(monotonic(), broken)

    async def _open(self, wait: float = 0.0) -> None:
        """Get a response that has begun, trying again as configured.

        :raises TidegateError: there is none.
        """
        core = self._core
        if core.ended or self._response is not None:
            return
        self._opening = asyncio.current_task()
        try:
            while True:
                await asyncio.sleep(wait)
                try:
                    await self._request()
                    return
                except TidegateError as error:
                    again = core.wait_before_retry(error, random.random())  # noqa: S311 - jitter
                    if again is None:
                        core.fail(error, monotonic())
                        raise
                    wait = again
        except asyncio.CancelledError:
            if not self._cancelled:
                core.fail(Cancelled("The reader was cancelled."), monotonic())
                raise
            # Only the stream was cancelled, not the task that reads it.
            assert self._opening is not None
            self._opening.uncancel()
            raise Cancelled("The stream was cancelled.") from None
        finally:
            self._opening = None

    async def _request(self) -> None:
        """One try: connect, send, wait for the head."""
        config = self._config
        headers = request_headers(config, ndjson=self._endpoint.ndjson, version=__version__)
        try:
            async with asyncio.timeout(config.timeout + config.connect_timeout):
                response = await self._session().post(
                    self._endpoint.url, data=self._body, headers=headers, allow_redirects=False
                )
        except TimeoutError:
            raise IdleTimeout(
                f"The server did not begin to answer within {config.timeout:g} seconds.", retryable=True
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise _translated(error) from error
        if response.status != 200:
            try:
                raise await self._refused(response)
            finally:
                response.close()
        self._core.began(response.headers.get("content-type", ""), _lower(response.headers))
        self._response = response
        self._read = response.content.readany
        self._unread = getattr(response.content, "_buffer", self._unread)
        self._idle, self._grace_until = False, None
        transport = response.connection.transport if response.connection is not None else None
        if transport is not None and hasattr(transport, "max_size"):
            transport.max_size = READ_SIZE
        self._arm(config.timeout)

    async def _refused(self, response: aiohttp.ClientResponse) -> TidegateError:
        body = b""
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with asyncio.timeout(self._config.connect_timeout):
                body = await response.content.read(MAX_ERROR_BODY)
        return refusal(response.status, _lower(response.headers), body, secret=self._config.api_key, now_epoch=time())

    async def _drain(self) -> None:
        """Read the end of the body's framing, which nearly always is there already, so that the connection is kept."""
        response = self._response
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError, RuntimeError):
            async with asyncio.timeout(0.1):
                while response is not None and not response.content.at_eof():
                    await response.content.readany()

    def _drop(self) -> None:
        """Let go of the connection: kept when its response was read to the end, closed when not."""
        response, self._response = self._response, None
        self._read = _no_response
        self._unread = deque()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if response is None:
            return
        if response.content.at_eof():
            response.release()
        else:
            response.close()

    def _arm(self, seconds: float) -> None:
        if self._watch is not None:
            self._watch.cancel()
        # A weak reference: a timer must not keep a stream alive that its reader has dropped.
        self._watch = asyncio.get_running_loop().call_later(seconds, _look, weakref.ref(self))

    def _look_at_the_time(self) -> None:
        now = monotonic()
        if self._grace_until is not None:
            left = self._grace_until - now
        elif self._waiting_since:
            left = self._waiting_since + self._config.timeout - now
        else:
            left = self._config.timeout
        if left > 0.001:
            self._arm(left)
        elif self._response is not None:
            # Wakes whoever waits for bytes, with an error that `_ended` knows how to read.
            self._idle = True
            self._response.close()


def _look(stream: weakref.ref[AsyncStream[Any]]) -> None:
    alive = stream()
    if alive is not None:
        alive._look_at_the_time()


async def _no_response() -> bytes:
    return b""


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _translated(error: Exception) -> TidegateError:
    """aiohttp's errors in our tree. Their texts may hold anything, so only their kinds pass."""
    if isinstance(error, aiohttp.ClientSSLError):
        return TlsFailed("The TLS handshake failed: the server's certificate is not trusted, or not its own.")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return NameNotResolved("No address is known for the endpoint's host.")
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return ConnectTimeout("No connection in time.")
    if isinstance(error, aiohttp.ClientConnectorError):
        return ConnectFailed("No connection to the endpoint: is the server running?")
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return StaleConnection("The server closed the connection before it answered.")
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.ClientPayloadError):
        if isinstance(error, aiohttp.ClientPayloadError):
            return UpstreamCut("The connection ended in the middle of the answer.")
        return UpstreamProtocolError("What the server sent is not HTTP.")
    return UpstreamCut("The connection was lost.")
