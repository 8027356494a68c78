"""relay/answer.py: what is known of an answer, and what each event becomes."""

from __future__ import annotations

import json

import pytest

from tests.relay.streams import ROLE, STOP, chunk
from tidegate.errors import UpstreamErrorEvent, UpstreamProtocolError, UpstreamRefused
from tidegate.events import Usage
from tidegate.relay import answer as module
from tidegate.relay.answer import MAX_CHOICES, Answer, _without_errors


def fed(*payloads: bytes, **options: bool) -> Answer:
    answer = Answer(**options)
    for payload in payloads:
        answer.look(payload)
    return answer


def test_an_answer_is_complete_with_a_finish_reason_for_every_choice() -> None:
    answer = fed(ROLE, chunk({"role": "assistant"}, index=1))
    assert (answer.complete, answer.finish_reason, answer.open_choices) == (False, None, [0, 1])
    answer.look(STOP)
    assert (answer.complete, answer.finish_reason, answer.open_choices) == (False, "stop", [1])
    answer.look(chunk({}, "length", index=1))
    assert (answer.complete, answer.finish_reason, answer.open_choices) == (True, "stop", [])


def test_the_end_marker_alone_completes_nothing_and_nothing_follows_it() -> None:
    answer = fed(ROLE, b" [DONE]\t", chunk({"content": "late"}))
    assert (answer.done, answer.complete, answer.attention, answer.tokens) == (True, False, True, 0)
    assert Answer().open_choices == [0]


def test_an_event_that_needs_no_change_stays_the_same_object() -> None:
    answer = fed(ROLE)
    payload = chunk({"content": "x"})
    assert answer.look(payload) is payload
    assert answer.look(b"") is None


@pytest.mark.parametrize(
    ("delta", "becomes"),
    [
        ({"content": "x"}, {"role": "assistant", "content": "x"}),
        ({"role": None, "content": "x"}, {"role": "assistant", "content": "x"}),
        (None, {"role": "assistant"}),
    ],
)
def test_the_first_delta_of_a_choice_gets_its_role(delta: object, becomes: object) -> None:
    payload = json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode()
    answer = Answer()
    out = answer.look(payload)
    assert out is not None
    assert json.loads(out)["choices"][0]["delta"] == becomes
    assert answer.look(payload) is payload, "the second one needs none"


def test_only_the_choice_without_a_role_gets_one() -> None:
    both = {"choices": [{"index": 0, "delta": {"role": "tool"}}, {"index": 1, "delta": {"content": "x"}}]}
    out = Answer().look(json.dumps(both).encode())
    assert out is not None
    assert [choice["delta"]["role"] for choice in json.loads(out)["choices"]] == ["tool", "assistant"]


@pytest.mark.parametrize(
    ("error", "kind", "code", "status"),
    [
        ({"message": "m", "code": "fire", "type": "t"}, UpstreamErrorEvent, "fire", 502),
        ({"message": "m", "type": "t"}, UpstreamErrorEvent, "t", 502),
        ({"message": "m", "code": 429, "type": "rate"}, UpstreamRefused, "rate", 429),
        ({"message": "m", "code": "429"}, UpstreamRefused, "429", 429),
        ({"message": "m", "code": 500}, UpstreamErrorEvent, "500", 502),
    ],
)
def test_an_error_event_ends_it_as_what_it_is(error: object, kind: type, code: str, status: int) -> None:
    answer = fed(json.dumps({"error": error}).encode())
    assert answer.error is not None
    assert (type(answer.error), answer.error.code, answer.error.status) == (kind, code, status)
    assert answer.look(chunk({"content": "late"})) is None


def test_a_token_beside_an_error_still_counts() -> None:
    payload = json.dumps(
        {
            "error": {"message": "m"},
            "choices": [
                {"index": 0, "delta": {"role": "assistant", "content": "x"}, "finish_reason": "error", "error": {}},
            ],
        }
    ).encode()
    answer = Answer()
    out = answer.look(payload)
    assert out is not None
    assert json.loads(out) == {
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": "x"}, "finish_reason": None}]
    }
    assert (answer.tokens, type(answer.error)) == (1, UpstreamErrorEvent)


def test_what_stands_beside_an_error_and_is_none_stays_as_it_was() -> None:
    kept = {"index": 0, "delta": {"role": "assistant", "content": "x"}, "finish_reason": None}
    assert json.loads(_without_errors(json.dumps({"error": "m", "choices": [kept, 7]}).encode())) == {
        "choices": [kept, 7]
    }


def test_finish_reason_error_is_an_error() -> None:
    answer = fed(ROLE, chunk({}, "error"))
    assert type(answer.error) is UpstreamErrorEvent


def test_the_first_error_is_the_one_that_counts() -> None:
    answer = Answer()
    first = UpstreamProtocolError("first")
    answer.end(first)
    answer.end(UpstreamProtocolError("second"))
    assert answer.error is first


def test_malformed_events_are_counted_and_the_first_few_reported() -> None:
    answer = Answer()
    for place in range(8):
        assert answer.look(b"{brok", place) is None
    assert answer.malformed == 8
    assert answer.malformed_at == [(place, 5) for place in range(5)]
    fatal = fed(b"{brok", fatal_malformed=True)
    assert fatal.error is not None
    assert fatal.error.code == "malformed_event"


def test_what_the_answer_says_of_itself_is_kept() -> None:
    answer = fed(ROLE, chunk({"content": "x"}, usage={"prompt_tokens": 1, "completion_tokens": 2}), STOP)
    assert (answer.id, answer.model, answer.created) == ("chatcmpl-1", "m", 1767225600)
    assert answer.usage == Usage(prompt_tokens=1, output_tokens=2)


def test_more_choices_than_anybody_may_ask_for_are_refused() -> None:
    answer = Answer()
    for index in range(MAX_CHOICES):
        answer.look(chunk({"role": "assistant"}, index=index))
    assert not answer.attention
    assert answer.look(chunk({"role": "assistant"}, index=MAX_CHOICES)) is None
    assert type(answer.error) is UpstreamProtocolError


def test_a_whole_answer_is_collected_up_to_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ANSWER", 1000)
    answer = fed(ROLE, chunk({"content": "x"}), collect=True)
    assert not answer.attention
    for _ in range(9):
        answer.look(chunk({"content": "x"}))
    assert answer.error is not None
    assert "larger than 1000 bytes" in answer.error.message
