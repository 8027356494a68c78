"""relay/call.py: when a head leaves, and what the reader gets at the end; whole lives are tests/e2e/test_calls.py."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.downstream import Written
from tests.fakes.gateway import run
from tidegate.errors import RateLimited, UpstreamCut
from tidegate.relay.call import CallIntake, CallOutput
from tidegate.relay.endings import Framing
from tidegate.relay.options import StreamOptions
from tidegate.upstream.exchange import ResponseHead
from tidegate.upstream.secrets import Redactor

OPTIONS = StreamOptions()


def head(kind: str = "audio/mpeg", status: int = 200, **more: Any) -> ResponseHead:
    named = {"content-type": kind, **{name.replace("_", "-"): value for name, value in more.items()}}
    return ResponseHead(status, tuple((name.encode(), value.encode()) for name, value in named.items()))


def output() -> tuple[CallOutput, Written]:
    down = Written()
    return CallOutput(down, Framing.RAW, "id", OPTIONS), down


def test_the_upstreams_status_and_description_are_the_readers() -> None:
    async def case() -> None:
        out, down = output()
        out.answered(head(status=206, content_range="bytes 0-1/9", content_length="2", server="x"), None)
        out.release(b"ab")
        headers = down.headers
        assert (down.status, headers[b"content-length"]) == (206, b"2")
        assert headers[b"content-range"] == b"bytes 0-1/9"
        assert b"server" not in headers
        assert headers[b"content-security-policy"].startswith(b"sandbox")

    run(case())


@pytest.mark.parametrize(
    ("given", "secret"),
    [({"content_length": "2"}, True), ({"content_length": "2", "content_encoding": "gzip"}, False), ({}, False)],
)
def test_a_length_that_may_change_is_not_told(given: dict[str, Any], secret: bool) -> None:
    async def case() -> None:
        out, down = output()
        out.answered(head(**given), Redactor(["sk-0123456789"]) if secret else None)
        out.release(b"ab")
        assert b"content-length" not in down.headers

    run(case())


def test_an_error_is_an_event_in_a_stream_and_a_broken_connection_elsewhere() -> None:
    async def case() -> None:
        for events in (True, False):
            out, down = output()
            out.answered(head(), None)
            out.events = events
            out.release(b"data: a\n\n")
            out.tell(UpstreamCut("It ended."))
            if events:
                assert b'event: error\ndata: {"type":"error","message":"It ended."' in down.body
                assert down.finished
            else:
                assert down.aborted

    run(case())


def test_before_the_head_an_error_is_a_response() -> None:
    async def case() -> None:
        out, down = output()
        out.answered(head(), None)
        out.tell(RateLimited("Later.", retry_after=1.5))
        assert (down.status, down.headers[b"retry-after"]) == (429, b"2")
        assert down.headers[b"content-type"] == b"application/json"

    run(case())


def test_an_intake_without_a_body_is_whole() -> None:
    intake = CallIntake("/files/x", OPTIONS, None)
    intake.on_head(head(status=204))
    assert not intake.starts
    assert intake.close() == b""
    assert intake.answer.complete


def test_a_refusal_never_starts() -> None:
    intake = CallIntake("/files/x", OPTIONS, None)
    intake.on_head(head("application/json", status=404))
    assert intake.close() == intake.rest() == b""
    assert not intake.starts
    assert intake.refusal() is not None


def test_what_is_cut_is_told_by_where() -> None:
    intake = CallIntake("/completions", OPTIONS, None)
    intake.on_head(head("text/event-stream"))
    intake.first(b"data: a")
    assert "in the middle of an event" in intake.cut().message
    assert "before it was whole" in CallIntake("/completions", OPTIONS, None).cut().message
