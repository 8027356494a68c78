"""What a chunk says, beyond what the corpus shows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tidegate.events import Event, Failed, Finished, Started, TextDelta, ToolCallDelta, Usage
from tidegate.wire.openai_chat import (
    Choice,
    Chunk,
    Delta,
    FunctionCall,
    ToolCall,
    ToolCallIndex,
    decode_chunk,
    error_of,
    events,
    has_token,
    reasoning_of,
    text_of,
    usage_of,
)


def saying(**delta: Any) -> Chunk:
    return Chunk(id="c", model="m", choices=[Choice(0, Delta(**delta))])


def test_without_memory_every_role_is_a_start() -> None:
    """A caller that keeps nothing over a stream still learns the role."""
    assert events(saying(role="assistant", content="a")) == [Started(0, "assistant", "c", "m"), TextDelta("a")]
    assert events(saying(content="a")) == [TextDelta("a")]


def test_with_memory_each_choice_starts_once() -> None:
    """With the role of its first delta, or the usual one."""
    known: set[int] = set()
    assert events(saying(content="a"), known_roles=known)[0] == Started(0, "assistant", "c", "m")
    assert events(saying(role="assistant", content="b"), known_roles=known) == [TextDelta("b")]
    other = Chunk(choices=[Choice(1, Delta(role="tool"))])
    assert events(other, known_roles=known) == [Started(1, "tool")]


def test_without_memory_calls_are_numbered_in_their_chunk() -> None:
    """A caller that keeps nothing over a stream still gets distinct indices."""
    calls = [ToolCall(id="a", function=FunctionCall("f")), ToolCall(id="b", function=FunctionCall("g"))]
    assert events(saying(tool_calls=calls)) == [ToolCallDelta(0, "a", "f"), ToolCallDelta(1, "b", "g")]


def test_one_chunk_can_say_everything() -> None:
    """In reading order: start, text, finish, usage, error."""
    chunk = Chunk(
        choices=[Choice(0, Delta(content="a"), "stop")], usage={"prompt_tokens": 1, "completion_tokens": 2}, error="e"
    )
    want: list[Event] = [Started(0), TextDelta("a"), Finished("stop"), Usage(1, 2), Failed("e")]
    assert events(chunk, known_roles=set()) == want


@pytest.mark.parametrize(
    ("delta", "count"),
    [
        (Delta(), 0),
        (Delta(role="assistant", content=""), 0),
        (Delta(content=" "), 1),
        (Delta(content="a", reasoning="b", refusal="c", tool_calls=[ToolCall(id="d")]), 4),
        (Delta(tool_calls=[]), 0),
        (Delta(tool_calls=[ToolCall(index=0)]), 0),
        (Delta(tool_calls=[ToolCall(index=0, function=FunctionCall(arguments=""))]), 0),
        (Delta(tool_calls=[ToolCall(function=FunctionCall(arguments="{")), ToolCall(id="x")]), 1),
        (Delta(function_call=FunctionCall(arguments="{}")), 1),
        (Delta(function_call=FunctionCall(arguments="")), 0),
    ],
)
def test_a_token_is_something_for_the_reader(delta: Delta, count: int) -> None:
    """At most one of each kind per choice."""
    assert has_token(Chunk(choices=[Choice(0, delta)])) == count
    assert has_token(Chunk(choices=[Choice(0, delta), Choice(1, delta)])) == 2 * count


TEXTS = st.sampled_from([None, "", "a"])
PARTS = st.lists(
    st.sampled_from([{"type": "text", "text": "a"}, {"type": "thinking", "thinking": "b"}, {}]), max_size=2
)
FUNCTIONS = st.builds(FunctionCall, name=TEXTS, arguments=st.sampled_from([None, "", "{"]))
CALLS = st.lists(st.builds(ToolCall, id=TEXTS, function=st.none() | FUNCTIONS), max_size=2)


@given(
    st.builds(
        Delta,
        content=TEXTS | PARTS,
        reasoning_content=TEXTS,
        reasoning=TEXTS,
        reasoning_details=st.none() | PARTS,
        refusal=TEXTS,
        tool_calls=st.none() | CALLS,
        function_call=st.none() | FUNCTIONS,
    )
)
def test_a_token_is_what_the_vocabulary_has_a_word_for(delta: Delta) -> None:
    assume(not delta.tool_calls or delta.function_call is None)  # the new form or the old one, never both

    def says(event: Event) -> bool:
        return not isinstance(event, ToolCallDelta) or bool(event.id or event.name or event.arguments)

    chunk = Chunk(choices=[Choice(0, delta)])
    assert has_token(chunk) == len({type(event) for event in events(chunk) if says(event)})


@pytest.mark.parametrize(
    ("content", "text", "reasoning"),
    [
        ("plain", "plain", ""),
        (None, "", ""),
        ([], "", ""),
        (["a", {"type": "text", "text": "b"}], "ab", ""),
        ([{"type": "thinking", "thinking": "t"}, {"type": "text", "text": "b"}], "b", "t"),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "t"}, 5, {"text": None}]}], "", "t"),
        ([{"type": "reasoning", "text": "t"}], "", "t"),
        ([5, None, {"type": "text"}, {"type": "reference", "reference_ids": [1]}], "", ""),
    ],
)
def test_content_parts_are_text_or_reasoning(content: Any, text: str, reasoning: str) -> None:
    """And parts of a kind that we do not know are neither."""
    assert text_of(Delta(content=content)) == text
    assert reasoning_of(Delta(content=content)) == reasoning


def test_reasoning_details_that_are_not_objects_say_nothing() -> None:
    """The list is untyped."""
    assert reasoning_of(Delta(reasoning_details=[None, "x", {"type": "reasoning.text", "text": "t"}])) == "t"


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, None),
        ({}, None),
        ({"prompt_tokens": 2.0, "completion_tokens": -1}, Usage(2, 0)),
        ({"prompt_tokens": "many", "completion_tokens": True}, Usage(0, 1)),
        ({"prompt_tokens": 9, "cached_tokens": 4}, Usage(9, 0, 4)),
        ({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": None}}, Usage(9)),
    ],
)
def test_usage_counts_only_what_is_a_count(usage: Any, expected: Usage | None) -> None:
    """Nulls, strings and negative numbers count nothing."""
    assert usage_of(Chunk(usage=usage)) == expected


def test_usage_of_another_shape_is_none() -> None:
    """Groq's place may hold anything."""
    assert usage_of(Chunk(x_groq={"id": "r"})) is None
    assert usage_of(Chunk(x_groq={"usage": "none"})) is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": {"message": "m", "type": "t", "code": "c"}}, Failed("m", "t", "c")),
        ({"error": {"message": "", "code": 500}}, Failed("The upstream reported an error.", None, "500")),
        ({"error": {"message": {"a": 1}, "type": 5, "code": [1]}}, Failed("The upstream reported an error.")),
        ({"error": "m"}, Failed("m")),
        ({"error": True}, Failed("The upstream reported an error.")),
        ({"error": None}, None),
        ({"detail": "Not Found"}, Failed("Not Found")),
        ({"detail": [{"loc": ["body"], "msg": "missing"}]}, Failed("The upstream reported an error.")),
        ({"message": "m", "type": "t", "code": 4}, Failed("m", "t", "4")),
        ({"choices": [{"index": 0}], "message": "m"}, None),
        ({"choices": [{"index": 0}], "error": {"message": "m"}}, Failed("m")),
        ({}, None),
    ],
)
def test_error_bodies(body: dict[str, Any], expected: Failed | None) -> None:
    """The data of an ``error`` event, or the body of a refused request, in all their shapes."""
    assert error_of(json.dumps(body).encode()) == expected


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b"\xff", b"null"])
def test_bytes_that_are_no_object_say_nothing(body: bytes) -> None:
    """The caller knows better than we do what to make of them."""
    assert error_of(body) is None


def test_a_chunk_without_error_has_none() -> None:
    """A bare message in a chunk is no error."""
    assert error_of(decode_chunk(b'{"choices":[],"message":"hello"}')) is None


def test_a_call_without_index_comes_after_all_others() -> None:
    """Not only after the one that was last: servers interleave."""
    numbering = ToolCallIndex()
    assert numbering.index(ToolCall(index=1, function=FunctionCall("f"))) == 1
    assert numbering.index(ToolCall(index=0, function=FunctionCall("f"))) == 0
    assert numbering.index(ToolCall(function=FunctionCall("f"))) == 2


_CALLS = st.builds(
    ToolCall,
    index=st.none() | st.integers(0, 3),
    id=st.none() | st.sampled_from(["", "a", "b", "c"]),
    function=st.none() | st.builds(FunctionCall, name=st.none() | st.sampled_from(["", "f"])),
)


@given(st.lists(_CALLS, max_size=12))
def test_indices_are_never_negative_and_a_named_id_keeps_its_own(calls: list[ToolCall]) -> None:
    """Two named calls with different ids never share an index, whatever the server numbers them."""
    numbering = ToolCallIndex()
    owner: dict[int, str] = {}
    for call in calls:
        index = numbering.index(call)
        assert index >= 0
        if call.id:
            named = call.function is not None and bool(call.function.name)
            assert not named or owner.get(index, call.id) == call.id
            owner.setdefault(index, call.id)
