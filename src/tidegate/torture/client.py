"""The client: reads what comes without any kindness, or behaves badly itself."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, Final
from urllib.parse import SplitResult

import httptools

from tidegate.torture.judge import Observed

__all__ = ["Client", "Connection"]

_MOST: Final = 64 * 1024 * 1024
"""Bytes of one answer that are kept."""


class Connection(asyncio.Protocol):
    """One connection for one answer."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.got = Observed()
        self.heard_at = monotonic()
        """When bytes came last."""
        self._parser = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._size = 0
        self._framed = False
        self._over = asyncio.Event()
        self._changed = asyncio.Event()

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.heard_at = monotonic()
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            # Garbage inside a body is a broken body; a head that cannot be read is no answer at all.
            self._end("cut" if self.got.status else "not http")
        self._changed.set()

    def eof_received(self) -> bool:
        self._closed()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed(broken=exc is not None)
        self._changed.set()

    def _closed(self, *, broken: bool = False) -> None:
        by_closing = bool(self.got.status) and not self._framed and not broken
        self._end("whole" if by_closing else "cut")

    def _end(self, how: Any) -> None:
        if not self._over.is_set():
            self.got.ending = how
            self._over.set()

    # The parser's side.

    def on_header(self, name: bytes, value: bytes) -> None:
        self.got.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            self.got.headers.clear()
            return
        self.got.status = status
        headers = self.got.headers
        self._framed = "content-length" in headers or "chunked" in headers.get("transfer-encoding", "")
        self._framed = self._framed or status in (204, 304)

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size <= _MOST:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        if self.got.status:
            self._end("whole")

    # The suite's side.

    @property
    def body(self) -> bytes:
        """What has come of it so far."""
        self._parts = [b"".join(self._parts)]
        return self._parts[0]

    async def until(self, true: Callable[[], bool], seconds: float) -> bool:
        """Wait for something to be true of what has come."""
        deadline = monotonic() + seconds
        while not true() and not self._over.is_set():
            self._changed.clear()
            try:
                async with asyncio.timeout(deadline - monotonic()):
                    await self._changed.wait()
            except TimeoutError:
                break
        return true()

    async def read(self, quiet: float) -> Observed:
        """The whole answer; given up when nothing has come for ``quiet`` seconds, or after three times as long.

        The second limit is for those who send comments for ever: an answer of the suite takes a second.
        """
        began = self.heard_at = monotonic()
        while not self._over.is_set():
            left = min(self.heard_at + quiet, began + 3 * quiet) - monotonic()
            if left <= 0:
                break
            try:
                async with asyncio.timeout(left):
                    await self._over.wait()
            except TimeoutError:
                continue
        self.got.body = self.body
        return self.got

    def abort(self) -> None:
        """Hang up."""
        self.transport.abort()


class Client:
    """Makes connections to one gateway.

    :param url: of the chat endpoint.
    """

    def __init__(self, url: SplitResult, model: str, headers: Mapping[str, str]) -> None:
        self._url = url
        self._tls = ssl.create_default_context() if url.scheme == "https" else None
        self._model = model
        self._headers = headers

    async def connect(self, seconds: float) -> Connection:
        """One connection.

        :raises OSError: there is none to be had.
        :raises TimeoutError: not within ``seconds``.
        """
        host, port = self._url.hostname or "", self._url.port or (443 if self._tls is not None else 80)
        async with asyncio.timeout(seconds):
            _, connection = await asyncio.get_running_loop().create_connection(Connection, host, port, ssl=self._tls)
        return connection

    def request(self, prompt: str, *, stream: bool = True, body: bytes | None = None) -> bytes:
        """The bytes of one request."""
        if body is None:
            messages = [{"role": "user", "content": prompt}]
            body = json.dumps({"model": self._model, "stream": stream, "messages": messages}).encode()
        headers = {
            "host": self._url.netloc.rpartition("@")[2],
            "content-type": "application/json",
            "accept": "text/event-stream" if stream else "application/json",
            "content-length": str(len(body)),
            **self._headers,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"POST {self._url.path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body
