"""A stream's decisions, without I/O."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.client.test_reading import SSE, said, sse
from tidegate.client.config import StreamConfig
from tidegate.client.core import StreamCore, request_body, request_headers
from tidegate.errors import Cancelled, StreamTruncated, UpstreamCut, UpstreamFailed, UpstreamRefused
from tidegate.events import TextDelta

CONFIG = StreamConfig(endpoint="/v1", model="m")


def core(raw: bool = False, **options: Any) -> StreamCore:
    found = StreamCore(StreamConfig(endpoint="/v1", **options), "m", raw=raw, now=10.0)
    found.began(SSE, {"x-stream-id": "ab"})
    return found


def taken(found: StreamCore) -> list[Any]:
    return found.take_all()


def test_a_request_has_the_configured_fields_and_those_of_the_call_win() -> None:
    def body(**fields: Any) -> Any:
        return msgspec.json.decode(request_body(CONFIG, [{"role": "user", "content": "x"}], None, fields))

    assert body() == {
        "model": "m",
        "messages": [{"role": "user", "content": "x"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 2048,
        "temperature": 0.7,
    }
    assert body(temperature=0, tools=[])["tools"] == []
    assert "temperature" not in body(temperature=None)
    assert "max_tokens" not in body(max_completion_tokens=9)
    with pytest.raises(ValueError, match="not JSON"):
        body(tools=object())


def test_headers_ask_for_what_the_endpoint_does_best() -> None:
    key = StreamConfig(endpoint="/v1", api_key="k", headers={"x-tag": "1"})
    headers = request_headers(key, ndjson=False, version="1")
    assert headers["accept"] == "text/event-stream"
    assert headers["authorization"] == "Bearer k"
    assert headers["x-tag"] == "1"
    assert request_headers(CONFIG, ndjson=True, version="1")["accept"] == "application/x-ndjson"
    asked = StreamConfig(endpoint="/v1", framing="ndjson")
    assert request_headers(asked, ndjson=False, version="1")["accept"] == "application/x-ndjson"


def test_a_whole_stream_ends_with_its_figures() -> None:
    found = core()
    assert found.result(10.0).reason is None
    chunks = said("ab", "cd", "ef")
    found.feed(sse(chunks[0]), 10.1)
    for number, each in enumerate(chunks[1:]):
        found.feed(sse(each), 10.5 + number / 10)
    found.feed(sse({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 3}}) + b"data: [DONE]\n\n", 11.0)
    assert found.over
    found.finish(11.0)
    assert taken(found) == ["a", "bc", "de", "f"]
    result = found.result(99.0)
    assert (result.complete, result.text, result.reason, result.finish_reason) == (True, "abcdef", "stop", "stop")
    assert [result.ttft, result.tpot, result.duration] == pytest.approx([0.5, 0.1, 1.0])
    assert (result.stream_id, result.model, result.tokens) == ("ab", "m", 3)
    assert "abcdef" not in repr(result)


def test_measures_can_be_switched_off() -> None:
    found = core(ttft=False, tpot=False, finish_reason=False, cancellation=False)
    found.feed(sse(*said("a", "b")), 11.0)
    found.stop(12.0)
    result = found.result(12.0)
    assert (result.ttft, result.tpot, result.finish_reason, result.reason) == (None, None, None, None)


def test_a_cut_carries_what_came() -> None:
    found = core()
    found.feed(sse(*said("ab", "cd")[:-1]), 10.5)
    found.finish(11.0, UpstreamCut("Gone."))
    assert taken(found) == ["abc", "d"]
    failure = found.failure
    assert isinstance(failure, StreamTruncated)
    assert (failure.text, failure.stream_id, failure.code) == ("abcd", "ab", "upstream_cut")
    assert isinstance(failure.__cause__, UpstreamCut)
    assert "abcd" not in str(failure)
    assert not found.result(11.0).complete


def test_an_error_of_the_stream_wins_over_how_its_connection_ended() -> None:
    found = core()
    error = {"error": {"message": "On fire.", "code": "fire"}}
    found.feed(sse(*said("ab")[:2], error), 10.5)
    found.finish(11.0, UpstreamCut("Gone."))
    assert found.failure is not None
    assert found.failure.code == "fire"


def test_what_is_complete_stays_a_success_when_the_connection_breaks() -> None:
    found = core()
    found.feed(sse(*said("ab")), 10.5)
    assert found.complete
    found.finish(11.0, UpstreamCut("Reset."))
    assert found.failure is None


def test_many_chunks_of_one_read_come_in_pieces_of_max_buffer() -> None:
    found = core(max_buffer=4)
    found.feed(sse(*said(*["ab "] * 10)), 10.5)
    found.finish(11.0)
    assert [len(piece) for piece in taken(found)] == [11, 12, 6, 1]


def test_before_the_first_token_it_is_tried_again_and_after_it_never() -> None:
    found = core(retry_attempts=2, retry_delay=1.0)
    assert found.wait_before_retry(UpstreamRefused("No.", status=404), 0.5) is None
    assert found.wait_before_retry(UpstreamFailed("Oops."), 0.5) == pytest.approx(0.5)
    assert found.wait_before_retry(UpstreamFailed("Oops."), 0.5) == pytest.approx(1.0)
    assert found.wait_before_retry(UpstreamFailed("Oops."), 0.5) is None
    assert found.retries == 2
    speaking = core()
    speaking.feed(sse(*said("ab")[:2]), 10.5)
    assert speaking.wait_before_retry(UpstreamFailed("Oops."), 0.5) is None


def test_a_cancelled_stream_hands_out_nothing_more() -> None:
    found = core()
    found.feed(sse(*said("ab")[:2]), 10.5)
    found.fail(Cancelled("Enough."), 11.0)
    found.fail(UpstreamCut("Later."), 12.0)
    assert taken(found) == []
    assert isinstance(found.failure, Cancelled)
    assert found.result(12.0).reason == "client_cancel"


def test_raw_events_pass_untouched() -> None:
    found = core(raw=True)
    found.feed(sse(*said("e", "\u0301")), 10.5)
    assert taken(found)[1:3] == [TextDelta("e"), TextDelta("\u0301")]
    assert found.text == "e\u0301"


class Upper:
    """Holds the last word back."""

    def __init__(self) -> None:
        self.held = ""

    def feed(self, text: str) -> str:
        done, space, self.held = (self.held + text).rpartition(" ")
        return (done + space).upper()

    def close(self) -> str:
        return self.held.upper()


def test_a_filter_rewrites_what_the_reader_gets() -> None:
    found = core(incremental_filter=Upper)
    found.feed(sse(*said("one tw", "o three")), 10.5)
    found.finish(11.0)
    assert "".join(taken(found)) == "ONE TWO THREE"
    assert found.result(11.0).text == "ONE TWO THREE"


def test_a_whole_json_answer_has_its_first_token_at_its_end() -> None:
    found = StreamCore(CONFIG, "m", raw=False, now=10.0)
    found.began("application/json", {})
    message = {"role": "assistant", "content": "All."}
    body = msgspec.json.encode({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    found.feed(body, 10.5)
    found.finish(11.0)
    assert found.result(11.0).ttft == pytest.approx(1.0)
    assert (found.take(), found.take(), found.take()) == ("All", ".", None)


def test_a_piece_that_holds_nothing_whole_is_none() -> None:
    found = core()
    found.feed(sse(*said("e")[:2]), 10.5)
    assert taken(found) == []
    found.feed(sse(*said("\n")[1:]), 10.6)
    found.finish(11.0)
    assert taken(found) == ["e\n"]


def test_an_end_comes_once() -> None:
    found = core()
    found.feed(sse(*said("ab")), 10.5)
    assert found.attention
    found.finish(11.0)
    found.finish(12.0)
    found.stop(12.0)
    assert found.result(99.0).duration == pytest.approx(1.0)
    assert found.result(99.0).reason == "stop"


def test_a_stream_that_never_began_has_nothing_to_show() -> None:
    found = StreamCore(CONFIG, "m", raw=True, now=10.0)
    assert (found.text, found.attention, found.over, found.complete) == ("", False, False, False)
    found.finish(11.0, UpstreamCut("Gone."))
    assert isinstance(found.failure, UpstreamCut)
    result = found.result(11.0)
    assert (result.response, result.tokens, result.finish_reason, result.model) == ({}, 0, None, "m")


def test_an_error_before_the_first_token_is_known_at_once() -> None:
    found = core()
    assert core().failed_early is None
    found.feed(sse({"error": {"message": "On fire."}}), 10.5)
    assert found.failed_early is not None
    raw = core(raw=True)
    raw.feed(b": waiting\n", 10.5)
    assert taken(raw) == []
