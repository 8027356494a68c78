"""The six faces of one stream (fast path, plain ASGI, HTTP/2; SSE and NDJSON), and what an honest ending looks like."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.gateway import HTTP2
from tests.fakes.reader import Reader
from tidegate.simulator.texts import ANSWERS, tokens_of

__all__ = [
    "NDJSON",
    "SSE",
    "assert_refused",
    "assert_success",
    "assert_told",
    "both",
    "face",
    "question",
    "the_answer",
]

SSE, NDJSON = "/v1/chat/completions", "/api/v1/chat/stream"
WAYS = {"fast": True, "plain": False, "http2": HTTP2}
FACES = [(fast, path) for fast in WAYS.values() for path in (SSE, NDJSON)]

face = pytest.mark.parametrize(
    ("fast", "path"),
    FACES,
    ids=[f"{name}-{framing}" for name in WAYS for framing in ("sse", "ndjson")],
)
both = pytest.mark.parametrize("fast", WAYS.values(), ids=WAYS)


def question(model: str, **fields: Any) -> dict[str, Any]:
    """A request for a stream."""
    return {"model": model, "stream": True, "messages": [{"role": "user", "content": "Why?"}], **fields}


def the_answer(count: int = 20) -> str:
    """The first ``count`` tokens of the simulator's usual answer."""
    natural = tokens_of(ANSWERS["default"])
    return "".join(natural[:count])


def assert_success(reader: Reader, path: str, text: str | None = None) -> None:
    """Whole, with its finish reason and its end marker, and no error."""
    assert reader.status == 200
    assert reader.whole
    assert reader.error is None
    assert reader.finish is not None
    assert reader.done == (path == SSE)
    assert reader.text == (the_answer() if text is None else text)


def assert_told(reader: Reader, code: str, text: str | None = None) -> None:
    """An error event last, no end marker, and a body that ends cleanly."""
    assert reader.status == 200
    assert reader.whole
    events = reader.events()
    assert "[DONE]" not in events
    assert events[-1]["error"]["code"] == code
    assert events[-1]["error"]["stream_id"] == reader.headers["x-stream-id"]
    assert set(events[-1]["error"]) == {"message", "type", "code", "param", "stream_id"}
    if text is not None:
        assert reader.text == text


def assert_refused(reader: Reader, status: int, code: str | None = None) -> None:
    """A status and an error object; nothing that looks like a stream."""
    assert reader.status == status
    assert reader.whole
    assert reader.headers["content-type"] == "application/json"
    error = reader.events()[0]["error"]
    assert error["message"]
    assert error["stream_id"] == reader.headers["x-stream-id"]
    assert code is None or error["code"] == code
