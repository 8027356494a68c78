"""A model server that does not know ``stream_options``, and says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["picky_server"]

_GOOD = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
_BAD = b'{"error":{"message":"Unrecognized request argument supplied: stream_options","type":"invalid_request_error"}}'


@asynccontextmanager
async def picky_server() -> AsyncIterator[tuple[str, list[bytes]]]:
    """Its URL, and the bodies that it was sent."""
    bodies: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        bodies.append(body)
        status, kind, said = (
            (b"400 Bad Request", b"application/json", _BAD)
            if b"stream_options" in body
            else (b"200 OK", b"text/event-stream", _GOOD)
        )
        writer.write(
            b"HTTP/1.1 %b\r\ncontent-type: %b\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
            % (status, kind, len(said), said)
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", bodies
    finally:
        server.close()
