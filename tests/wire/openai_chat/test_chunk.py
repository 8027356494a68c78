"""Decoding one chunk: exact where it can be, tolerant where it must be, refusing what is not JSON."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.wire.openai_chat import Choice, Chunk, Delta, FunctionCall, MalformedChunk, ToolCall, decode_chunk

SECRET = "the tide is high"


def chunk(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def test_a_chunk_is_typed() -> None:
    """Every field that the gateway reads."""
    data = chunk(
        id="c",
        object="chat.completion.chunk",
        created=1,
        model="m",
        choices=[{"index": 1, "delta": {"role": "assistant", "content": "é"}, "finish_reason": "stop"}],
        unknown={"nested": [1, 2]},
    )
    assert decode_chunk(data) == Chunk(
        id="c",
        object="chat.completion.chunk",
        created=1,
        model="m",
        choices=[Choice(1, Delta(role="assistant", content="é"), "stop")],
    )


def test_an_empty_object_is_an_empty_chunk() -> None:
    """Every field may be missing, also inside a choice."""
    assert decode_chunk(b"{}") == Chunk()
    assert decode_chunk(b'{"choices":[{}]}') == Chunk(choices=[Choice()])


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"choices": None}, Chunk()),
        ({"choices": "none"}, Chunk()),
        ({"choices": [None, 5, {"delta": {"content": "x"}}]}, Chunk(choices=[Choice(0, Delta(content="x"))])),
        ({"choices": [{"delta": None, "finish_reason": "stop"}]}, Chunk(choices=[Choice(finish_reason="stop")])),
        ({"choices": [{"delta": [], "index": "1"}]}, Chunk(choices=[Choice()])),
        ({"choices": [{"delta": {"content": 5, "role": "r"}}]}, Chunk(choices=[Choice(0, Delta(role="r"))])),
        ({"choices": [], "id": 7, "model": "m"}, Chunk(model="m")),
        ({"created": 1.5, "usage": 3}, Chunk(created=1.5)),
        (
            {"choices": [{"delta": {"tool_calls": [{"index": None, "function": {"arguments": 1, "name": "n"}}]}}]},
            Chunk(choices=[Choice(0, Delta(tool_calls=[ToolCall(function=FunctionCall("n"))]))]),
        ),
        ({"choices": [{"delta": {"tool_calls": {}}}]}, Chunk(choices=[Choice()])),
    ],
)
def test_a_field_of_the_wrong_type_counts_as_missing(fields: dict[str, Any], expected: Chunk) -> None:
    """The other fields of the same chunk are kept."""
    assert decode_chunk(chunk(**fields)) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[DONE]",
        b"[]",
        b"null",
        b"17",
        b'"text"',
        b'{"choices":[',
        b"{'choices':[]}",
        b'{"choices":[]} trailing',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":"tab\there"}',
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\xbd"}',
        b"\xef\xbb\xbf{}",
        b'{"a":' * 100_000,
        b'{"choices":' * 3 + b"9" * 5000,
        "{}".encode("utf-16"),
    ],
)
def test_what_is_not_a_json_object_in_utf8_is_malformed(data: bytes) -> None:
    """Also in fields that nobody reads: the client behind us would fail on them."""
    with pytest.raises(MalformedChunk):
        decode_chunk(data)


def test_the_error_tells_size_and_no_content() -> None:
    """Neither in its text nor in an exception that hangs on it, where a log would print it."""
    data = f'{{"choices":[{{"delta":{{"content":"{SECRET}"}}}}]'.encode()
    with pytest.raises(MalformedChunk, match=rf"\({len(data)} bytes\)") as caught:
        decode_chunk(data)
    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_half_a_surrogate_pair_is_kept() -> None:
    """The other half may be in the next chunk."""
    assert decode_chunk(b'{"choices":[{"delta":{"content":"\\ud83c"}}]}').choices[0].delta.content == "\ud83c"


def test_a_number_out_of_range_counts_as_missing() -> None:
    """Nothing behind us could compute with it."""
    got = decode_chunk(b'{"created":1e999,"choices":[{"index":0,"logprobs":{"p":-1e999,"q":1.5}}]}')
    assert got.created is None
    assert got.choices[0].logprobs == {"p": None, "q": 1.5}


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def _object(*names: str, **nested: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={**dict.fromkeys(names, _ANY), **nested})


_FUNCTION = _object("name", "arguments")
_CALL = _object("index", "id", function=_FUNCTION | _ANY)
_DELTA = _object("role", "content", "reasoning", "refusal", tool_calls=st.lists(_CALL, max_size=2) | _ANY)
_CHOICE = _object("index", "finish_reason", "logprobs", "message", "error", "usage", delta=_DELTA | _ANY)


@given(_object("id", "created", "usage", "error", "object", choices=st.lists(_CHOICE, max_size=2) | _ANY))
def test_no_json_object_is_refused(fields: dict[str, Any]) -> None:
    """Whatever is in its fields."""
    assert isinstance(decode_chunk(json.dumps(fields).encode()), Chunk)


@given(st.binary(max_size=60))
def test_bytes_give_a_chunk_or_one_kind_of_error(data: bytes) -> None:
    """Nothing else escapes."""
    try:
        decode_chunk(data)
    except MalformedChunk:
        with pytest.raises((ValueError, RecursionError)):
            msgspec.json.decode(data.decode(), type=dict[str, Any])
