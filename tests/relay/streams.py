"""Bodies as an upstream sends them, and readers of what left the lane."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tidegate.relay.answer import Answer
from tidegate.relay.lane import Lane, SseLane
from tidegate.wire.ndjson import NdjsonDecoder
from tidegate.wire.sse import SseDecoder

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "streams"


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, index: int = 0, **more: Any) -> bytes:
    """The JSON of one chunk."""
    whole = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1767225600,
        "model": "m",
        "choices": [{"index": index, "delta": delta or {}, "finish_reason": finish}],
        **more,
    }
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()


def sse(*payloads: bytes) -> bytes:
    """Events of one data line each."""
    return b"".join(b"data: " + payload + b"\n\n" for payload in payloads)


ROLE = chunk({"role": "assistant", "content": ""})
STOP = chunk({}, "stop")


def answer(*texts: str, done: bool = True) -> bytes:
    """A whole good stream that says ``texts``."""
    payloads = [ROLE, *(chunk({"content": text}) for text in texts), STOP]
    return sse(*payloads, *([b"[DONE]"] if done else []))


def said(out: bytes, *, ndjson: bool = False) -> list[Any]:
    """Every JSON of what left, in order."""
    if ndjson:
        return [json.loads(record) for record in NdjsonDecoder(max_record=1 << 30).feed(out)]
    return [json.loads(event.data) for event in SseDecoder(max_event=1 << 30).feed(out)]


def text_of(out: bytes, *, ndjson: bool = False) -> str:
    """The first choice's text in what left."""
    deltas = (choice["delta"] for each in said(out, ndjson=ndjson) for choice in each.get("choices") or ())
    return "".join(delta["content"] for delta in deltas if isinstance(delta.get("content"), str))


def through(lane: Lane, pieces: list[bytes]) -> bytes:
    """Everything that leaves a lane that is fed ``pieces``; nothing is fed after the end."""
    return b"".join(lane.feed(piece) for piece in pieces)


def sse_lane(
    *, ndjson: bool = False, max_event: int = 8 << 20, fast: bool = True, **options: Any
) -> tuple[Answer, SseLane]:
    """A lane and the answer that it tells."""
    told = Answer(**options)
    return told, SseLane(told, ndjson=ndjson, max_event=max_event, fast=fast)
