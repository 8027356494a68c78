"""The load client over HTTP/2 with TLS: many streams on each of a few connections.

h2 reads and writes what is not DATA; tokens are counted in the frames as they come, for the same reason as in
:mod:`bench.load`. The windows are those of Chromium: 6 MB for a stream, 15 MB for a connection, opened again when half
of them is used.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import Event, ResponseReceived, StreamReset
from h2.settings import SettingCodes

from bench.load import TAIL, Load, LoadSpec, Stream

__all__ = ["Http2Load"]

STREAM_WINDOW = 6 * 1024 * 1024
CONNECTION_WINDOW = 15 * 1024 * 1024
MOST_STREAMS = 200
"""On one connection: servers allow 100 and more."""

DATA, END_STREAM, WINDOW_UPDATE = 0, 1, 8


class Connection:
    """One TLS connection, and the streams that are live on it."""

    def __init__(self, port: int) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", port), timeout=30)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = context.wrap_socket(plain)
        if self.sock.selected_alpn_protocol() != "h2":
            raise OSError("the server does not speak HTTP/2")
        self.h2 = H2Connection(H2Configuration(client_side=True))
        self.h2.local_settings[SettingCodes.INITIAL_WINDOW_SIZE] = STREAM_WINDOW
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(CONNECTION_WINDOW - 65535)
        self.streams: dict[int, Stream] = {}
        self.used = 0
        self.used_by: dict[int, int] = {}
        self.rest = b""
        self.flush()
        self.sock.setblocking(False)

    def flush(self) -> None:
        """Requests are small, and the other side reads: what is sent is sent at once."""
        data = self.h2.data_to_send()
        while data:
            try:
                data = data[self.sock.send(data) :]
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                select.select([], [self.sock], [], 1.0)


class Http2Load(Load):
    """One process's work, on ``spec.connections`` connections."""

    def __init__(self, spec: LoadSpec) -> None:
        super().__init__(spec)
        self.connections: list[Connection] = []
        self.by_descriptor: dict[int, Connection] = {}

    def batch(self, first_ident: int) -> None:
        spec = self.spec
        wanted = max(spec.connections, -(-spec.streams // MOST_STREAMS))
        for _ in range(wanted - len(self.connections)):
            try:
                connection = Connection(spec.port)
            except OSError as error:
                self.result.broken += spec.streams
                self.problem(f"connect: {error}")
                return
            self.connections.append(connection)
            self.by_descriptor[connection.sock.fileno()] = connection
            self.epoll.register(connection.sock, select.EPOLLIN)
        begin = time.monotonic()
        opened = 0
        while self.connections and (opened < spec.streams or any(each.streams for each in self.connections)):
            now = time.monotonic() - begin
            if now > spec.timeout:
                break
            share = 1.0 if spec.ramp <= 0 else now / spec.ramp
            for _ in range(min(spec.streams, int(share * spec.streams) + 1, opened + 20) - opened):
                self.ask(self.connections[opened % len(self.connections)], first_ident + opened)
                opened += 1
            for fd, _ in self.epoll.poll(0.001 if opened < spec.streams else 1.0):
                self.receive(self.by_descriptor[fd])
        for connection in self.connections:
            for number, stream in list(connection.streams.items()):
                self.over(connection, number, f"no end after {spec.timeout:.0f} s, {stream.seen} tokens")

    def ask(self, connection: Connection, ident: int) -> None:
        head, _, body = self.request(ident).partition(b"\r\n\r\n")
        lines = [line.partition(b": ") for line in head.split(b"\r\n")[1:]]
        fields = [(name, value) for name, _, value in lines if name not in (b"host", b"connection")]
        number = connection.h2.get_next_available_stream_id()
        stream = Stream(ident, connection.sock)
        stream.asked = time.monotonic_ns()
        connection.streams[number] = stream
        pseudo = [(b":method", b"POST"), (b":scheme", b"https"), (b":path", self.spec.path.encode())]
        pseudo.append((b":authority", b"127.0.0.1:%d" % self.spec.port))
        connection.h2.send_headers(number, pseudo + fields)
        connection.h2.send_data(number, body, end_stream=True)
        connection.flush()

    def receive(self, connection: Connection) -> None:
        while True:
            try:
                data = connection.sock.recv(262144)
            except ssl.SSLWantReadError:
                break
            except OSError as error:
                data = b""
                self.problem(type(error).__name__)
            if not data:
                self.epoll.unregister(connection.sock)
                self.connections.remove(connection)
                for number, stream in list(connection.streams.items()):
                    self.over(connection, number, f"cut after {stream.seen} tokens")
                return
            self.frames(connection, connection.rest + data)
        connection.flush()

    def frames(self, connection: Connection, data: bytes) -> None:
        now = time.monotonic_ns()
        start, size = 0, len(data)
        while size - start >= 9:
            length = int.from_bytes(data[start : start + 3], "big")
            end = start + 9 + length
            if end > size:
                break
            if data[start + 3] == DATA:
                number = int.from_bytes(data[start + 5 : start + 9], "big")
                self.tokens(connection, number, data[start + 9 : end], bool(data[start + 4] & END_STREAM), now)
            else:
                for event in connection.h2.receive_data(data[start:end]):
                    self.told(connection, event)
            start = end
        connection.rest = data[start:]

    def tokens(self, connection: Connection, number: int, data: bytes, last: bool, now: int) -> None:
        stream = connection.streams.get(number)
        self.count(connection, number, len(data))
        if stream is None:
            return
        stream.seen += data.count(b"~")
        at = data.find(b"@")
        if at >= 0:
            self.stamps(stream, data, at, len(data), now)
        stream.tail = (stream.tail + data)[-TAIL:]
        if last:
            whole = stream.seen == self.spec.tokens and (self.spec.framing == "ndjson" or b"[DONE]" in stream.tail)
            self.over(connection, number, None if whole else f"ended after {stream.seen} tokens")
        elif self.spec.cancel_after and stream.seen >= self.spec.cancel_after and stream.ident < self.cancel_below:
            connection.h2.reset_stream(number, 8)
            self.result.closed_at[stream.ident] = time.monotonic_ns()
            self.result.cancelled += 1
            self.result.tokens += stream.seen
            del connection.streams[number]

    def count(self, connection: Connection, number: int, size: int) -> None:
        """Open the windows again, past h2, which has not seen the data."""
        connection.used += size
        used = connection.used_by[number] = connection.used_by.get(number, 0) + size
        frames = b""
        if connection.used > CONNECTION_WINDOW // 2:
            frames += struct.pack(">IBII", 4 << 8 | WINDOW_UPDATE, 0, 0, connection.used)
            connection.used = 0
        if used > STREAM_WINDOW // 2:
            frames += struct.pack(">IBII", 4 << 8 | WINDOW_UPDATE, 0, number, used)
            connection.used_by[number] = 0
        if frames:
            connection.sock.send(frames)

    def told(self, connection: Connection, event: Event) -> None:
        if isinstance(event, ResponseReceived):
            status = dict(event.headers)[b":status"]
            if status != b"200":
                self.over(connection, event.stream_id, f"HTTP/2 {status.decode()}")
        elif isinstance(event, StreamReset):
            self.over(connection, event.stream_id, "the stream was reset")

    def over(self, connection: Connection, number: int, problem: str | None) -> None:
        stream = connection.streams.pop(number, None)
        if stream is None:
            return
        self.result.tokens += stream.seen
        if problem is None:
            self.result.whole += 1
        else:
            self.result.broken += 1
            self.problem(problem)
