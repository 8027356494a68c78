"""An HTTP/1.1 client that hides nothing: the bytes that came, and how the connection ended."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from typing import Any

from tidegate.wire.sse import SseDecoder

__all__ = ["HTTP2_PORTS", "Reader", "ask", "post", "request_bytes"]

HTTP2_PORTS: set[int] = set()
"""Where a gateway listens that is to be asked over HTTP/2 with TLS."""


def request_bytes(
    path: str, body: bytes, headers: Mapping[str, str] | None = None, method: str = "POST", length: int | None = None
) -> bytes:
    """One request."""
    lines = [f"{method} {path} HTTP/1.1", "host: test", f"content-length: {len(body) if length is None else length}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


class Reader:
    """One connection. ``whole`` tells whether the body's end was announced by its framing."""

    def __init__(self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.stream = stream
        self.writer = writer
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.whole = False
        self.reset = False

    @classmethod
    async def connect(cls, port: int, *, receive_buffer: int | None = None) -> Reader:
        sock = socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
            if port in HTTP2_PORTS:
                from tests.fakes.http2 import Http2Reader, client_context

                made = await asyncio.open_connection(
                    sock=sock, ssl=client_context(), server_hostname="localhost", limit=1 << 16
                )
                return Http2Reader(*made)
            stream, writer = await asyncio.open_connection(sock=sock, limit=1 << 16)
        except BaseException:
            sock.close()
            raise
        return cls(stream, writer)

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> int:
        """Read the response head; returns the status."""
        head = await self.stream.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split(" ")[1])
        self.headers = {}
        for line in lines:
            name, colon, value = line.partition(": ")
            name = name.lower()  # ours are; a proxy's need not be
            if colon:
                assert name not in self.headers, f"{name} came twice"
                self.headers[name] = value
        self.body, self.whole = b"", False
        return self.status

    async def chunk(self) -> bytes:
        """The next chunk, or a body of known length; ``b""`` at the end, whichever it was."""
        if self.status == 204:
            self.whole = True
            return b""
        try:
            if self.headers.get("transfer-encoding") == "chunked":
                size = int(await self.stream.readuntil(b"\r\n"), 16)
                data = await self.stream.readexactly(size)
                assert await self.stream.readexactly(2) == b"\r\n"
            else:
                data = await self.stream.readexactly(int(self.headers["content-length"]) - len(self.body))
        except asyncio.IncompleteReadError:
            return b""
        except ConnectionError:
            self.reset = True
            return b""
        self.whole = not data or "content-length" in self.headers
        self.body += data
        return data

    async def rest(self) -> bytes:
        """The whole body."""
        while await self.chunk() and not self.whole:
            pass
        return self.body

    async def until(self, text: bytes) -> None:
        """Read until the body holds ``text``."""
        while text not in self.body:
            assert await self.chunk(), f"the body ended before {text!r}"

    def half_close(self) -> None:
        self.writer.write_eof()

    def hang_up(self) -> None:
        """RST: what a killed client looks like."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            pass

    def events(self) -> list[Any]:
        """What came, whatever its framing: each JSON, and ``"[DONE]"``."""
        if self.headers.get("content-type", "").startswith("text/event-stream"):
            data = [event.data for event in SseDecoder(max_event=1 << 30).feed(self.body)]
        else:
            data = [line for line in self.body.split(b"\n") if line]
        return [each.decode() if each == b"[DONE]" else json.loads(each) for each in data]

    @property
    def text(self) -> str:
        """The first choice's text, reasoning and refusal."""
        found = []
        for event in self.events():
            for choice in event.get("choices", ()) if isinstance(event, dict) else ():
                delta = choice.get("delta", {})
                found += [delta[name] for name in ("content", "reasoning_content", "refusal") if delta.get(name)]
        return "".join(found)

    @property
    def error(self) -> dict[str, Any] | None:
        """The error in the body, wherever it stands."""
        found = [event["error"] for event in self.events() if isinstance(event, dict) and "error" in event]
        assert len(found) <= 1
        return found[0] if found else None

    @property
    def finish(self) -> str | None:
        """The first choice's finish reason."""
        for event in self.events():
            for choice in event.get("choices", ()) if isinstance(event, dict) else ():
                if choice.get("finish_reason"):
                    return str(choice["finish_reason"])
        return None

    @property
    def done(self) -> bool:
        """The end marker came, and last."""
        events = self.events()
        assert "[DONE]" not in events[:-1]
        return bool(events) and events[-1] == "[DONE]"


async def ask(
    port: int, path: str, body: Any, headers: Mapping[str, str] | None = None, method: str = "POST"
) -> Reader:
    """One request and its whole response, on a connection of its own."""
    return await post(port, path, b"" if body is None else json.dumps(body).encode(), headers, method)


async def post(
    port: int, path: str, body: bytes, headers: Mapping[str, str] | None = None, method: str = "POST"
) -> Reader:
    """The same with a body as it stands."""
    reader = await Reader.connect(port)
    try:
        reader.send(request_bytes(path, body, headers, method))
        await reader.head()
        await reader.rest()
    finally:
        await reader.close()
    return reader
