"""relay/body.py: what kind of body it is, and refusals as errors of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tidegate.errors import EventTooLarge, UpstreamFailed, UpstreamProtocolError, UpstreamRefused
from tidegate.relay.answer import Answer
from tidegate.relay.body import MAX_MESSAGE, MAX_REFUSAL, Refusal, WholeBody, lane_of, text_bytes
from tidegate.relay.lane import NdjsonLane, SseLane
from tidegate.upstream.exchange import ResponseHead
from tidegate.upstream.secrets import Redactor


def kind_of(data: bytes, content_type: bytes | None = None) -> object:
    headers = () if content_type is None else ((b"content-type", content_type),)
    return lane_of(ResponseHead(200, headers), data, Answer(), ndjson=False, max_event=100, redact=None, fast=True)


@pytest.mark.parametrize(
    ("data", "content_type", "kind"),
    [
        (b"data: {}\n\n", b"text/event-stream; charset=utf-8", SseLane),
        (b": hello\n\n", None, SseLane),
        (b"", b"application/json", SseLane),
        (b"{}", b"text/event-stream", WholeBody),
        (b"\xef\xbb\xbf\r\n {", None, WholeBody),
        (b"{}\n", b"Application/X-NDJSON ; x", NdjsonLane),
        (b"{}\n", b"application/jsonl", NdjsonLane),
        (b"<!doctype html>", b"text/event-stream", UpstreamProtocolError),
        (b"\n<?xml?>", None, UpstreamProtocolError),
    ],
)
def test_the_first_byte_decides_before_the_content_type_does(
    data: bytes, content_type: bytes | None, kind: type[object]
) -> None:
    assert type(kind_of(data, content_type)) is kind


def test_a_whole_body_is_held_up_to_its_limit() -> None:
    answer = Answer()
    whole = WholeBody(answer, max_body=5)
    assert (whole.feed(b"abc"), whole.feed(b"de"), whole.body(), whole.pending) == (b"", b"", b"abcde", 5)
    assert not answer.attention
    whole.feed(b"f")
    assert type(answer.error) is EventTooLarge
    assert whole.body() == b""


def refusal(status: int, body: Any, redact: Redactor | None = None) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    refused = Refusal(ResponseHead(status, ()), 3.0)
    for at in range(0, len(raw), 7):
        assert refused.feed(raw[at : at + 7]) == b""
    return refused.error(redact)


@pytest.mark.parametrize(
    ("body", "message", "code", "param"),
    [
        ({"error": {"message": "No.", "type": "t", "code": "c", "param": "p"}}, "No.", "c", "p"),
        ({"error": {"message": "No.", "type": "t", "code": None}}, "No.", "t", None),
        ({"error": {"message": "No.", "code": 7}}, "No.", "7", None),
        ({"error": "No."}, "No.", "upstream_refused", None),
        ({"detail": "No."}, "No.", "upstream_refused", None),
        ({"detail": [{"loc": []}]}, "The upstream refused the request with status 400.", "upstream_refused", None),
        (
            {"error": {"code": ["c"], "param": 1}},
            "The upstream refused the request with status 400.",
            "upstream_refused",
            None,
        ),
        (b"<html>", "The upstream refused the request with status 400.", "upstream_refused", None),
        (b"", "The upstream refused the request with status 400.", "upstream_refused", None),
        ({"message": "x" * 9000}, "x" * MAX_MESSAGE, "upstream_refused", None),
    ],
)
def test_a_4xx_passes_on_with_its_own_words(body: Any, message: str, code: str, param: str | None) -> None:
    error = refusal(400, body)
    assert type(error) is UpstreamRefused
    assert (error.message, error.code, error.param, error.status, error.retry_after) == (message, code, param, 400, 3.0)


def test_a_5xx_is_the_upstreams_failure() -> None:
    error = refusal(503, {"error": {"message": "Busy"}})
    assert (type(error), error.message) == (UpstreamFailed, "The upstream failed with status 503: Busy")
    assert refusal(500, b"").message == "The upstream failed with status 500."


def test_a_redirect_is_a_wrong_address_and_not_tried_again() -> None:
    error = refusal(302, b"")
    assert type(error) is UpstreamProtocolError
    assert not error.retryable


def test_no_secret_of_the_upstream_is_in_it() -> None:
    error = refusal(
        401,
        {"error": {"message": "Bad key-0123456789", "code": "key-0123456789", "param": "key-0123456789"}},
        Redactor(["key-0123456789"]),
    )
    assert (error.message, error.code, error.param) == ("Bad [redacted]", "[redacted]", "[redacted]")


def test_what_is_over_the_limit_is_dropped() -> None:
    refused = Refusal(ResponseHead(400, ()), None)
    for _ in range(3):
        refused.feed(b"x" * (MAX_REFUSAL - 1))
    assert refused.pending == MAX_REFUSAL


def test_how_much_of_an_answer_is_text_is_told_from_its_shape() -> None:
    """A whole body as it is; a stream by the template of its events; one that has none cannot be told."""
    answer = Answer()
    lane = SseLane(answer, ndjson=False, max_event=1000)
    assert text_bytes(None, 10, 1) == text_bytes(lane, 10, 1) == 0
    assert text_bytes(WholeBody(answer, max_body=100), 10, 1) == 10
    event = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n'
    events = [event % b"The", event % b" tide"]
    for one in events:
        lane.feed(one)
    assert text_bytes(lane, sum(map(len, events)), 2) == len(b"The tide")
