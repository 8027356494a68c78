"""A real HTTP server that answers one kind of question as it is told to, also wrongly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

__all__ = ["Service", "service"]


class Service:
    """Answers each POST with what ``answer`` makes of its JSON.

    ``how``: ``answers``, ``stalls``, ``fails`` (500), ``cuts`` (half a body), ``babbles`` (no JSON), ``floods``.
    """

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        self.answer = answer
        self.how = "answers"
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.port = 0
        self.gone = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.strip().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                question = json.loads(await reader.readexactly(int(headers["content-length"])))
                self.asked.append((first, headers, question))
                if self.how == "stalls":
                    await reader.read()
                    return
                body = json.dumps(self.answer(question)).encode()
                status = b"200 OK"
                if self.how == "fails":
                    status = b"500 Oh"
                elif self.how == "babbles":
                    body = b"<html>" + body
                elif self.how == "floods":
                    body = b" " * 1_000_000
                writer.write(b"HTTP/1.1 %b\r\ncontent-type: application/json\r\n" % status)
                writer.write(b"content-length: %d\r\n\r\n" % len(body))
                if self.how == "cuts":
                    writer.write(body[: len(body) // 2])
                    return
                writer.write(body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.gone += 1
            writer.close()


@asynccontextmanager
async def service(answer: Callable[[Any], Any]) -> AsyncIterator[Service]:
    """One on a port of its own."""
    found = Service(answer)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        await server.wait_closed()
