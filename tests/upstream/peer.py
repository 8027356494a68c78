"""A peer that says whatever bytes a test wants, and a sink that writes down what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from tidegate.errors import UpstreamFault
from tidegate.upstream.client import UpstreamClient
from tidegate.upstream.exchange import ResponseHead
from tidegate.upstream.options import UpstreamOptions

__all__ = ["Told", "client_for", "serving"]

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Told:
    """A sink: the head, the body, and exactly one end."""

    def __init__(self) -> None:
        self.head: ResponseHead | None = None
        self.reads: list[tuple[bytes, bytes | None]] = []
        self.error: UpstreamFault | None = None
        self.over = asyncio.Event()
        self.data = asyncio.Event()

    @property
    def body(self) -> bytes:
        return b"".join(data for data, _ in self.reads)

    def on_head(self, head: ResponseHead) -> None:
        assert self.head is None, "two heads"
        assert not self.over.is_set()
        self.head = head

    def on_data(self, data: bytes, framed: bytes | None) -> None:
        assert self.head is not None, "data before the head"
        assert data, "nothing is no data"
        assert not self.over.is_set(), "data after the end"
        self.reads.append((data, framed))
        self.data.set()

    def on_end(self) -> None:
        assert not self.over.is_set(), "a second end"
        self.over.set()

    def on_lost(self, error: UpstreamFault) -> None:
        assert not self.over.is_set(), "a second end"
        self.error = error
        self.over.set()

    async def ended(self) -> Told:
        await asyncio.wait_for(self.over.wait(), 60)
        return self


@asynccontextmanager
async def serving(answer: Answer, **options: Any) -> AsyncIterator[int]:
    """A server whose connections ``answer`` handles; its port."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, **options)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def client_for(url: str, environ: dict[str, str] | None = None, **options: Any) -> AsyncIterator[UpstreamClient]:
    """A client of ``url`` that is closed afterwards, and has nothing open then."""
    given = {"name": "up", "base_url": url, "trust_env": environ is not None, "connect_timeout": 30.0, **options}
    client = UpstreamClient(UpstreamOptions(**given), environ=environ or {})
    try:
        yield client
    finally:
        await client.close()
        assert client.open_connections == client.idle_connections == 0
