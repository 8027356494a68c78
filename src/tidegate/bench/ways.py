"""The three ways of delivering an answer, and one reader's seat in front of each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any, Final, Literal

from tidegate.bench.abandonment import Reader
from tidegate.bench.visible import Screen
from tidegate.errors import UpstreamFault
from tidegate.upstream.exchange import Exchange, ResponseHead
from tidegate.wire.ndjson import NdjsonDecoder
from tidegate.wire.openai_chat import MalformedChunk, decode_chunk, error_of, text_of
from tidegate.wire.sse import SseDecoder

__all__ = ["WAYS", "Kind", "Seat", "Way", "question"]

Kind = Literal["json", "ndjson", "sse"]
End = Literal["", "complete", "impatient", "distracted", "failed"]


@dataclass(frozen=True, slots=True)
class Way:
    """``path`` behind the gateway's address."""

    name: str
    title: str
    path: str
    kind: Kind


WAYS: Final = (
    Way("blocking", "blocking", "/v1/chat/completions", "json"),
    Way("chunked", "chunked NDJSON", "/api/v1/chat/stream", "ndjson"),
    Way("sse", "SSE + backpressure", "/v1/chat/completions", "sse"),
)


def question(reader: Reader, tag: str) -> tuple[str, str]:
    """The model and the prompt that get this reader's answer out of the simulator."""
    model = f"sim/prose?ttft={reader.ttft:.4f}&tps={reader.tps:g}&tokens={reader.tokens}&seed={reader.number}"
    return model, f"Tell me about the tide. [[{tag}]]"


class Seat:
    """One reader before one answer (a ``Sink``): when something was seen, and whether the reader stayed to the end."""

    def __init__(self, way: Way, reader: Reader, tag: str, screen: Screen, ended: Callable[[], None]) -> None:
        self.way = way
        self.reader = reader
        self.tag = tag
        self.exchange: Exchange | None = None
        self.requested_at = monotonic()
        self.first_at: float | None = None
        """The first token, or the whole answer of the blocking way."""
        self.ended_at: float | None = None
        self.end: End = ""
        self._screen = screen
        self._ended = ended
        self._status = 0
        self._parts: list[bytes] = []
        self._sse = SseDecoder()
        self._ndjson = NdjsonDecoder()
        self._finished = False
        self._failed = False
        self._timers: list[asyncio.TimerHandle] = []

    @property
    def visible_at(self) -> float | None:
        """The first text that was to be seen."""
        return self._screen.visible_at

    @property
    def body(self) -> dict[str, Any]:
        """What it asks for: the simulator plays the reader's answer."""
        model, prompt = question(self.reader, self.tag)
        return {"model": model, "stream": self.way.kind != "json", "messages": [{"role": "user", "content": prompt}]}

    def sit_down(self) -> None:
        """From now on the reader may leave."""
        loop = asyncio.get_running_loop()
        self._timers = [loop.call_later(wait, partial(self._leave, why)) for wait, why in self._reasons() if wait < 1e6]

    def _reasons(self) -> tuple[tuple[float, End], ...]:
        return (self.reader.patience, "impatient"), (self.reader.distracted, "distracted")

    def _leave(self, why: End) -> None:
        if self.end or (why == "impatient" and self.visible_at is not None):
            return
        if self.exchange is not None:
            self.exchange.abort()
        self._over(why)

    # The connection's side.

    def on_head(self, head: ResponseHead) -> None:
        self._status = head.status

    def on_data(self, data: bytes, framed: bytes | None) -> None:
        now = monotonic()
        if self.way.kind == "json" or self._status != 200:
            self._parts.append(data)
        elif self.way.kind == "sse":
            for event in self._sse.feed(data):
                self._event(event.data, now)
        else:
            for record in self._ndjson.feed(data):
                self._event(record, now)

    def on_end(self) -> None:
        if self.way.kind == "json" and self._status == 200:
            self._whole(monotonic())
        good = self._status == 200 and self._finished and not self._failed
        self._over("complete" if good else "failed")

    def on_lost(self, error: UpstreamFault) -> None:
        self._over("failed")

    def failed(self) -> None:
        """The request could not even be sent."""
        self._over("failed")

    def _event(self, data: bytes, now: float) -> None:
        if data == b"[DONE]":
            return
        try:
            chunk = decode_chunk(data)
        except MalformedChunk:
            self._failed = True
            return
        self._failed = self._failed or error_of(chunk) is not None
        for choice in chunk.choices:
            if text := text_of(choice.delta):
                self._said(text, now)
            self._finished = self._finished or bool(choice.finish_reason)

    def _whole(self, now: float) -> None:
        try:
            choice = json.loads(b"".join(self._parts))["choices"][0]
            self._said(choice["message"]["content"], now)
            self._finished = bool(choice["finish_reason"])
        except (ValueError, LookupError, TypeError):
            self._failed = True

    def _said(self, text: str, now: float) -> None:
        if self.first_at is None:
            self.first_at = now
        self._screen.show(text, now)

    def _over(self, end: End) -> None:
        if self.end:
            return
        self.end = end
        self.ended_at = monotonic()
        for timer in self._timers:
            timer.cancel()
        self._screen.close()
        self._ended()
