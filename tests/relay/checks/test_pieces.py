"""Every text of a chunk, under one name however the server sends it."""

from __future__ import annotations

from typing import Any

from tests.relay.streams import chunk
from tidegate.relay.checks.pieces import Pieces
from tidegate.wire.openai_chat import decode_chunk


def said(*chunks: bytes) -> list[tuple[int, str, str, str]]:
    pieces = Pieces()
    return [
        (piece.choice, piece.channel.value, piece.name, piece.text)
        for each in chunks
        for piece in pieces.of(decode_chunk(each))
    ]


def test_content_reasoning_and_refusal() -> None:
    assert said(
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "hm", "content": "a"}),
        chunk({"refusal": "no"}, index=1),
        chunk({"content": [{"type": "text", "text": "b"}]}),
    ) == [
        (0, "reasoning", "reasoning", "hm"),
        (0, "output", "content", "a"),
        (1, "output", "refusal", "no"),
        (0, "output", "content", "b"),
    ]


def test_arguments_of_calls_by_their_number() -> None:
    def call(**fields: Any) -> bytes:
        return chunk({"tool_calls": [fields]})

    assert said(
        call(index=0, id="a", function={"name": "f", "arguments": ""}),
        call(index=0, function={"arguments": '{"x"'}),
        call(index=1, id="b", function={"name": "g", "arguments": "{}"}),
        call(index=0, function={"arguments": ":1}"}),
        chunk({"function_call": {"name": "h", "arguments": "{"}}),
    ) == [
        (0, "tool-arguments", "arguments:0", '{"x"'),
        (0, "tool-arguments", "arguments:1", "{}"),
        (0, "tool-arguments", "arguments:0", ":1}"),
        (0, "tool-arguments", "arguments:function", "{"),
    ]


def message(content: Any, **more: Any) -> bytes:
    return chunk(choices=[{"index": 0, "message": {"content": content, **more}, "finish_reason": "stop"}])


def test_a_whole_message_counts_where_no_delta_has_said_it() -> None:
    calls = [{"function": {"arguments": "{}"}}, {"function": {"arguments": ""}}, "x", {"function": 3}]
    assert said(message("all", refusal="no", tool_calls=calls)) == [
        (0, "output", "content", "all"),
        (0, "output", "refusal", "no"),
        (0, "tool-arguments", "arguments:0", "{}"),
    ]
    assert said(message(None, tool_calls=3)) == []
    assert said(chunk({"content": "all"}), message("all")) == [(0, "output", "content", "all")]
