"""Events to chunks: what is written is read back, by us and as OpenAI writes it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.events import (
    Event,
    Failed,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from tidegate.wire.openai_chat import decode_chunk, encode_chunk, encode_json, error_json, events


def written(event: Event, **ours: Any) -> dict[str, Any]:
    data = encode_chunk(event, id="c", model="m", created=1, tidegate=ours or None)
    value: dict[str, Any] = json.loads(data)
    return value


@pytest.mark.parametrize(
    ("event", "delta", "reason"),
    [
        (Started(0), {"role": "assistant", "content": ""}, None),
        (TextDelta("é"), {"content": "é"}, None),
        (ReasoningDelta("r"), {"reasoning_content": "r"}, None),
        (RefusalDelta("no"), {"refusal": "no"}, None),
        (
            ToolCallDelta(1, "a", "f", "{"),
            {"tool_calls": [{"index": 1, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{"}}]},
            None,
        ),
        (ToolCallDelta(0, arguments="}"), {"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]}, None),
        (Finished("stop"), {}, "stop"),
    ],
)
def test_a_delta_is_one_choice_of_one_chunk(event: Event, delta: dict[str, Any], reason: str | None) -> None:
    """In OpenAI's shape, nulls included."""
    assert written(event) == {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}],
    }


def test_usage_is_a_chunk_without_choices() -> None:
    """As ``stream_options.include_usage`` has it."""
    got = written(Usage(12, 3, 8, 2))
    assert got["choices"] == []
    assert got["usage"] == {
        "prompt_tokens": 12,
        "completion_tokens": 3,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 8},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    assert "tidegate" not in got


def test_an_estimate_says_that_it_is_one() -> None:
    """An honest number names its source."""
    assert written(Usage(1, 2, estimated=True))["tidegate"] == {"usage": "estimated"}


def test_what_the_gateway_adds_has_a_key_of_its_own() -> None:
    """Beside the choices, where no client looks by accident."""
    got = written(Finished("stop"), reason="soft_stop")
    assert got["tidegate"] == {"reason": "soft_stop"}
    assert got["choices"][0]["finish_reason"] == "stop"


def test_a_failure_is_an_error_object() -> None:
    """The shape on which the official SDKs raise."""
    assert written(Failed("m")) == {"error": {"message": "m", "type": "upstream_error", "code": None, "param": None}}
    assert written(Failed("m", "t", "c"))["error"]["type"] == "t"


def test_an_error_names_its_stream() -> None:
    """When there is one."""
    assert json.loads(error_json("m", "t", "c", "s-1", "model")) == {
        "error": {"message": "m", "type": "t", "code": "c", "param": "model", "stream_id": "s-1"}
    }


def test_half_a_surrogate_pair_leaves_as_it_came() -> None:
    """The browser that joins the halves has the whole character."""
    data = encode_chunk(TextDelta("sea \ud83c"), id="c", model="m", created=1)
    assert b"sea \\ud83c" in data
    assert events(decode_chunk(data)) == [TextDelta("sea \ud83c")]


def test_a_large_integer_is_written_as_it_is() -> None:
    """JSON has no limit on digits."""
    assert encode_json({"n": 2**70}) == b'{"n":1180591620717411303424}'


_TEXT = st.text(min_size=1, max_size=20)
_CHOICE = st.integers(0, 3)
_COUNT = st.integers(0, 10**6)
_EVENTS = st.one_of(
    st.builds(Started, _CHOICE, _TEXT, st.just("c"), st.just("m")),
    st.builds(TextDelta, _TEXT, _CHOICE),
    st.builds(ReasoningDelta, _TEXT, _CHOICE),
    st.builds(RefusalDelta, _TEXT, _CHOICE),
    st.builds(ToolCallDelta, _CHOICE, st.none() | _TEXT, st.none() | _TEXT, st.text(max_size=20), _CHOICE),
    st.builds(Finished, _TEXT, _CHOICE),
    st.builds(Usage, _COUNT, _COUNT, _COUNT, _COUNT),
)


@given(_EVENTS)
def test_what_is_encoded_is_decoded(event: Event) -> None:
    """Every event but a failure, which becomes an error object of its own."""
    assert events(decode_chunk(encode_chunk(event, id="c", model="m", created=1))) == [event]


@given(_TEXT, _TEXT, st.none() | _TEXT)
def test_a_failure_is_encoded_and_decoded(message: str, kind: str, code: str | None) -> None:
    """With its type and code."""
    failed = Failed(message, kind, code)
    assert events(decode_chunk(encode_chunk(failed, id="c", model="m", created=1))) == [failed]
