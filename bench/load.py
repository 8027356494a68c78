"""The load client: an epoll loop that opens streams, counts their tokens and judges whether each ended whole.

Started as its own process with one JSON document (``LoadSpec``) on standard input; prints one JSON document. Kept
cheap on purpose: one ``recv_into`` a read and two byte counts, because whatever it costs is taken from the relay's
second core.
"""

from __future__ import annotations

import dataclasses
import json
import re
import select
import socket
import sys
import time
import zlib
from dataclasses import dataclass, field

from bench.rig import raise_nofile

__all__ = ["LoadResult", "LoadSpec"]

STAMP = re.compile(rb"@(\d{20})(?:#(\d{20}))?~")
TAIL = 64


@dataclass(kw_only=True)
class LoadSpec:
    """What one load process does, ``batches`` times over."""

    port: int
    path: str = "/v1/chat/completions"
    streams: int = 50
    tokens: int = 100
    interval: float = 0.01
    ttft: float = 0.01
    stamp: int = 10
    size: int = 0
    prose: bool = False
    """Streams say prose, each a passage of its own."""
    framing: str = "sse"
    """``sse``, ``ndjson``, or ``gzip``: an event stream that is asked for compressed."""
    model: str = "bench"
    batches: int = 1
    ramp: float = 0.0
    """Seconds over which the streams of a batch start."""
    keep_alive: bool = False
    """Use the connections of the batch before; otherwise each stream has a fresh one."""
    cancel_after: int = 0
    """Close every stream after so many tokens; 0 never."""
    cancel_streams: int = 0
    """How many streams are closed so; 0 is all."""
    gaps: bool = False
    """Measure the time between two reads with a token of the same stream."""
    timeout: float = 120.0
    """For one batch; what is not whole by then is counted as incomplete."""
    headers: dict[str, str] = field(default_factory=dict)
    connections: int = 0
    """Over HTTP/2 with TLS, on so many connections, which are open before the first stream; 0: HTTP/1.1."""


@dataclass(kw_only=True)
class LoadResult:
    """What one load process saw. Times in seconds."""

    tokens: int = 0
    whole: int = 0
    broken: int = 0
    cancelled: int = 0
    seconds: float = 0.0
    ttft: list[float] = field(default_factory=list)
    overhead: list[float] = field(default_factory=list)
    """Per stream: (first token seen - request sent) - (first token sent - request arrived at the upstream)."""
    transit: list[float] = field(default_factory=list)
    """Per stamped token after the first: seen - sent."""
    gaps: list[float] = field(default_factory=list)
    closed_at: dict[int, int] = field(default_factory=dict)
    """Stream id -> monotonic nanoseconds at which it was closed on purpose."""
    problems: list[str] = field(default_factory=list)


class Stream:
    """One request and what came of it so far."""

    __slots__ = ("asked", "coded", "head", "ident", "latest", "seen", "sock", "tail")

    def __init__(self, ident: int, sock: socket.socket) -> None:
        self.ident = ident
        self.sock = sock
        self.asked = 0
        self.head: bytes | None = b""
        """The response head as far as it has come; None when it is complete."""
        self.seen = 0
        self.tail = b""
        self.coded: Coded | None = None
        self.latest = 0
        """When the last token was read, in monotonic nanoseconds."""


class Coded:
    """Undoes chunks and gzip. What it gives ends as the chunks do, so that the end is seen as it always is."""

    def __init__(self) -> None:
        self.decoder = zlib.decompressobj(31)
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        data = self.rest + data
        parts, start = [], 0
        while True:
            at = data.find(b"\r\n", start)
            size = int(data[start:at], 16) if at > start else -1
            end = at + 2 + size
            if size < 0 or len(data) < end + 2:
                break
            parts.append(self.decoder.decompress(data[at + 2 : end]) if size else b"0\r\n\r\n")
            start = end + 2
        self.rest = data[start:]
        return b"".join(parts)


class Load:
    """One process's work. The ids of streams count on over batches."""

    def __init__(self, spec: LoadSpec) -> None:
        self.spec = spec
        self.result = LoadResult()
        self.epoll = select.epoll()
        self.live: dict[int, Stream] = {}
        self.idle: list[socket.socket] = []
        self.buffer = bytearray(262144)
        self.view = memoryview(self.buffer)
        self.cancel_below = (spec.cancel_streams or sys.maxsize) if spec.cancel_after else 0

    def run(self) -> LoadResult:
        started = time.monotonic()
        for batch in range(self.spec.batches):
            self.batch(batch * self.spec.streams)
        self.result.seconds = time.monotonic() - started
        self.epoll.close()
        for sock in self.idle:
            sock.close()
        return self.result

    def batch(self, first_ident: int) -> None:
        spec = self.spec
        begin = time.monotonic()
        opened = 0
        while opened < spec.streams or self.live:
            now = time.monotonic() - begin
            if now > spec.timeout:
                break
            share = 1.0 if spec.ramp <= 0 else now / spec.ramp
            # A few at a time: the sockets that are already streaming must not wait for the ones that start.
            for _ in range(min(spec.streams, int(share * spec.streams) + 1, opened + 20) - opened):
                self.open(first_ident + opened)
                opened += 1
            for fd, _ in self.epoll.poll(0.001 if opened < spec.streams else 1.0):
                stream = self.live.get(fd)
                if stream is not None:
                    self.read(fd, stream)
        for fd in list(self.live):
            stream = self.live[fd]
            self.finish(fd, stream, problem=f"no end after {spec.timeout:.0f} s, {stream.seen} tokens")

    def open(self, ident: int) -> None:
        try:
            sock = self.idle.pop() if self.idle else socket.create_connection(("127.0.0.1", self.spec.port), timeout=30)
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream = Stream(ident, sock)
            stream.asked = time.monotonic_ns()
            sock.send(self.request(ident))
        except OSError as error:
            self.result.broken += 1
            self.problem(f"connect: {error}")
            return
        self.live[sock.fileno()] = stream
        self.epoll.register(sock, select.EPOLLIN)

    def request(self, ident: int) -> bytes:
        spec = self.spec
        script = f"[[{ident} tokens={spec.tokens} interval={spec.interval:.6f} ttft={spec.ttft:.6f}"
        script += f" stamp={spec.stamp} size={spec.size}{' prose=1' if spec.prose else ''}]]"
        body = json.dumps(
            {"model": spec.model, "stream": True, "messages": [{"role": "user", "content": script}]},
        ).encode()
        accept = "application/x-ndjson" if spec.framing == "ndjson" else "text/event-stream"
        headers = {
            "host": f"127.0.0.1:{spec.port}",
            "content-type": "application/json",
            "content-length": str(len(body)),
            "accept": accept,
            **({"accept-encoding": "gzip", "save-data": "on"} if spec.framing == "gzip" else {}),
            **({} if spec.keep_alive else {"connection": "close"}),
            **spec.headers,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"POST {spec.path} HTTP/1.1\r\n{lines}\r\n".encode() + body

    def read(self, fd: int, stream: Stream) -> None:
        buffer = self.buffer
        try:
            count = stream.sock.recv_into(buffer)
        except BlockingIOError:
            return
        except OSError as error:
            self.finish(fd, stream, problem=f"{type(error).__name__} after {stream.seen} tokens")
            return
        if not count:
            self.finish(fd, stream, problem=None if self.ended(stream) else f"cut after {stream.seen} tokens")
            return
        start = 0
        if stream.head is not None:
            start = self.read_head(fd, stream, count)
            if start < 0:
                return
        now = time.monotonic_ns()
        data: bytes | bytearray = buffer
        if stream.coded is not None:
            data = stream.coded.feed(bytes(self.view[start:count]))
            start, count = 0, len(data)
        tokens = data.count(b"~", start, count)
        if tokens and self.spec.gaps:
            if stream.seen:
                self.result.gaps.append((now - stream.latest) / 1e9)
            stream.latest = now
        stream.seen += tokens
        at = data.find(b"@", start, count)
        if at >= 0:
            self.stamps(stream, data, at, count, now)
        stream.tail = (stream.tail + bytes(data[max(start, count - TAIL) : count]))[-TAIL:]
        if self.spec.cancel_after and stream.seen >= self.spec.cancel_after and stream.ident < self.cancel_below:
            self.cancel(fd, stream)
        elif stream.tail.endswith(b"0\r\n\r\n"):
            self.finish(fd, stream, problem=None if self.ended(stream) else f"ended after {stream.seen} tokens")

    def read_head(self, fd: int, stream: Stream, count: int) -> int:
        """The offset in the buffer at which the body starts; -1 while (or because) there is none."""
        assert stream.head is not None
        before = len(stream.head)
        stream.head += bytes(self.view[:count])
        end = stream.head.find(b"\r\n\r\n")
        if end < 0:
            return -1
        if not stream.head.startswith(b"HTTP/1.1 200"):
            line = stream.head[: stream.head.find(b"\r\n")].decode("latin-1")
            body = stream.head[end + 4 :][:200].decode("latin-1")
            self.finish(fd, stream, problem=f"{line}: {body}")
            return -1
        if b"content-encoding: gzip" in stream.head[:end]:
            stream.coded = Coded()
        stream.head = None
        return end + 4 - before

    def stamps(self, stream: Stream, data: bytes | bytearray, at: int, count: int, now: int) -> None:
        """Read the send times in this read. One that is split between two reads is lost: it is a sample."""
        for match in STAMP.finditer(data, at, count):
            if match[2] is None:
                self.result.transit.append((now - int(match[1])) / 1e9)
            else:
                self.result.ttft.append((now - stream.asked) / 1e9)
                self.result.overhead.append((now - stream.asked - (int(match[1]) - int(match[2]))) / 1e9)

    def ended(self, stream: Stream) -> bool:
        """All tokens, and the framing's honest end."""
        if stream.seen != self.spec.tokens:
            return False
        if (stream.coded is not None) is not (self.spec.framing == "gzip"):
            return False
        return stream.tail.endswith(b"0\r\n\r\n") if self.spec.framing == "ndjson" else b"[DONE]" in stream.tail

    def cancel(self, fd: int, stream: Stream) -> None:
        """Hang up, like a closed tab: everything unread is thrown away."""
        self.epoll.unregister(fd)
        del self.live[fd]
        self.result.closed_at[stream.ident] = time.monotonic_ns()
        stream.sock.close()
        self.result.cancelled += 1
        self.result.tokens += stream.seen

    def finish(self, fd: int, stream: Stream, *, problem: str | None) -> None:
        self.epoll.unregister(fd)
        del self.live[fd]
        self.result.tokens += stream.seen
        if problem is None:
            self.result.whole += 1
        else:
            self.result.broken += 1
            self.problem(problem)
        if self.spec.keep_alive and problem is None and stream.tail.endswith(b"0\r\n\r\n"):
            self.idle.append(stream.sock)
        else:
            stream.sock.close()

    def problem(self, text: str) -> None:
        if len(self.result.problems) < 5:
            self.result.problems.append(text)


def main() -> None:
    """``python -m bench.load < spec.json``"""
    raise_nofile()
    spec = LoadSpec(**json.load(sys.stdin))
    load = Load(spec)
    if spec.connections:
        from bench.load_http2 import Http2Load

        load = Http2Load(spec)
    json.dump(dataclasses.asdict(load.run()), sys.stdout)


if __name__ == "__main__":
    main()
