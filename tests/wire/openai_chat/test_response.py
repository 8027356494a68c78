"""A whole answer cut into a stream adds up to the same answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.wire.corpus import Case, body_of, cases, read_chat
from tidegate.wire.openai_chat import ChatAssembler, MalformedChunk, chunks_of_response, decode_chunk, encode_json

COMPLETE = [case for case in cases("openai_chat") if case["result"]["choices"]]


def reassembled(body: bytes) -> ChatAssembler:
    assembler = ChatAssembler()
    for chunk in chunks_of_response(body):
        assembler.feed(decode_chunk(chunk))
    return assembler


@pytest.mark.parametrize("case", COMPLETE, ids=[case["name"] for case in COMPLETE])
def test_every_answer_of_the_corpus_survives_the_way_there_and_back(case: Case) -> None:
    """Calls, reasoning, log probabilities, usage and what else an answer has; an unfinished one stays unfinished."""
    answer = read_chat([body_of(case)]).assembler.result()
    again = reassembled(encode_json(answer))
    got = again.result()
    for choice in (*answer["choices"], *got["choices"]):
        # A message that came whole leaves out what is null.
        choice["message"].setdefault("refusal", None)
    assert got == answer
    assert again.complete == case["complete"]


def test_a_choice_is_a_message_and_then_a_finish_reason() -> None:
    """As a stream of one large delta would have it; the usage is the last chunk."""
    body = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "message": {"role": "assistant", "content": "a", "refusal": None},
                "finish_reason": "stop",
                "logprobs": None,
            },
            {"index": 1, "message": {"content": "b"}, "finish_reason": None},
        ],
        "usage": {"prompt_tokens": 1},
        "system_fingerprint": "f",
    }
    head = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "system_fingerprint": "f",
    }
    first: dict[str, Any] = {"index": 0, "delta": {"role": "assistant", "content": "a"}, "logprobs": None}
    second: dict[str, Any] = {"index": 1, "delta": {"role": "assistant", "content": "b"}}
    assert [json.loads(chunk) for chunk in chunks_of_response(encode_json(body))] == [
        {**head, "choices": [{**first, "finish_reason": None}]},
        {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {**head, "choices": [{**second, "finish_reason": None}]},
        {**head, "choices": [], "usage": {"prompt_tokens": 1}},
    ]


def test_calls_are_numbered_by_their_place() -> None:
    """SDKs refuse a streamed call without index."""
    calls: list[Any] = [{"id": "a", "function": {"name": "f", "arguments": "{}"}}, "odd", {"id": "b", "index": 5}]
    body = {"choices": [{"message": {"content": None, "tool_calls": calls}, "finish_reason": "tool_calls"}]}
    delta = json.loads(chunks_of_response(encode_json(body))[0])["choices"][0]["delta"]
    assert delta["tool_calls"] == [{"index": 0, **calls[0]}, "odd", {"index": 5, "id": "b"}]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"choices":[]}',
        b'{"choices":null}',
        b'{"choices":[5]}',
        b'{"choices":[{"text":"a completion"}]}',
        b'{"choices":[{"message":"m"}]}',
        b'{"error":{"message":"m"}}',
    ],
)
def test_what_is_no_chat_completion_is_refused(body: bytes) -> None:
    """An error, a page, another dialect: the caller must not stream it."""
    with pytest.raises(MalformedChunk):
        chunks_of_response(body)
