"""relay/endings.py: the last words in each framing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.relay.streams import ROLE, chunk, said
from tidegate import errors
from tidegate.relay.answer import Answer
from tidegate.relay.endings import (
    Framing,
    completion_json,
    end_marker,
    error_body,
    error_event,
    filtered,
    filtered_json,
    reason_of,
    soft_stop,
    validation_event,
)
from tidegate.relay.lifecycle import Reason


def answered(*payloads: bytes, collect: bool = False) -> Answer:
    answer = Answer(collect=collect)
    for payload in payloads:
        answer.look(payload)
    return answer


def everything(kind: type[errors.TidegateError] = errors.TidegateError) -> list[type[errors.TidegateError]]:
    return [kind, *(each for sub in kind.__subclasses__() for each in everything(sub))]


@pytest.mark.parametrize("kind", everything())
def test_every_error_is_one_terminal_reason_and_never_a_success(kind: type[errors.TidegateError]) -> None:
    reason = reason_of(kind("x"))
    assert reason not in (Reason.STOP, Reason.LENGTH, Reason.TOOL_CALLS, Reason.CONTENT_FILTER)
    assert (reason is Reason.INTERNAL_ERROR) == (kind.fault != "upstream" and reason.value == "internal_error")


def test_a_narrower_error_has_its_own_reason() -> None:
    assert reason_of(errors.ConnectTimeout("x")) is Reason.CONNECT_TIMEOUT
    assert reason_of(errors.ConnectionRefused("x")) is Reason.UPSTREAM_ERROR
    assert reason_of(errors.Overloaded("x")) is Reason.LIMIT


@pytest.mark.parametrize(
    ("framing", "content_type", "heartbeat", "marker"),
    [
        (Framing.SSE, b"text/event-stream; charset=utf-8", b":\n", b"data: [DONE]\n\n"),
        (Framing.NDJSON, b"application/x-ndjson", b"\n", b""),
        (Framing.JSON, b"application/json", b"", b""),
    ],
)
def test_each_framing_has_its_own_words(framing: Framing, content_type: bytes, heartbeat: bytes, marker: bytes) -> None:
    assert (framing.content_type, framing.heartbeat, end_marker(framing)) == (content_type, heartbeat, marker)


def test_an_error_is_an_event_in_the_stream_and_a_body_before_it() -> None:
    error = errors.UpstreamCut("Cut.")
    body = error_body(error, "id")
    assert json.loads(body)["error"]["stream_id"] == "id"
    assert error_event(error, "id", Framing.SSE) == b"data: " + body + b"\n\n"
    assert error_event(error, "id", Framing.NDJSON) == body + b"\n"


@pytest.mark.parametrize("framing", [Framing.SSE, Framing.NDJSON])
@pytest.mark.parametrize("usage_chunk", [True, False])
@pytest.mark.parametrize("reported", [True, False])
def test_a_soft_stop_finishes_every_open_choice_and_says_whose_doing_it_is(
    framing: Framing, usage_chunk: bool, reported: bool
) -> None:
    more: dict[str, Any] = {"usage": {"prompt_tokens": 3, "completion_tokens": 9}} if reported else {}
    answer = answered(ROLE, chunk({"content": "a"}, "stop"), chunk({"content": "b"}, index=1, **more))
    out = soft_stop(answer, framing, usage_chunk=usage_chunk, model="asked", created=5)
    assert out.endswith(b"data: [DONE]\n\n") == (framing is Framing.SSE)
    first, *rest = said(out.removesuffix(b"data: [DONE]\n\n"), ndjson=framing is Framing.NDJSON)
    assert first["choices"] == [{"index": 1, "delta": {}, "finish_reason": "stop"}]
    assert (first["id"], first["model"], first["created"]) == ("chatcmpl-1", "m", 1767225600)
    assert first["tidegate"] == {"reason": "soft_stop"} | ({} if reported else {"usage": "estimated"})
    usage = rest[0]["usage"] if usage_chunk else first["usage"]
    assert len(rest) == usage_chunk
    assert usage["completion_tokens"] == (9 if reported else 2)


def test_a_soft_stop_before_the_first_chunk_is_whole_too() -> None:
    (only,) = said(soft_stop(Answer(), Framing.NDJSON, usage_chunk=False, model="asked", created=5), ndjson=True)
    assert (only["model"], only["created"], only["choices"][0]["index"]) == ("asked", 5, 0)


@pytest.mark.parametrize("reported", [True, False])
def test_one_body_that_was_soft_stopped_says_so(reported: bool) -> None:
    more: dict[str, Any] = {"usage": {"prompt_tokens": 3, "completion_tokens": 9}} if reported else {}
    answer = answered(ROLE, chunk({"content": "a"}, **more), collect=True)
    whole = json.loads(completion_json(answer, soft_stopped=True))
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert whole["choices"][0]["message"]["content"] == "a"
    assert whole["tidegate"] == {"reason": "soft_stop"} | ({} if reported else {"usage": "estimated"})
    assert whole["usage"]["completion_tokens"] == (9 if reported else 1)
    assert "tidegate" not in json.loads(completion_json(answer))


@pytest.mark.parametrize("usage_chunk", [False, True])
def test_an_answer_that_a_classifier_ended_finishes_every_choice_that_has_not_been_seen_to(usage_chunk: bool) -> None:
    answer = answered(ROLE, chunk({"content": "a"}), chunk({"content": "b"}, index=1), chunk({}, "stop", index=1))
    out = filtered(answer, Framing.SSE, finished={1}, usage_chunk=usage_chunk, model="m", created=1)
    ended = said(out.removesuffix(b"data: [DONE]\n\n"))
    assert [(choice["index"], choice["finish_reason"]) for choice in ended[0]["choices"]] == [(0, "content_filter")]
    assert ended[0]["tidegate"] == {"reason": "filtered", "usage": "estimated"}
    assert len(ended) == 1 + usage_chunk
    assert ended[-1]["usage"]["completion_tokens"] == 2


def test_before_the_first_chunk_the_first_choice_is_ended() -> None:
    out = filtered(answered(), Framing.NDJSON, finished=set(), usage_chunk=False, model="m", created=7)
    (ended,) = said(out, ndjson=True)
    assert (ended["model"], ended["created"], ended["choices"][0]["index"]) == ("m", 7, 0)


def test_the_verdict_on_the_answer_is_a_chunk_without_choices() -> None:
    (event,) = said(validation_event(answered(ROLE), Framing.SSE, {"valid": True}))
    assert (event["choices"], event["tidegate"]) == ([], {"validation": {"valid": True}})


def test_one_body_that_a_classifier_ended_says_nothing_of_what_was_said() -> None:
    body = json.loads(filtered_json(answered(ROLE, chunk({"content": "bad"}), collect=True)))
    assert "bad" not in json.dumps(body)
    assert body["choices"][0]["finish_reason"] == "content_filter"
    assert body["tidegate"] == {"reason": "filtered"}


def test_one_body_tells_the_verdict_where_the_reader_is_told() -> None:
    answer = answered(ROLE, chunk({"content": "a"}), collect=True)
    assert json.loads(completion_json(answer, verdict={"valid": False}))["tidegate"] == {"validation": {"valid": False}}
    assert "tidegate" not in json.loads(completion_json(answer))
