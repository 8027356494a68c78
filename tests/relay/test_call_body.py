"""relay/call_body.py: bytes pass whole and without secrets, however they are cut, and what they say is seen."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.errors import EventTooLarge, UpstreamErrorEvent
from tidegate.events import Usage
from tidegate.relay.call_body import BytesLane, CallAnswer, EventLane, call_lane
from tidegate.upstream.exchange import ResponseHead
from tidegate.upstream.secrets import Redactor

SECRET = "sk-0123456789abcdef"
REDACT = Redactor([SECRET])


def event(document: dict[str, Any], name: str = "") -> bytes:
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"


def completion(text: str, finish: str | None = None, index: int = 0, **more: Any) -> bytes:
    return event({"choices": [{"index": index, "text": text, "finish_reason": finish}], **more})


def lane_for(path: str, kind: str = "text/event-stream", *, redact: bool = False, hold: int = 100) -> Any:
    head = ResponseHead(200, ((b"content-type", kind.encode()),))
    answer = CallAnswer(path)
    return call_lane(head, answer, max_event=1000, redact=REDACT if redact else None, hold=hold), answer


DONE = b"data: [DONE]\n\n"
GOOD = [
    completion("Twice "),
    b": a comment\n\n",
    completion("a day", "stop"),
    event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}),
]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 50, 10_000])
def test_a_completion_passes_as_it_came(step: int) -> None:
    lane, answer = lane_for("/completions")
    whole = b"".join([*GOOD, DONE])
    out = b"".join(lane.feed(whole[at : at + step]) for at in range(0, len(whole), step))
    assert out == whole
    assert (answer.complete, answer.done, answer.tokens) == (True, True, 2)
    assert answer.usage == Usage(3, 2)
    assert answer.finish_reason == "stop"


def test_an_end_marker_without_a_finish_reason_is_withheld() -> None:
    lane, answer = lane_for("/completions")
    assert lane.feed(GOOD[0] + DONE) == GOOD[0]
    assert lane.close() == b""
    assert (answer.complete, answer.done) == (False, False)


def test_every_choice_needs_its_finish_reason() -> None:
    lane, answer = lane_for("/completions")
    lane.feed(completion("a", index=0) + completion("b", index=1) + completion("", "stop", index=0))
    assert not answer.complete
    lane.feed(event({"choices": [{"index": "odd", "text": "", "finish_reason": 7}, 5]}))
    lane.feed(completion("", "length", index=1))
    assert answer.complete


@pytest.mark.parametrize("last", ["response.completed", "response.incomplete"])
def test_a_response_is_complete_with_its_terminal_event(last: str) -> None:
    lane, answer = lane_for("/responses")
    lane.feed(event({"type": "response.created", "response": {"error": None}}, "response.created"))
    lane.feed(event({"type": "response.output_text.delta", "delta": "a"}))
    assert lane.starts
    assert not answer.complete
    usage = {"input_tokens": 5, "output_tokens": 1}
    lane.feed(event({"type": last, "response": {"error": None, "usage": usage}}, last))
    assert (answer.complete, answer.done, answer.tokens, answer.usage) == (True, True, 1, Usage(5, 1))
    assert answer.told is None


@pytest.mark.parametrize(
    ("last", "message"),
    [
        ({"type": "response.failed", "response": {"error": {"message": "no", "code": "x"}}}, "no"),
        ({"type": "error", "message": "no", "code": "x"}, "no"),
        ({"error": {"message": "no"}}, "no"),
        ({"error": "no"}, "no"),
    ],
)
def test_an_error_that_the_reader_got_is_noted(last: dict[str, Any], message: str) -> None:
    lane, answer = lane_for("/responses")
    begun = event({"type": "response.created", "response": {}})
    assert lane.feed(begun + event(last)) == begun + event(last)
    assert isinstance(answer.told, UpstreamErrorEvent)
    assert answer.told.message == message
    assert answer.complete, "nothing has to be added"
    assert answer.error is None


def test_an_error_before_anything_else_may_be_tried_again() -> None:
    lane, answer = lane_for("/completions")
    assert lane.feed(event({"error": {"message": "busy"}})) == b""
    assert isinstance(answer.error, UpstreamErrorEvent)
    assert not lane.starts


def test_of_other_streams_the_end_of_the_body_is_the_end() -> None:
    lane, answer = lane_for("/audio/transcriptions")
    assert lane.feed(b'data: a\n\ndata: {"usage"\n\ndata: [DONE]\r\rdata: b\r\n') == (
        b'data: a\n\ndata: {"usage"\n\ndata: [DONE]\r\r'
    )
    assert (answer.tokens, answer.malformed, answer.complete) == (1, 1, False)
    assert lane.close() == b"data: b\r\n\n"
    assert (answer.complete, answer.tokens) == (True, 2)


def test_half_an_event_is_a_cut() -> None:
    lane, answer = lane_for("/audio/transcriptions")
    lane.feed(b"data: a\n\ndata: b")
    assert lane.close() == b""
    assert lane.pending == len(b"data: b")
    assert not answer.complete


def test_an_event_of_several_lines_is_read() -> None:
    lane, answer = lane_for("/completions")
    lane.feed(b'id: 1\ndata: {"choices":[{"index":0,\ndata: "text":"","finish_reason":"stop"}]}\n\n')
    assert answer.complete


def test_an_event_that_is_too_large_ends_it() -> None:
    lane, answer = lane_for("/completions")
    lane.feed(b"data: " + b"x" * 1001)
    assert isinstance(answer.error, EventTooLarge)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60))
def test_no_secret_passes_however_it_is_cut(steps: list[int]) -> None:
    """In events and in bytes; without one in it, everything passes as it came."""
    for text in (f"a key: {SECRET}!", "no key: sk-0123456789"):
        body = json.dumps({"text": text, "more": "x" * 300}).encode()
        for kind, whole in (
            ("text/event-stream", b"data: " + body + b"\n\n"),
            ("application/json", body),
            ("audio/mpeg", body),
        ):
            lane, answer = lane_for("/audio/speech", kind, redact=True)
            out, at = b"", 0
            for step in [*steps, len(whole)]:
                out += lane.feed(whole[at : at + step]) if whole[at : at + step] else b""
                at += step
            out += lane.close()
            assert out == whole.replace(SECRET.encode(), b"[redacted]")
            assert answer.complete


def test_json_is_held_until_it_is_long() -> None:
    lane, answer = lane_for("/embeddings", "application/json; charset=utf-8", hold=100)
    assert lane.feed(b'{"data":"') == b'{"data":"'
    assert not lane.starts
    lane.feed(b"x" * 100)
    assert lane.starts
    lane.feed(b'","usage":{"prompt_tokens":8}}')
    assert lane.close() == b""
    assert (answer.whole, answer.usage) == (True, Usage(8))
    assert lane.pending == 0


def test_json_that_does_not_end_is_cut() -> None:
    lane, answer = lane_for("/embeddings", "application/problem+json")
    lane.feed(b'{"data":"')
    lane.close()
    assert not answer.complete


def test_the_usage_of_short_json_is_found() -> None:
    lane, answer = lane_for("/embeddings", "application/json")
    lane.feed(b'{"usage":{"prompt_tokens":8},"data":[]}')
    lane.close()
    assert answer.usage == Usage(8)


def test_sound_starts_at_once() -> None:
    lane, answer = lane_for("/audio/speech", "audio/mpeg")
    assert lane.feed(b"\0") == b"\0"
    assert lane.starts
    lane.close()
    assert (answer.complete, answer.usage, answer.tokens) == (True, None, 0)


def test_an_answer_that_does_not_say_what_it_is_is_bytes() -> None:
    assert isinstance(call_lane(ResponseHead(200, ()), CallAnswer("/x"), max_event=9, redact=None), BytesLane)


def test_the_secret_of_an_event_lane_stands_in_one_event() -> None:
    lane, _ = lane_for("/completions", redact=True)
    assert isinstance(lane, EventLane)
    assert SECRET.encode() not in lane.feed(completion(SECRET))
