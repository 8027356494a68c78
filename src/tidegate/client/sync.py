"""The sync client: the async one on an event loop in a thread of its own, asked for one piece after the other.

So there is one way to read a stream, and a sync reader has the same backpressure, timeouts, retries and errors. The
price is two thread switches for each piece, at most one every ``chunk_throttle`` of a stream. It works inside a running
event loop too (a notebook); not across ``os.fork``.
"""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Literal, Self, TypeVar, overload

from tidegate.client.aio import AsyncStreamClient, Messages
from tidegate.client.config import StreamConfig
from tidegate.client.result import StreamResult
from tidegate.client.stream import AsyncStream
from tidegate.errors import TidegateError
from tidegate.events import Event

__all__ = ["Stream", "StreamClient"]

Piece = TypeVar("Piece")
T = TypeVar("T")


class _Loop:
    """An event loop in a daemon thread, started by the first use."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The work's result; interrupted (Ctrl-C), the work is cancelled."""
        future = asyncio.run_coroutine_threadsafe(work, self._started())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def soon(self, call: Callable[[], object]) -> None:
        """Call it on the loop; from any thread, also while an object is collected."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            try:
                loop.call_soon_threadsafe(call)
            except RuntimeError:  # closed just now: its sockets are closed too
                pass

    def close(self) -> None:
        with self._lock:
            loop, self._loop = self._loop, None
            thread, self._thread = self._thread, None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_run, args=(loop,), name="tidegate-client", daemon=True)
                self._thread.start()
            return self._loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


class Stream(Generic[Piece]):
    """One streamed answer: :class:`~tidegate.client.AsyncStream` for code that waits."""

    def __init__(self, loop: _Loop, stream: AsyncStream[Piece]) -> None:
        self._loop = loop
        self._stream: AsyncStream[Piece] | None = stream
        self._ready: deque[Piece] = deque()
        self._over = False

    @property
    def _inner(self) -> AsyncStream[Piece]:
        assert self._stream is not None
        return self._stream

    @property
    def id(self) -> str | None:
        """The gateway's name for the stream, once its response has begun; ``None`` on other servers."""
        return self._inner.id

    @property
    def text(self) -> str:
        """The answer so far, as far as it was read from the socket."""
        return self._inner.text

    @property
    def result(self) -> StreamResult:
        """What became of the stream so far; final once the loop over it has ended, however it did."""
        return self._inner.result

    def __enter__(self) -> Self:
        self._loop.run(self._inner.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Piece:
        if not self._ready:
            if self._over:
                raise StopIteration
            self._ready.extend(self._loop.run(self._inner.pieces()))
            if not self._ready:
                self._over = True
                raise StopIteration
        return self._ready.popleft()

    def cancel(self) -> None:
        """Close the socket now, from any thread. Whoever iterates gets ``Cancelled``."""
        self._ready.clear()
        self._loop.soon(self._inner.cancel)

    def stop(self) -> None:
        """Stop the model and keep the answer so far; see :meth:`tidegate.client.AsyncStream.stop`."""
        self._loop.run(self._inner.stop())

    def close(self) -> None:
        """Close the socket unless the answer is over. Again is the same."""
        self._loop.run(self._inner.close())

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        stream = getattr(self, "_stream", None)
        if stream is None or stream._response is None:
            return
        _warn(f"an unfinished stream was dropped; it is closed now: {self!r}", ResourceWarning, source=self)
        # On its loop, and by this object: the inner one has nothing left to warn of.
        self._loop.soon(stream.cancel)


class StreamClient:
    """Streams answers from an OpenAI-compatible endpoint. Make it once and share it, also among threads.

    :param config: everything that can be set; ``options`` are its fields, and win over it.
    """

    def __init__(self, config: StreamConfig | None = None, **options: Any) -> None:
        self._client = AsyncStreamClient(config, **options)
        self._loop = _Loop()

    @property
    def config(self) -> StreamConfig:
        """As it was given."""
        return self._client.config

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection; streams that still run are cut. The next stream begins anew."""
        self._loop.run(self._client.close())
        self._loop.close()

    def __del__(self) -> None:
        loop = getattr(self, "_loop", None)
        if loop is not None and loop._loop is not None:
            # The loop closes with its process; its connections now.
            client = self._client
            loop.soon(lambda: asyncio.ensure_future(client.close()))

    @overload
    def stream(
        self, messages: Messages, *, model: str | None = None, raw: Literal[False] = False, **fields: Any
    ) -> Stream[str]: ...

    @overload
    def stream(
        self, messages: Messages, *, model: str | None = None, raw: Literal[True], **fields: Any
    ) -> Stream[Event]: ...

    def stream(self, messages: Messages, *, model: str | None = None, raw: bool = False, **fields: Any) -> Stream[Any]:
        """A stream; nothing is sent before it is entered or iterated. See :meth:`AsyncStreamClient.stream`."""
        inner: AsyncStream[Any] = (
            self._client.stream(messages, model=model, raw=True, **fields)
            if raw
            else self._client.stream(messages, model=model, **fields)
        )
        return Stream(self._loop, inner)

    def generate(
        self,
        messages: Messages,
        *,
        on_chunk: Callable[[str], object] | None = None,
        on_complete: Callable[[StreamResult], object] | None = None,
        on_error: Callable[[TidegateError], object] | None = None,
        model: str | None = None,
        **fields: Any,
    ) -> StreamResult:
        """Run one stream to its end. ``on_complete`` is called for a complete answer only; with ``on_error`` an error
        goes there and is not raised.

        :raises TidegateError: without ``on_error``.
        """
        stream = self.stream(messages, model=model, **fields)
        try:
            with stream:
                for piece in stream:
                    if on_chunk is not None:
                        on_chunk(piece)
        except TidegateError as error:
            if on_error is None:
                raise
            on_error(error)
        else:
            if on_complete is not None:
                on_complete(stream.result)
        return stream.result
