"""relay/intake.py: what a head and a first read turn out to be, and what an end without completion is called."""

from __future__ import annotations

import json

import pytest

from tests.relay.streams import ROLE, answer, chunk, sse, text_of
from tidegate.errors import UpstreamCut, UpstreamProtocolError, UpstreamRefused
from tidegate.relay.endings import Framing
from tidegate.relay.intake import Intake
from tidegate.relay.options import StreamOptions
from tidegate.upstream.exchange import ResponseHead

EVENTS = ResponseHead(200, ((b"content-type", b"text/event-stream"),))
JSON = ResponseHead(200, ((b"content-type", b"application/json"),))
WHOLE = json.dumps(
    {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "It\nturns"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    },
    indent=1,
).encode()


def intake(head: ResponseHead = EVENTS, framing: Framing = Framing.SSE) -> Intake:
    made = Intake(framing, StreamOptions())
    made.on_head(head)
    return made


@pytest.mark.parametrize("framing", [Framing.SSE, Framing.NDJSON])
def test_events_become_what_the_reader_wants(framing: Framing) -> None:
    taken = intake(framing=framing)
    out = taken.first(answer("It", " turns"))
    assert text_of(out, ndjson=framing is Framing.NDJSON) == "It turns"
    assert taken.answer.complete
    assert taken.refusal() is None
    assert taken.close() == b""


@pytest.mark.parametrize("framing", [Framing.SSE, Framing.NDJSON])
@pytest.mark.parametrize("cut", [1, 40, len(WHOLE) - 1])
def test_one_json_body_becomes_a_stream_at_its_end(framing: Framing, cut: int) -> None:
    """In however many reads it comes."""
    taken = intake(JSON, framing)
    assert taken.first(WHOLE[:cut]) == b""
    assert taken.lane is not None
    assert taken.lane.feed(WHOLE[cut:]) == b""
    early = taken.answer.complete
    out = taken.close()
    assert text_of(out, ndjson=framing is Framing.NDJSON) == "It\nturns"
    assert not early
    assert taken.answer.complete
    assert taken.answer.usage is not None
    assert taken.answer.usage.output_tokens == 2


def test_an_error_as_one_json_body_is_that_error() -> None:
    taken = intake(JSON)
    taken.first(b'{"error": {"message": "Fire.",\r\n "code": "fire"}}')
    taken.close()
    assert taken.answer.error is not None
    assert (taken.answer.error.code, taken.answer.error.message) == ("fire", "Fire.")


def test_a_page_is_nothing_that_can_be_carried() -> None:
    taken = intake(ResponseHead(200, ((b"content-type", b"text/html"),)))
    with pytest.raises(UpstreamProtocolError):
        taken.first(b"<!doctype html>")


@pytest.mark.parametrize("status", [401, 404, 429])
def test_a_status_is_a_refusal_with_the_upstreams_words(status: int) -> None:
    taken = intake(ResponseHead(status, ((b"content-type", b"application/json"), (b"retry-after", b"7"))))
    assert taken.lane is not None
    assert taken.lane.feed(b'{"error": {"message": "No.", "code": "no"}}') == b""
    refusal = taken.refusal()
    assert isinstance(refusal, UpstreamRefused)
    assert (refusal.status, refusal.code, refusal.message, refusal.retry_after) == (status, "no", "No.", 7.0)


def test_a_server_error_is_retryable_with_its_retry_after() -> None:
    refusal = intake(ResponseHead(503, ((b"retry-after", b"2"),))).refusal()
    assert refusal is not None
    assert (refusal.status, refusal.retryable, refusal.retry_after) == (502, True, 2.0)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "before its first token"),
        (sse(ROLE), "before its first token"),
        (sse(ROLE, chunk({"content": "It"})), "without a finish reason"),
        (sse(ROLE, chunk({"content": "It"})) + b"data: {", "in the middle of an event"),
    ],
)
def test_a_cut_says_where_it_was(body: bytes, words: str) -> None:
    taken = intake()
    if body:
        taken.first(body)
    cut = taken.cut()
    assert isinstance(cut, UpstreamCut)
    assert words in cut.message


def test_half_a_json_body_is_no_answer() -> None:
    taken = intake(JSON)
    taken.first(WHOLE[:40])
    taken.close()
    assert not taken.answer.complete
    assert "before its first token" in taken.cut().message
