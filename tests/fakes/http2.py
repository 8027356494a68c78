"""The same reader over HTTP/2 with TLS. What a test writes for HTTP/1.1 goes out as frames, so that one test serves."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections import deque
from contextlib import suppress
from functools import cache
from pathlib import Path

import trustme
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, ResponseReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError, StreamClosedError
from h2.settings import SettingCodes

from tests.fakes.reader import Reader
from tidegate.server.compression import unframed

__all__ = ["Http2Reader", "authority", "certificate", "client_context"]

CLOSING = (ConnectionError, ssl.SSLError, TimeoutError)
_KEPT = tempfile.TemporaryDirectory(prefix="tidegate-tls-")


@cache
def authority() -> trustme.CA:
    """Who signs for the tests."""
    return trustme.CA()


@cache
def certificate() -> tuple[str, str]:
    """The files of a certificate for this machine, and of its key."""
    folder = Path(_KEPT.name)
    made = authority().issue_cert("localhost", "127.0.0.1")
    made.private_key_pem.write_to_path(folder / "key.pem")
    made.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    return str(folder / "cert.pem"), str(folder / "key.pem")


@cache
def client_context(*protocols: str) -> ssl.SSLContext:
    """A client's, which trusts the tests' authority and speaks ``protocols``."""
    context = ssl.create_default_context()
    authority().configure_trust(context)
    context.set_alpn_protocols(list(protocols or ("h2",)))
    return context


class Http2Reader(Reader):
    """One connection, one request after the other. It gives the peer room for as much as it has read."""

    def __init__(self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(stream, writer)
        self.h2 = H2Connection(H2Configuration(client_side=True))
        self.h2.local_settings[SettingCodes.ENABLE_PUSH] = 0
        self.h2.initiate_connection()
        self.number = 0
        self._asked = b""
        self._left = 0
        self._unsent = b""
        self._events: deque[Event] = deque()
        self._flush()

    def send(self, data: bytes) -> None:
        """Bytes of a request as HTTP/1.1 has them, or of its body."""
        if not self._left:
            self._asked += data
            head, end, data = self._asked.partition(b"\r\n\r\n")
            if not end:
                return
            self._asked = b""
            if b"\r\ntransfer-encoding: chunked" in head:  # HTTP/2 has no such thing, and needs no length either
                data = unframed(data)
                head = head.replace(b"\r\ntransfer-encoding: chunked", b"")
                self._left = len(data)
            self._ask(head)
        if self._left:
            self._left -= len(data)
            self._unsent += data
        self._push()

    def _push(self) -> None:
        """As much of the body as the peer has room for."""
        while self._unsent:
            room = min(self.h2.local_flow_control_window(self.number), self.h2.max_outbound_frame_size)
            if not room:
                break
            data, self._unsent = self._unsent[:room], self._unsent[room:]
            self.h2.send_data(self.number, data, end_stream=not (self._left or self._unsent))
        self._flush()

    def _ask(self, head: bytes) -> None:
        first, *lines = head.split(b"\r\n")
        method, path, _ = first.split(b" ")
        pairs = [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
        given = dict(pairs)
        self._left = int(given.get(b"content-length", self._left))
        self.number = self.h2.get_next_available_stream_id()
        fields = [(b":method", method), (b":scheme", b"https"), (b":authority", given[b"host"]), (b":path", path)]
        hops = {b"host", b"connection", *given.get(b"connection", b"").replace(b" ", b"").split(b",")}
        fields += [pair for pair in pairs if pair[0] not in hops]
        self.h2.send_headers(self.number, fields, end_stream=not self._left)

    async def head(self) -> int:
        while True:
            event = await self._next()
            if event is None:
                raise asyncio.IncompleteReadError(b"", None)
            if isinstance(event, ResponseReceived):
                break
        self.status, self.headers = 0, {}
        for raw_name, raw_value in event.headers:
            name, value = raw_name.decode(), raw_value.decode("latin-1")
            if name == ":status":
                self.status = int(value)
            else:
                assert name not in self.headers, f"{name} came twice"
                self.headers[name] = value
        self.body, self.whole = b"", False
        return self.status

    async def chunk(self) -> bytes:
        while True:
            event = await self._next()
            if event is None:
                return b""
            if isinstance(event, StreamEnded):
                self.whole = True
                return b""
            if isinstance(event, StreamReset):
                self.reset = True
                return b""
            if isinstance(event, DataReceived) and event.data:
                self.body += event.data
                return event.data

    async def _next(self) -> Event | None:
        """The next event of the request's stream; ``None``: the connection has ended."""
        while True:
            while self._events:
                event = self._events.popleft()
                if isinstance(event, DataReceived):
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    self._flush()
                if getattr(event, "stream_id", 0) == self.number:
                    return event
            try:
                data = await self.stream.read(16_384)
            except CLOSING:
                self.reset = True
                return None
            if not data:
                return None
            self._events.extend(self.h2.receive_data(data))
            if self.h2.streams.get(self.number) is None or any(isinstance(e, StreamReset) for e in self._events):
                self._unsent = b""
            self._push()

    def _flush(self) -> None:
        data = self.h2.data_to_send()
        if data:
            self.writer.write(data)

    def half_close(self) -> None:
        """What HTTP/2 has in its place: the stream is cancelled, and the connection stays."""
        with suppress(StreamClosedError):  # the answer has ended, and nobody has read that yet
            self.h2.reset_stream(self.number, ErrorCodes.CANCEL)
        self._flush()

    async def close(self) -> None:
        self.writer.close()
        try:
            await asyncio.wait_for(self.writer.wait_closed(), 5)
        except (*CLOSING, ProtocolError):
            self.writer.transport.abort()
