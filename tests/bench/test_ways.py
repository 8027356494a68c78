"""bench/ways.py: one reader in front of one answer."""

from __future__ import annotations

import asyncio
import json
import math

import pytest

from tests.fakes.gateway import until
from tidegate.bench.abandonment import Reader
from tidegate.bench.visible import PlainText
from tidegate.bench.ways import WAYS, Seat, Way
from tidegate.errors import UpstreamCut
from tidegate.upstream.exchange import ResponseHead

BLOCKING, CHUNKED, SSE = WAYS
OK = ResponseHead(200, ())
BLANK = {"choices": [{"index": 0, "delta": {"content": "\n"}}]}
TEXT = {"choices": [{"index": 0, "delta": {"content": "tide"}}]}
FINISH = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
ERROR = {"error": {"message": "on fire"}}


def framed(way: Way, *chunks: object) -> bytes:
    if way is SSE:
        return b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in chunks) + b"data: [DONE]\n\n"
    return b"".join(json.dumps(each).encode() + b"\n" for each in chunks)


def seat(way: Way, patience: float = math.inf, distracted: float = math.inf) -> Seat:
    return Seat(way, Reader(1, 0.1, 20, 40.0, patience, distracted), "t", PlainText(), lambda: None)


@pytest.mark.parametrize("way", [CHUNKED, SSE], ids=["ndjson", "sse"])
def test_the_first_token_is_not_yet_the_first_visible_text(way: Way) -> None:
    one = seat(way)
    one.on_head(OK)
    one.on_data(framed(way, BLANK)[: -len(b"data: [DONE]\n\n")] if way is SSE else framed(way, BLANK), None)
    before = (one.first_at, one.visible_at)
    assert before[0] is not None
    assert before[1] is None
    one.on_data(framed(way, TEXT, FINISH), None)
    one.on_end()
    assert one.visible_at is not None
    assert one.end == "complete"


@pytest.mark.parametrize("chunks", [(TEXT,), (TEXT, ERROR), (TEXT, FINISH, ERROR)])
@pytest.mark.parametrize("way", [CHUNKED, SSE], ids=["ndjson", "sse"])
def test_what_is_not_whole_has_failed(way: Way, chunks: tuple[object, ...]) -> None:
    one = seat(way)
    one.on_head(OK)
    one.on_data(framed(way, *chunks), None)
    one.on_end()
    assert one.end == "failed"


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"choices": []}', b'{"choices": [{"message": {"content": "x"}}]}'])
def test_a_blocking_answer_that_is_none_has_failed(body: bytes) -> None:
    one = seat(BLOCKING)
    one.on_head(OK)
    one.on_data(body, None)
    one.on_end()
    assert one.end == "failed"


def test_a_blocking_answer_is_seen_when_it_is_whole() -> None:
    one = seat(BLOCKING)
    one.on_head(OK)
    answer = {"choices": [{"message": {"content": "tide"}, "finish_reason": "stop"}]}
    for piece in (json.dumps(answer).encode()[:9], json.dumps(answer).encode()[9:]):
        one.on_data(piece, None)
        assert one.visible_at is None
    one.on_end()
    assert one.end == "complete"
    assert one.visible_at == one.first_at


def test_a_lost_connection_or_a_status_has_failed() -> None:
    lost, refused, unsent = seat(SSE), seat(SSE), seat(SSE)
    lost.on_lost(UpstreamCut("x"))
    refused.on_head(ResponseHead(503, ()))
    refused.on_data(b"{}", None)
    refused.on_end()
    unsent.failed()
    assert [one.end for one in (lost, refused, unsent)] == ["failed"] * 3


def test_a_reader_leaves_when_nothing_is_to_be_seen() -> None:
    async def case() -> None:
        one = seat(SSE, patience=0.01)
        one.sit_down()
        await until(lambda: one.end == "impatient")

    asyncio.run(case())


def test_who_sees_something_has_patience_but_may_be_distracted() -> None:
    async def case() -> None:
        one = seat(SSE, patience=0.01, distracted=0.05)
        one.on_head(OK)
        one.on_data(framed(SSE, TEXT), None)
        one.sit_down()
        await until(lambda: bool(one.end))
        assert one.end == "distracted"

    asyncio.run(case())


def test_it_asks_the_simulator_for_its_own_answer() -> None:
    assert seat(BLOCKING).body["model"] == "sim/prose?ttft=0.1000&tps=40&tokens=20&seed=1"
    assert [seat(way).body["stream"] for way in WAYS] == [False, True, True]
