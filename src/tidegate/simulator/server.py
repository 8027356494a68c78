"""The simulated model server: scripts played over HTTP/1.1 on raw sockets, and the truth about what was played.

One heap and one timer serve all generations, and what is sent was made before: a token costs a heap operation and a
system call.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import socket
import struct
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from time import monotonic
from typing import Any, Final

import httptools

from tidegate.simulator.calls import CALLS, Call, Files, read_json
from tidegate.simulator.faults import TABLE, fault_of
from tidegate.simulator.options import SimulatorOptions
from tidegate.simulator.script import MODELS, Asked, Script, asked_of, error_script, script_of, whole_script

__all__ = ["Simulator", "Truth", "script_for"]

MAX_BODY: Final = 64 * 1024 * 1024
MAX_HEAD: Final = 65536
KEPT: Final = 20_000
"""Truths and aborts remembered."""

_REASONS: Final = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}


@dataclass(slots=True)
class Truth:
    """What really happened in one generation. Times are ``time.monotonic``, comparable on one machine."""

    id: int
    model: str
    tag: str
    request_at: float
    first_token_at: float | None = None
    """Read right before the bytes were given to the socket: no peer can have seen the token earlier."""
    last_token_at: float | None = None
    tokens: int = 0
    """Tokens sent."""
    ended_at: float | None = None
    aborted: bool = False
    """The peer went away before the script was over."""


class Simulator:
    """One server. ``start`` and ``close`` may be used once each.

    :param options: how it answers when the model's name does not say otherwise.
    :param on_tokens: told after every write that held tokens; ``tokens`` and ``last_token_at`` say how many there
        were so far and when the last ones left. For whoever needs the time of each token, which nobody else pays for.
    """

    def __init__(
        self, options: SimulatorOptions | None = None, *, on_tokens: Callable[[Truth], None] | None = None
    ) -> None:
        self.options = options if options is not None else SimulatorOptions()
        self.on_tokens = on_tokens
        self.port = 0
        self.connections: set[_Peer] = set()
        self.truths: deque[Truth] = deque(maxlen=KEPT)
        self.aborts: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._host = ""
        self._server: asyncio.Server | None = None
        self.files = Files()
        self._counts: Counter[str] = Counter()
        self._turns: Counter[str] = Counter()
        self._running = 0
        self._heap: list[tuple[float, int, _Playing]] = []
        self._sequence = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    @property
    def url(self) -> str:
        """The base URL, as an upstream's ``base_url``."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}/v1"

    @property
    def models(self) -> tuple[str, ...]:
        """The models that answer well."""
        return tuple(f"sim/{name}" for name in MODELS)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen.

        :param port: 0 takes a free one.
        :raises OSError: the address cannot be had.
        """
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._server = await loop.create_server(lambda: _Peer(self), host, port, backlog=4096)
        self._host, self.port = host, self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop; leaves no socket, task or timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._server is not None:
            self._server.close()
        for peer in list(self.connections):
            peer.transport.abort()
        while self.connections:  # noqa: ASYNC110 - one loop turn
            await asyncio.sleep(0)
        if self._server is not None:
            await self._server.wait_closed()

    def stats(self) -> dict[str, Any]:
        """Counts, and the truth of the last generations."""
        return {
            "running": self._running,
            "connections": len(self.connections),
            "requests": self._counts["requests"],
            "started": self._counts["started"],
            "completed": self._counts["completed"],
            "aborted": self._counts["aborted"],
            "tokens": self._counts["tokens"],
            "aborts": list(self.aborts),
            "truths": [asdict(truth) for truth in self.truths],
        }

    def reset(self) -> None:
        """Forget what was counted; what runs goes on."""
        self._counts.clear()
        self._turns.clear()
        self.truths.clear()
        self.aborts.clear()

    # What a request becomes.

    def steering(self, request: dict[str, Any], headers: dict[str, str]) -> str:
        """The name that chooses the script: the model's, unless a simulator finds it elsewhere."""
        return str(request.get("model", ""))

    def fallback(self, method: str, path: str) -> Script:
        """The answer to what it does not know."""
        return error_script(404, f"Unknown path: {method} {path}", "unknown_url")

    def answer(self, peer: _Peer, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        """Play the script that a request asks for."""
        self._counts["requests"] += 1
        if path.startswith("/v1/"):
            if method == "POST" and path == "/v1/chat/completions":
                self._chat(peer, headers, body)
                return
            call = CALLS.get((method, path)) or (
                self.files.call(method, path) if path.startswith("/v1/files") else None
            )
            if call is not None:
                self._call(peer, call, headers, body)
                return
            if method == "GET" and path == "/v1/models":
                faults = (f"sim/{name}" for name in TABLE)
                data = [{"id": name, "object": "model", "created": 0, "owned_by": "sim"} for name in self.models]
                peer.reply(200, {"object": "list", "data": data, "faults": list(faults)})
                return
        elif (method, path) == ("GET", "/healthz"):
            peer.reply(200, {"status": "ok"})
            return
        elif (method, path) == ("GET", "/sim/stats"):
            peer.reply(200, self.stats())
            return
        elif (method, path) == ("POST", "/sim/reset"):
            self.reset()
            peer.reply(200, {"status": "reset"})
            return
        self.play(peer, self.fallback(method, path), None)

    def _chat(self, peer: _Peer, headers: dict[str, str], body: bytes) -> None:
        self._generate(peer, headers, body, read_json, lambda asked, stream, _: script_for(asked, stream=stream))

    def _call(self, peer: _Peer, call: Call, headers: dict[str, str], body: bytes) -> None:
        def read(body: bytes) -> dict[str, Any]:
            return call.read(headers.get("content-type", ""), body)

        self._generate(peer, headers, body, read, lambda asked, stream, request: call.script(asked, stream, request))

    def _generate(
        self,
        peer: _Peer,
        headers: dict[str, str],
        body: bytes,
        read: Callable[[bytes], dict[str, Any]],
        script: Callable[[Asked, bool, dict[str, Any]], Script],
    ) -> None:
        authorization = headers.get("authorization", "")
        key = self.options.api_key
        if key and authorization != f"Bearer {key}":
            self.play(peer, error_script(401, "Incorrect API key provided.", "invalid_api_key"), None)
            return
        try:
            request = read(body)
            model = self.steering(request, headers)
            asked = asked_of(
                {**request, "model": model}, self.options, authorization=authorization, turn=self._turns[model]
            )
        except (ValueError, AttributeError, TypeError) as error:
            self.play(peer, error_script(400, f"The request cannot be read: {error}", "invalid_request"), None)
            return
        self._turns[model] += 1
        self._counts["started"] += 1
        self._running += 1
        tag = headers.get("x-sim-tag", "")
        truth = Truth(self._counts["started"], model, tag or _tag(body), monotonic())
        self.truths.append(truth)
        self.play(peer, script(asked, bool(request.get("stream")), request), truth)

    # Playing.

    def play(self, peer: _Peer, script: Script, truth: Truth | None) -> None:
        """Begin with the first step of a script."""
        playing = _Playing(self, peer, script, truth)
        peer.playing = playing
        if script.head_wait < 0:
            return
        if script.head_wait:
            self._loop.call_later(script.head_wait, playing.begin)
        else:
            playing.begin()

    def schedule(self, due: float, playing: _Playing) -> None:
        """Have the next step played at ``due``."""
        self._sequence += 1
        heapq.heappush(self._heap, (due, self._sequence, playing))
        if self._timer is None or due < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = due
            self._timer = self._loop.call_later(max(0.0, due - monotonic()), self._play_due)

    def _play_due(self) -> None:
        self._timer = None
        heap = self._heap
        now = monotonic()
        while heap and heap[0][0] <= now:
            due, _, playing = heapq.heappop(heap)
            playing.step(due, now)
        if heap and self._timer is None:
            self._timer_at = heap[0][0]
            self._timer = self._loop.call_later(max(0.0, self._timer_at - monotonic()), self._play_due)

    def ended(self, truth: Truth, *, aborted: bool) -> None:
        """A generation is over."""
        truth.ended_at = monotonic()
        truth.aborted = aborted
        self._running -= 1
        self._counts["aborted" if aborted else "completed"] += 1
        self._counts["tokens"] += truth.tokens
        if aborted:
            self.aborts.append({"id": truth.id, "tag": truth.tag, "at": truth.ended_at, "tokens": truth.tokens})


def script_for(asked: Asked, *, stream: bool) -> Script:
    """What is played for a request: its fault's script, else the answer as it was asked for."""
    fault = fault_of(asked.name)
    if fault is not None:
        return fault[0](asked, fault[1])
    return script_of(asked) if stream else whole_script(asked)


def _tag(body: bytes) -> str:
    """``[[tag]]`` in the prompt, for clients that cannot send a header of their own."""
    _, found, rest = body.partition(b"[[")
    tag, closed, _ = rest.partition(b"]]")
    return tag[:64].decode("utf-8", "replace") if found and closed else ""


class _Playing:
    """One script on one connection."""

    __slots__ = ("_chunked", "_next", "_peer", "_script", "_simulator", "_truth", "_waits")

    def __init__(self, simulator: Simulator, peer: _Peer, script: Script, truth: Truth | None) -> None:
        self._simulator = simulator
        self._peer = peer
        self._script = script
        self._truth = truth
        self._next = 0
        self._waits = False
        self._chunked = script.framing == "chunked"

    def begin(self) -> None:
        """Send the head and wait for the first step."""
        if self._peer.playing is not self:
            return
        script = self._script
        if script.framing != "raw":
            lines = [f"HTTP/1.1 {script.status} {_REASONS.get(script.status, 'Status')}"]
            lines += [f"{name}: {value}" for name, value in script.headers]
            if script.framing == "length":
                lines.append(f"content-length: {sum(len(step.data) for step in script.steps)}")
            else:
                lines.append("transfer-encoding: chunked" if self._chunked else "connection: close")
            self._peer.transport.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        now = monotonic()
        self._simulator.schedule(now + script.steps[0].wait, self)

    def step(self, due: float, now: float) -> None:
        """Play one step, and schedule the next; those without a wait follow at once."""
        peer = self._peer
        if peer.playing is not self:
            return
        if peer.paused:
            self._waits = True
            return
        steps, parts, tokens = self._script.steps, [], 0
        while True:
            step = steps[self._next]
            self._next += 1
            if step.data:
                parts.append(b"%x\r\n%b\r\n" % (len(step.data), step.data) if self._chunked else step.data)
            tokens += step.tokens
            if step.after != "go":
                self._last(step.after, parts, tokens)
                return
            following = steps[self._next]
            if following.wait > 0 or len(parts) >= 16:
                break
        self._write(parts, tokens)
        # A step that is late does not make the next one early: the pace is the script's, as far as it can be kept.
        self._simulator.schedule(max(due + following.wait, now - 0.05), self)

    def resume(self) -> None:
        """The peer takes bytes again."""
        if self._waits:
            self._waits = False
            self._simulator.schedule(monotonic(), self)

    def _write(self, parts: list[bytes], tokens: int) -> None:
        truth = self._truth
        if not tokens or truth is None:
            self._peer.transport.write(b"".join(parts))
            return
        truth.tokens += tokens
        truth.last_token_at = monotonic()
        if truth.first_token_at is None:
            truth.first_token_at = truth.last_token_at
        self._peer.transport.write(b"".join(parts))
        if self._simulator.on_tokens is not None:
            self._simulator.on_tokens(truth)

    def _last(self, after: str, parts: list[bytes], tokens: int) -> None:
        peer, transport = self._peer, self._peer.transport
        if after == "end" and self._chunked:
            parts.append(b"0\r\n\r\n")
        if parts:
            self._write(parts, tokens)
        if after == "hang":
            return
        if self._truth is not None:
            self._simulator.ended(self._truth, aborted=False)
        peer.playing = None
        if after == "reset":
            _reset(transport)
        elif after == "close" or self._script.framing in ("close", "raw") or not self._script.linger:
            transport.close()
        else:
            peer.next_request()

    def gone(self) -> None:
        """The peer went away."""
        if self._truth is not None:
            self._simulator.ended(self._truth, aborted=True)


def _reset(transport: Any) -> None:
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class _Peer(asyncio.Protocol):
    """One connection: reads requests, one after the other."""

    def __init__(self, simulator: Simulator) -> None:
        self.transport: Any = None
        self.playing: _Playing | None = None
        self.paused = False
        self._simulator = simulator
        self._parser = httptools.HttpRequestParser(self)
        self._requests: deque[tuple[str, str, dict[str, str], bytes]] = deque()
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._head_size = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._simulator.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._simulator.connections.discard(self)
        playing, self.playing = self.playing, None
        if playing is not None:
            playing.gone()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        if self.playing is not None:
            self.playing.resume()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()
            return
        if self._head_size > MAX_HEAD or len(self._body) > MAX_BODY:
            self.transport.abort()
            return
        if self.playing is None:
            self.next_request()

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = {}
        self._body = bytearray()
        self._head_size = 0

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._head_size += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_size += len(name) + len(value)
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        if len(self._body) <= MAX_BODY:
            self._body += body

    def on_message_complete(self) -> None:
        path = self._url.partition(b"?")[0].decode("latin-1")
        self._requests.append((self._parser.get_method().decode(), path, self._headers, bytes(self._body)))

    def next_request(self) -> None:
        """Answer the next request that has come, if any."""
        if self._requests and not self.transport.is_closing():
            method, path, headers, body = self._requests.popleft()
            self._simulator.answer(self, method, path, headers, body)

    def reply(self, status: int, document: dict[str, Any]) -> None:
        """Answer at once with JSON."""
        body = json.dumps(document).encode()
        head = f"HTTP/1.1 {status} OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)
        self.next_request()
