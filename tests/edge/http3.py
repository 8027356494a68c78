"""A client of HTTP/3: aioquic's, with a stream that can be read piece by piece and left."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, ErrorCode, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import QuicEvent, StreamReset

__all__ = ["Answer", "Http3", "http3"]


class Answer:
    """One request's answer, as far as it has come."""

    def __init__(self, stream_id: int) -> None:
        self.stream_id = stream_id
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.whole = False
        self.reset = False
        self.news = asyncio.Event()

    async def until(self, needle: bytes) -> None:
        """Until it is in the body, or the body has ended."""
        while needle not in self.body and not self.whole and not self.reset:
            self.news.clear()
            await self.news.wait()

    async def rest(self) -> bytes:
        """The whole body."""
        while not self.whole and not self.reset:
            self.news.clear()
            await self.news.wait()
        return self.body

    def hear(self, event: Any) -> None:
        if isinstance(event, HeadersReceived) and not self.status:
            self.headers = {name.decode(): value.decode() for name, value in event.headers}
            self.status = int(self.headers[":status"])
            self.whole = event.stream_ended
        elif isinstance(event, DataReceived):
            self.body += event.data
            self.whole = event.stream_ended
        self.news.set()


class Http3(QuicConnectionProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.answers: dict[int, Answer] = {}

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Answer:
        stream_id = self._quic.get_next_available_stream_id()
        answer = self.answers[stream_id] = Answer(stream_id)
        sent = json.dumps(body).encode()
        # With its length, as every client of chat sends it: Caddy 2.6 takes a body without one for none.
        told = {"content-type": "application/json", "content-length": str(len(sent)), **(headers or {})}
        head = [(b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"localhost"), (b":path", path.encode())]
        head += [(name.encode(), value.encode()) for name, value in told.items()]
        self.http.send_headers(stream_id, head)
        self.http.send_data(stream_id, sent, end_stream=True)
        self.transmit()
        return answer

    def leave(self, answer: Answer) -> None:
        """Cancel one request, as a browser does whose page aborts it; the connection stays."""
        self._quic.stop_stream(answer.stream_id, ErrorCode.H3_REQUEST_CANCELLED)
        self.transmit()

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, StreamReset) and event.stream_id in self.answers:
            answer = self.answers[event.stream_id]
            answer.reset = True
            answer.news.set()
        for told in self.http.handle_event(event):
            answer_to = self.answers.get(getattr(told, "stream_id", -1))
            if answer_to is not None:
                answer_to.hear(told)


@asynccontextmanager
async def http3(port: int, root: Path) -> AsyncIterator[Http3]:
    """A connection to ``localhost``, whose certificate is checked against ``root``."""
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name="localhost")
    configuration.load_verify_locations(cafile=str(root))
    async with connect("127.0.0.1", port, configuration=configuration, create_protocol=Http3) as client:
        assert isinstance(client, Http3)
        yield client
