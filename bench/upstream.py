"""The bench's model server: an epoll loop that sends scripted streams and stamps tokens with the monotonic clock.

Why not ``tidegate simulate``: the rig needs a send time inside the token (transit is measured per token, across
processes, on one clock), a shape that every relay passes on untouched, and a cost per token low enough that the
relay, not the rig, is what saturates. One thread, no event loop library, one ``send`` per token.

The shape of a stream stands in the prompt, because a prompt is what every relay passes on:
``[[17 tokens=100 interval=0.01 ttft=0.01 stamp=10 size=0]]``; 17 is the stream's id in ``GET /stats``. With ``prose=1``
each stream says a passage of its own of English prose, for relays whose cost depends on what is said.
"""

from __future__ import annotations

import argparse
import heapq
import json
import re
import select
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from bench.rig import raise_nofile

SCRIPT = re.compile(rb"\[\[(\d+)((?: [a-z]+=[0-9.]+)*)\]\]")
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
SSE_HEAD = (
    b"HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\nserver: bench\r\n"
    b"content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
)
CHUNK = (
    b'data: {"id":"chatcmpl-5d41402abc4b2a76b9719d911017c592","object":"chat.completion.chunk","created":1767225600,'
    b'"model":"bench","choices":[{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s}]}\n\n'
)
LATE_LIMIT = 0.05
"""A stream that is further behind than this starts its schedule anew: no burst to catch up."""


def framed(event: bytes) -> bytes:
    """``event`` as one chunk of chunked framing."""
    return b"%x\r\n%s\r\n" % (len(event), event)


ROLE = framed(CHUNK % (b'{"role":"assistant","content":""}', b"null"))
PLAIN = framed(CHUNK % (b'{"content":" tide~"}', b"null"))
STAMPED = framed(CHUNK % (b'{"content":"@%020d~"}', b"null") % 0).replace(b"0" * 20, b"%020d")
FIRST = framed(CHUNK % (b'{"content":"@%020d#%020d~"}', b"null") % (0, 0)).replace(b"0" * 20, b"%020d")
STOP = framed(CHUNK % (b"{}", b'"stop"'))
DONE = framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"
USAGE = (
    b'data: {"id":"chatcmpl-5d41402abc4b2a76b9719d911017c592","object":"chat.completion.chunk","created":1767225600,'
    b'"model":"bench","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":%d,"total_tokens":%d}}\n\n'
)
"""For whoever asks for it with ``stream_options.include_usage``, as model servers do."""


PASSAGE = 400
"""Tokens between where two streams begin in the prose."""


@cache
def prose_events() -> list[bytes]:
    """Prose as tokens. The mark that the load client counts stands where a space would, so words end as they do."""
    from bench.safety.texts import prose, tokens

    marked = [f"~{token.removeprefix(' ')}" for token in tokens(prose().replace("~", "-").replace("@", "a"))]
    deltas = [json.dumps({"content": token}, ensure_ascii=False, separators=(",", ":")) for token in marked]
    return [framed(CHUNK % (delta.encode(), b"null")) for delta in deltas]


@dataclass(slots=True)
class Stream:
    """One generation. Every token holds exactly one ``~``: that is how the load client counts."""

    ident: int
    tokens: int
    interval: float
    stamp: int
    plain: bytes
    arrived: int
    due: float
    sent: int = 0
    usage: bool = False
    prose: list[bytes] | None = None

    def next_bytes(self, now: int) -> bytes:
        """The next token's bytes; the first comes behind the role event, the last before the end marker."""
        index = self.sent
        self.sent = index + 1
        if index == 0:
            data = ROLE + FIRST % (now, self.arrived)
        elif self.stamp and index % self.stamp == 0:
            data = STAMPED % now
        elif self.prose is not None:
            data = self.prose[(self.ident * PASSAGE + index) % len(self.prose)]
        else:
            data = self.plain
        if self.sent < self.tokens:
            return data
        told = framed(USAGE % (self.tokens, 12 + self.tokens)) if self.usage else b""
        return data + STOP + told + DONE


@dataclass(slots=True)
class Peer:
    """One connection from a relay."""

    sock: socket.socket
    buffer: bytes = b""
    unsent: bytes = b""
    stream: Stream | None = None


@dataclass(slots=True)
class Stats:
    """What ``GET /stats`` tells; ``?reset`` starts it anew."""

    started: int = 0
    completed: int = 0
    sent_bytes: int = 0
    aborts: list[dict[str, int]] = field(default_factory=list)


class Upstream:
    """The server. ``run`` never returns."""

    def __init__(self, port: int) -> None:
        self.listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        self.listener.setblocking(False)
        self.epoll = select.epoll()
        self.epoll.register(self.listener, select.EPOLLIN)
        self.peers: dict[int, Peer] = {}
        self.heap: list[tuple[float, int]] = []
        self.stats = Stats()

    def run(self) -> None:
        """Serve until killed. Timers have the 1 ms grain of epoll; several tokens due are several sends."""
        while True:
            timeout = -1.0
            if self.heap:
                timeout = max(0.0, self.heap[0][0] - time.monotonic())
            for fd, mask in self.epoll.poll(timeout):
                if fd == self.listener.fileno():
                    self.accept()
                elif (peer := self.peers.get(fd)) is not None:
                    if mask & select.EPOLLOUT:
                        self.resume(fd, peer)
                    if mask & ~select.EPOLLOUT:
                        self.read(fd, peer)
            self.send_due()

    def accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.peers[sock.fileno()] = Peer(sock)
            self.epoll.register(sock, select.EPOLLIN)

    def send_due(self, budget: int = 256) -> None:
        """Send the tokens that are due, at most ``budget`` of them before the sockets are looked at again."""
        heap = self.heap
        now = time.monotonic()
        while budget and heap and heap[0][0] <= now:
            budget -= 1
            _, fd = heap[0]
            peer = self.peers.get(fd)
            stream = peer.stream if peer is not None else None
            if peer is None or stream is None or peer.unsent or stream.due != heap[0][0]:
                heapq.heappop(heap)  # gone, ended, or waiting for its socket: resume() schedules it again
                continue
            if not self.write(fd, peer, stream.next_bytes(time.monotonic_ns())):
                heapq.heappop(heap)
                continue
            if stream.sent == stream.tokens:
                heapq.heappop(heap)
                self.complete(fd, peer)
                continue
            stream.due += stream.interval
            if stream.due < now - LATE_LIMIT:
                stream.due = now
            heapq.heapreplace(heap, (stream.due, fd))

    def write(self, fd: int, peer: Peer, data: bytes) -> bool:
        """Send now; what the socket refuses waits for EPOLLOUT. False when it waits or the peer is gone."""
        try:
            count = peer.sock.send(data)
        except BlockingIOError:
            count = 0
        except OSError:
            self.drop(fd, peer)
            return False
        self.stats.sent_bytes += count
        if count < len(data):
            peer.unsent = data[count:]
            self.epoll.modify(fd, select.EPOLLIN | select.EPOLLOUT)
            return False
        return True

    def resume(self, fd: int, peer: Peer) -> None:
        data, peer.unsent = peer.unsent, b""
        if not self.write(fd, peer, data):
            return
        self.epoll.modify(fd, select.EPOLLIN)
        if (stream := peer.stream) is not None:
            if stream.sent == stream.tokens:
                self.complete(fd, peer)
            else:
                stream.due = time.monotonic()
                heapq.heappush(self.heap, (stream.due, fd))

    def complete(self, fd: int, peer: Peer) -> None:
        self.stats.completed += 1
        peer.stream = None
        self.requests(fd, peer)

    def read(self, fd: int, peer: Peer) -> None:
        try:
            data = peer.sock.recv(262144)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.drop(fd, peer)
            return
        peer.buffer += data
        if peer.stream is None:
            self.requests(fd, peer)

    def drop(self, fd: int, peer: Peer) -> None:
        """The relay closed. A generation that was running is aborted: this is the moment that cancel latency ends."""
        if peer.stream is not None:
            entry = {"id": peer.stream.ident, "at": time.monotonic_ns(), "after_tokens": peer.stream.sent}
            self.stats.aborts.append(entry)
        if self.peers.pop(fd, None) is not None:
            self.epoll.unregister(fd)
            peer.sock.close()

    def requests(self, fd: int, peer: Peer) -> None:
        """Start what the buffer asks for; a second request waits until the first is answered."""
        for head, body in self.take(peer):
            if head.startswith(b"GET "):
                self.answer(fd, peer, self.get(head))
            elif (match := SCRIPT.search(body)) is not None:
                self.start(fd, peer, match, usage=b'"include_usage":true' in body)
                return
            else:
                self.answer(fd, peer, {"object": "chat.completion", "choices": []})

    def take(self, peer: Peer) -> Iterator[tuple[bytes, bytes]]:
        while (end := peer.buffer.find(b"\r\n\r\n")) >= 0:
            head = peer.buffer[:end]
            match = LENGTH.search(head)
            stop = end + 4 + (int(match[1]) if match else 0)
            if len(peer.buffer) < stop:
                return
            body = peer.buffer[end + 4 : stop]
            peer.buffer = peer.buffer[stop:]
            yield head, body

    def start(self, fd: int, peer: Peer, match: re.Match[bytes], *, usage: bool) -> None:
        values = dict(pair.split("=") for pair in match[2].decode().split())
        size = int(values.get("size", 0))
        plain = framed(CHUNK % (b'{"content":"%s~"}' % (b"x" * size), b"null")) if size else PLAIN
        due = time.monotonic() + float(values.get("ttft", 0.01))
        peer.stream = Stream(
            ident=int(match[1]),
            tokens=int(values.get("tokens", 100)),
            interval=float(values.get("interval", 0.01)),
            stamp=int(values.get("stamp", 10)),
            plain=plain,
            arrived=time.monotonic_ns(),
            due=due,
            usage=usage,
            prose=prose_events() if values.get("prose") == "1" else None,
        )
        self.stats.started += 1
        if self.write(fd, peer, SSE_HEAD):
            heapq.heappush(self.heap, (due, fd))

    def get(self, head: bytes) -> dict[str, object]:
        target = head.split(b" ", 2)[1]
        if target.startswith(b"/stats"):
            stats = self.stats
            if target.endswith(b"?reset"):
                self.stats = Stats()
            running = sum(1 for peer in self.peers.values() if peer.stream is not None)
            return {
                "running": running,
                "connections": len(self.peers),
                "started": stats.started,
                "completed": stats.completed,
                "sent_bytes": stats.sent_bytes,
                "aborts": stats.aborts,
            }
        # What the routers ask a worker for before they trust it.
        model = {"id": "bench", "object": "model", "created": 0, "owned_by": "bench"}
        return {"object": "list", "data": [model], "model_path": "bench", "status": "ok"}

    def answer(self, fd: int, peer: Peer, document: dict[str, object]) -> None:
        body = json.dumps(document).encode()
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.write(fd, peer, head + body)


def main() -> None:
    """``python -m bench.upstream --port N``"""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    raise_nofile()
    Upstream(parser.parse_args().port).run()


if __name__ == "__main__":
    main()
