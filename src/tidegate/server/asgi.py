"""The relay's downstream on any ASGI server: a bounded queue between plain calls and ``await send()``."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from tidegate.relay.direct import Direct
from tidegate.relay.downstream import BODILESS, Reader

__all__ = ["AsgiDownstream"]

Message = MutableMapping[str, Any]


class AsgiDownstream:
    """Use as an async context manager around the stream: inside it, two tasks send and watch for a hang-up.

    :param high_water: unsent bytes above which the reader counts as behind; a quarter of it is the low-water mark.
    :param close: the server shall not keep the connection (HTTP/1.1 only).
    """

    framed = False
    direct: Direct | None = None
    coded: None = None

    def __init__(
        self,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
        *,
        high_water: int,
        close: bool = False,
    ) -> None:
        self._receive = receive
        self._send = send
        self._high = high_water
        self._close = close
        self._low = high_water // 4
        self._queue: deque[Message] = deque()
        self._size = 0
        self._paused = False
        self._over = False
        self._gone = False
        self._reader: Reader | None = None
        self._work = asyncio.Event()
        self._closed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def bind(self, reader: Reader) -> None:
        self._reader = reader
        if self._gone:
            self._tell_gone()

    def start(self, status: int, headers: Sequence[tuple[bytes, bytes]], length: int | None = None) -> None:
        told = list(headers)
        if length is not None and status not in BODILESS:
            told.append((b"content-length", b"%d" % length))
        if self._close:
            told.append((b"connection", b"close"))
        self._put({"type": "http.response.start", "status": status, "headers": told})

    def write(self, data: bytes) -> None:
        self._put({"type": "http.response.body", "body": data, "more_body": True})
        self._size += len(data)
        if self._size > self._high and not self._paused and self._reader is not None:
            self._paused = True
            self._reader.on_pause()

    def write_framed(self, framed: bytes) -> None:
        raise NotImplementedError("plain ASGI does its own framing")

    def finish(self, data: bytes = b"") -> None:
        self._put({"type": "http.response.body", "body": data, "more_body": False})
        self._reader = None
        self._over = True

    def abort(self) -> None:
        # A response that returns without its end is closed by the server: the reader sees that it is not whole.
        self._reader = None
        self._over = self._gone = True
        self._queue.clear()
        self._closed.set()

    async def closed(self) -> None:
        """Until the response is sent whole, aborted, or the reader gone."""
        await self._closed.wait()

    async def __aenter__(self) -> AsgiDownstream:
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._pump()), loop.create_task(self._watch())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _put(self, message: Message) -> None:
        if not self._gone:
            self._queue.append(message)
            self._work.set()

    async def _pump(self) -> None:
        try:
            while True:
                while self._queue:
                    message = self._queue.popleft()
                    await self._send(message)
                    if message["type"] == "http.response.body" and not message["more_body"]:
                        self._closed.set()
                        return
                    self._sent(len(message.get("body", b"")))
                self._work.clear()
                await self._work.wait()
        except OSError:  # what ASGI 2.4 raises when the peer has gone
            self._tell_gone()

    def _sent(self, size: int) -> None:
        self._size -= size
        if self._paused and self._size <= self._low:
            self._paused = False
            if self._reader is not None:
                self._reader.on_resume()

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._tell_gone()

    def _tell_gone(self) -> None:
        if self._over and not self._gone and not self._queue:
            # The server also says "disconnect" once the response is complete.
            self._closed.set()
            return
        self._gone = True
        self._queue.clear()
        self._closed.set()
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.on_gone()
