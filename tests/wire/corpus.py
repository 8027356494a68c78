"""Reads the wire cases of ``corpus/`` and runs decoders over bytes cut in every way."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tidegate.events import Event
from tidegate.wire.openai_chat import (
    ChatAssembler,
    MalformedChunk,
    ToolCallIndex,
    decode_chunk,
    error_of,
    events,
    has_token,
)
from tidegate.wire.sse import SseDecoder, SseEvent

CORPUS = Path(__file__).resolve().parents[2] / "corpus"

Case = dict[str, Any]


def cases(room: str) -> list[Case]:
    """Every case of one folder, in the order of the files."""
    return [case for file in sorted((CORPUS / room).glob("*.json")) for case in json.loads(file.read_bytes())["cases"]]


def body_of(case: Case) -> bytes:
    """The bytes of a case."""
    if "text" in case:
        return str(case["text"]).encode()
    if "base64" in case:
        return base64.b64decode(case["base64"])
    return b"".join(
        item.encode() if isinstance(item, str) else b"data: " + json.dumps(item, ensure_ascii=False).encode() + b"\n\n"
        for item in case["stream"]
    )


def cuts(body: bytes) -> Iterator[list[bytes]]:
    """``body`` whole, in two at every byte, byte by byte, and in threes."""
    yield [body]
    for at in range(1, len(body)):
        yield [body[:at], body[at:]]
    yield [body[at : at + 1] for at in range(len(body))]
    yield [body[at : at + 3] for at in range(0, len(body), 3)]


class ChatReading:
    """All that one stream of the dialect says, read the way the gateway reads it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.tokens = 0
        self.malformed = 0
        self.done = False
        self.assembler = ChatAssembler()
        self._started: set[int] = set()
        self._calls: dict[int, ToolCallIndex] = {}

    def take(self, event: SseEvent) -> None:
        if self.done:
            return
        if event.data == b"[DONE]":
            self.done = True
            return
        if event.event == "error" and (failed := error_of(event.data)) is not None:
            self.events.append(failed)
            return
        try:
            chunk = decode_chunk(event.data)
        except MalformedChunk:
            self.malformed += 1
            return
        self.events.extend(events(chunk, known_roles=self._started, calls=self._calls))
        self.tokens += has_token(chunk)
        self.assembler.feed(chunk)

    def facts(self) -> dict[str, Any]:
        """The reading as the corpus writes it."""
        facts: dict[str, Any] = {
            "events": [described(event) for event in self.events],
            "tokens": self.tokens,
            "result": self.assembler.result(),
            "complete": self.assembler.complete,
        }
        if self.malformed:
            facts["malformed"] = self.malformed
        return facts


def read_chat(pieces: list[bytes]) -> ChatReading:
    """One body in pieces, through the SSE decoder and the dialect."""
    decoder, reading = SseDecoder(), ChatReading()
    for piece in pieces:
        for event in decoder.feed(piece):
            reading.take(event)
    decoder.close()
    return reading


_TYPES = {
    "Started": "started",
    "TextDelta": "text",
    "ReasoningDelta": "reasoning",
    "RefusalDelta": "refusal",
    "ToolCallDelta": "tool_call",
    "Usage": "usage",
    "Finished": "finished",
    "Failed": "failed",
}


def described(event: Event) -> dict[str, Any]:
    """One event as the corpus writes it: its type, and the fields that differ from their defaults."""
    fields: dict[str, Any] = {"type": _TYPES[type(event).__name__]}
    defaults = dict(zip(event.__struct_fields__[::-1], event.__struct_defaults__[::-1], strict=False))
    for name in event.__struct_fields__:
        value = getattr(event, name)
        if name not in defaults or value != defaults[name]:
            fields["kind" if name == "type" else name] = value
    return fields
