"""shared/messages.py: what comes over a bus is checked as if a stranger had sent it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import live
from tidegate.events import Usage
from tidegate.policy.keys import Principal
from tidegate.relay.registry import Registry
from tidegate.shared.messages import MAX_ROW, MOST_PARTS, MOST_ROWS, Answer, Question, decode, decode_row, encode
from tidegate.wire.openai_chat import encode_json

TAG, ID, STREAM = "0123abcd", "0123456789abcdef", "0123abcd" * 4
ANN = Principal("ann")
QUESTION: dict[str, Any] = {"kind": "question", "id": ID, "sender": TAG, "operation": "stop", "client": "ann"}
ANSWER: dict[str, Any] = {"kind": "answer", "id": ID, "sender": TAG}


def row() -> dict[str, Any]:
    """As the registry tells of a stream that has everything."""
    registry, found = Registry(), {}

    async def case() -> None:
        stream = live.opened(registry, STREAM, ANN)
        stream.answer.usage = Usage(prompt_tokens=3, output_tokens=5)
        stream.hits = {("email", "redact"): 2}
        stream.cancel()
        registry.saw(STREAM, ANN, {"ttft": 0.25, "finished": True})
        found.update(registry.get(STREAM, ANN))

    asyncio.run(case())
    assert found.keys() >= {"safety", "reader"}
    return found


ROW = row()


def test_what_is_sent_is_what_comes() -> None:
    question = Question(id=ID, sender=TAG, operation="seen", client="ann", stream=STREAM, report={"ttft": 0.5})
    answer = Answer(id=ID, sender=TAG, rows=[msgspec.Raw(b"{}")], live=3, told=7, reader_ends={"cut": 1}, part=2)
    assert decode(encode(question)) == question
    came = decode(encode(answer))
    assert isinstance(came, Answer)
    assert encode(came) == encode(answer)


def test_a_row_of_the_registry_passes_as_it_is() -> None:
    assert decode_row(msgspec.Raw(encode_json(ROW))) == ROW
    bare = {name: value for name, value in ROW.items() if name not in ("safety", "reader")}
    assert decode_row(msgspec.Raw(encode_json(bare))) == bare


def test_what_a_newer_version_adds_is_passed_over() -> None:
    """And what an older one does not know has its default."""
    assert decode(json.dumps({**QUESTION, "more": 1}).encode()) is not None
    assert decode(json.dumps({**ANSWER, "more": [1]}).encode()) is not None
    assert decode_row(msgspec.Raw(encode_json({**ROW, "more": "text"}))) == ROW


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "other"},
        {"id": "x"},
        {"id": ID + "\n"},
        {"sender": "0123ABCD"},
        {"sender": TAG * 2},
        {"operation": "shutdown"},
        {"client": "x" * 257},
        {"client": 1},
        {"admin": "yes"},
        {"stream": "../admin"},
        {"stream": STREAM + "0"},
        {"after": {TAG: -1}},
        {"after": {"x": 1}},
        {"after": {f"{number:08x}": 1 for number in range(1001)}},
        {"report": {"text": "of an answer"}},
        {"report": {"not a name": 1}},
        {"report": {f"n{number}": 1 for number in range(33)}},
    ],
)
def test_a_question_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    assert decode(json.dumps(QUESTION).encode()) is not None
    assert decode(json.dumps({**QUESTION, **wrong}).encode()) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"rows": [{}] * (MOST_ROWS + 1)},
        {"ended": [{}] * (MOST_ROWS + 1)},
        {"rows": {}},
        {"live": -1},
        {"told": 1.5},
        {"reader_ends": {"a b": 1}},
        {"reader_ends": {"cut": -1}},
        {"perceived": [1] * 65},
        {"part": -1},
        {"part": MOST_PARTS},
        {"last": None},
    ],
)
def test_an_answer_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    assert decode(json.dumps(ANSWER).encode()) is not None
    assert decode(json.dumps({**ANSWER, **wrong}).encode()) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "one"},
        {"object": "other"},
        {"client": None},
        {"model": "m" * 257},
        {"state": 5},
        {"created": "now"},
        {"tokens": -1},
        {"usage": {"prompt_tokens": 1}},
        {"safety": [{"rule": "email"}]},
        {"reader": {"text": "of an answer"}},
        {"validation": {"errors": "x" * MAX_ROW}},
    ],
)
def test_a_row_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    assert decode_row(msgspec.Raw(encode_json({**ROW, **wrong}))) is None


@pytest.mark.parametrize("name", sorted(ROW.keys() - {"safety", "reader", "validation"}))
def test_a_row_has_all_of_its_fields(name: str) -> None:
    assert decode_row(msgspec.Raw(encode_json({key: value for key, value in ROW.items() if key != name}))) is None


@given(st.binary(max_size=200))
def test_anything_may_come(data: bytes) -> None:
    assert decode(data) is None
    assert decode_row(msgspec.Raw(data)) is None


@pytest.mark.parametrize("data", [b"", b"\xff", b"[" * 100_000, b'"\\ud800"', b"null", b'{"kind":"answer"'])
def test_nor_does_anything_odd_raise(data: bytes) -> None:
    assert decode(data) is None
    assert decode_row(msgspec.Raw(data)) is None
