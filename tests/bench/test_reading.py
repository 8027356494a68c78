"""bench/reading.py: what became of a stream, whole and cut at every byte."""

from __future__ import annotations

import pytest

from tidegate.bench.histogram import Histogram
from tidegate.bench.reading import (
    CANCELLED,
    COMPLETE,
    DISHONEST,
    FALSE_DONE,
    NOT_A_STREAM,
    SILENT_END,
    Reading,
)
from tidegate.errors import ConnectionRefused, StaleConnection, TidegateError, UpstreamCut, UpstreamProtocolError
from tidegate.upstream.exchange import ResponseHead

SSE = ResponseHead(200, ((b"content-type", b"text/event-stream; charset=utf-8"),))
NDJSON = ResponseHead(200, ((b"content-type", b"application/x-ndjson"),))
TOKEN = b'data: {"choices":[{"index":0,"delta":{"content":"tide"}}]}\n\n'
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
OTHER = b'data: {"choices":[{"index":1,"delta":{"content":"other"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
ERROR = b'data: {"error":{"message":"on fire","code":"fire"}}\n\n'
NAMED = b'event: error\ndata: {"message":"on fire"}\n\n'
BROKEN = b'data: {"choices":[{"del\n\n'


def reading(cancel_after: int = 0) -> Reading:
    return Reading(lambda _: None, gaps=Histogram(), cancel_after=cancel_after)


ENDINGS = [
    (TOKEN + FINISH + DONE, COMPLETE),
    (TOKEN + FINISH, COMPLETE),
    (TOKEN, SILENT_END),
    (b"", SILENT_END),
    (TOKEN + DONE, FALSE_DONE),
    (TOKEN + OTHER + FINISH + DONE, FALSE_DONE),
    (TOKEN + ERROR, "error event fire"),
    (TOKEN + ERROR + DONE, "error event fire"),
    (TOKEN + FINISH + ERROR, "error event fire"),
    (TOKEN + NAMED, "error event"),
    (TOKEN + BROKEN + FINISH + DONE, "an event that is not JSON"),
    (TOKEN + FINISH[:-1], SILENT_END),
]


@pytest.mark.parametrize(("body", "outcome"), ENDINGS)
def test_a_clean_end_is_called_what_it_is_wherever_it_was_cut(body: bytes, outcome: str) -> None:
    for cut in range(len(body) + 1):
        one = reading()
        one.on_head(SSE)
        for piece in (body[:cut], body[cut:]):
            if piece:
                one.on_data(piece, None)
        one.on_end()
        assert one.outcome == outcome
        assert one.tokens == body.count(b'"content"')


def test_ndjson_is_complete_without_an_end_marker() -> None:
    one = reading()
    one.on_head(NDJSON)
    one.on_data((TOKEN + FINISH).replace(b"data: ", b"").replace(b"\n\n", b"\n"), None)
    one.on_end()
    assert (one.outcome, one.tokens) == (COMPLETE, 1)


def test_a_page_with_status_200_is_dishonest_and_a_status_is_not() -> None:
    page = reading()
    page.on_head(ResponseHead(200, ((b"content-type", b"text/html"),)))
    page.on_data(b"<h1>It works!</h1>", None)
    page.on_end()
    assert page.outcome == NOT_A_STREAM
    refused = reading()
    refused.on_head(ResponseHead(429, ()))
    refused.on_data(b"{}", None)
    refused.on_end()
    assert refused.outcome == "HTTP 429"
    assert page.outcome in DISHONEST
    assert refused.outcome not in DISHONEST


@pytest.mark.parametrize(
    ("error", "head", "outcome"),
    [
        (UpstreamCut("x"), SSE, "cut"),
        (UpstreamCut("x"), None, "closed without an answer"),
        (StaleConnection("x"), None, "a kept connection had been closed"),
        (UpstreamProtocolError("x"), None, "not HTTP/1.1"),
        (UpstreamCut("x"), ResponseHead(503, ()), "HTTP 503"),
    ],
)
def test_a_lost_connection_is_an_honest_failure(error: UpstreamCut, head: ResponseHead | None, outcome: str) -> None:
    one = reading()
    if head is not None:
        one.on_head(head)
    one.on_lost(error)
    assert one.outcome == outcome
    assert outcome not in DISHONEST


def test_an_error_event_says_more_than_the_cut_behind_it() -> None:
    one = reading()
    one.on_head(SSE)
    one.on_data(ERROR, None)
    one.on_lost(UpstreamCut("x"))
    assert one.outcome == "error event fire"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(ConnectionRefused("x"), "no connection: upstream_unreachable"), (TidegateError("x"), "internal_error")],
)
def test_one_that_did_not_begin_is_told_once(error: TidegateError, outcome: str) -> None:
    told: list[str] = []
    one = Reading(lambda reading: told.append(reading.outcome), gaps=Histogram())
    one.failed(error)
    one.failed(error)
    one.timed_out()
    assert told == [outcome]


def test_it_hangs_up_after_its_tokens() -> None:
    one = reading(cancel_after=2)
    one.on_head(SSE)
    one.on_data(TOKEN, None)
    assert one.outcome == ""
    one.on_data(TOKEN, None)
    assert one.outcome == CANCELLED
    assert one.cancelled_at is not None


def test_tokens_of_one_read_came_together() -> None:
    gaps = Histogram()
    one = Reading(lambda _: None, gaps=gaps)
    one.on_head(SSE)
    one.on_data(TOKEN * 3, None)
    one.on_data(TOKEN, None)
    assert (gaps.count, one.tokens) == (3, 4)
    assert gaps.minimum == 0.0
    assert one.ttft is not None
    assert one.tpot is not None


def test_silence_is_told_by_its_phase() -> None:
    early, late = reading(), reading()
    late.on_head(SSE)
    late.on_data(TOKEN, None)
    for one in (early, late):
        assert one.tpot is None
        one.timed_out()
    assert early.outcome == "silent too long, before the first token"
    assert late.outcome == "silent too long, in the stream"


def test_an_event_over_the_limit_ends_it() -> None:
    one = reading()
    one.on_head(SSE)
    one.on_data(b"data: " + b"x" * (9 << 20), None)
    one.on_data(b"\n\n", None)
    assert one.outcome == "an event over the limit"
