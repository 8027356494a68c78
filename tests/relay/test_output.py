"""relay/output.py: one head, nothing before the first token, every byte counted, and last words that fit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.fakes.downstream import Written
from tests.relay.streams import ROLE, answer, chunk, sse, sse_lane
from tidegate.errors import Overloaded, UpstreamCut
from tidegate.relay.answer import Answer
from tidegate.relay.endings import Framing
from tidegate.relay.options import StreamOptions
from tidegate.relay.output import MAX_PRELUDE, Output
from tidegate.upstream.exchange import ResponseHead
from tidegate.upstream.secrets import Redactor
from tidegate.wire.sse import DONE

HEAD = ResponseHead(
    200, ((b"x-request-id", b"req-1"), (b"set-cookie", b"a=b"), (b"openai-version", b"sk-secret-key-1"))
)


def output(framing: Framing = Framing.SSE, **options: Any) -> tuple[Output, Written]:
    down = Written()
    return Output(down, framing, "f" * 32, StreamOptions(**options)), down


def on_loop(case: Callable[[], None]) -> None:
    async def main() -> None:
        case()

    asyncio.run(main())


def whole(*, collect: bool = False) -> Answer:
    told, lane = sse_lane(collect=collect, fast=not collect)
    lane.feed(answer("It", " turns"))
    return told


def test_before_the_first_token_nothing_is_sent() -> None:
    """Then the head, what was held, and the token, in one write."""
    out, down = output()
    assert out.give(b"role", 0.0)
    assert (down.status, out.status, out.size) == (0, 0, 0)
    out.release(b"token")
    assert (down.status, down.writes, out.size) == (200, [b"roletoken"], 9)
    assert out.give(b"next", 0.0)
    assert down.writes == [b"roletoken", b"next"]


def test_a_new_try_leaves_no_trace_of_the_one_before() -> None:
    out, down = output()
    out.answered(HEAD, None)
    out.give(b"old", 0.0)
    out.begin()
    out.release(b"new")
    assert down.body == b"new"
    assert b"x-request-id" not in down.headers


def test_too_much_before_the_first_token_is_refused() -> None:
    out, down = output()
    assert out.give(b"x" * MAX_PRELUDE, 0.0)
    assert not out.give(b"x", 0.0)
    assert not down.status


@pytest.mark.parametrize(
    ("framing", "content_type"),
    [(Framing.SSE, b"text/event-stream; charset=utf-8"), (Framing.NDJSON, b"application/x-ndjson")],
)
def test_the_head_says_what_the_stream_is_and_passes_on_what_may_pass(framing: Framing, content_type: bytes) -> None:
    out, down = output(framing)
    out.answered(HEAD, Redactor(["sk-secret-key-1"]))
    out.release(b"")
    assert down.headers[b"content-type"] == content_type
    assert down.headers[b"x-stream-id"] == b"f" * 32
    assert down.headers[b"cache-control"] == b"no-cache, no-transform"
    assert down.headers[b"x-request-id"] == b"req-1"
    assert b"set-cookie" not in down.headers
    assert b"sk-secret-key-1" not in down.headers[b"openai-version"]


@pytest.mark.parametrize(("framing", "beat"), [(Framing.SSE, b":\n"), (Framing.NDJSON, b"\n")])
def test_a_heartbeat_brings_the_head_and_not_what_is_held(framing: Framing, beat: bytes) -> None:
    out, down = output(framing)
    out.give(b"role", 0.0)
    out.beat()
    out.beat()
    assert (down.status, down.writes) == (200, [beat, beat])
    out.release(b"token")
    assert down.writes[2:] == [b"roletoken"]


def test_coalesced_output_is_in_order_and_ends_with_the_end() -> None:
    def case() -> None:
        out, down = output(flush_interval=60.0)
        assert not out.immediate
        out.release(b"a")
        for text in (b"b", b"c", b"d"):
            out.give(text, 0.0)
        out.finish(b"e")
        assert down.body == b"abcde"
        assert down.finished
        assert out.size == 5
        out.close()

    on_loop(case)


def test_one_body_is_neither_coalesced_nor_written_as_it_comes() -> None:
    out, _ = output(Framing.JSON, flush_interval=60.0)
    assert not out.immediate
    assert output()[0].immediate


@pytest.mark.parametrize("framed", [True, False])
def test_chunks_pass_only_where_the_downstream_takes_them(framed: bool) -> None:
    out = Output(Written(framed=framed), Framing.SSE, "f" * 32, StreamOptions())
    assert (out.write_framed is not None) == framed


@pytest.mark.parametrize(("framing", "end"), [(Framing.SSE, DONE), (Framing.NDJSON, b"")])
def test_success_ends_with_the_end_marker_of_its_framing(framing: Framing, end: bytes) -> None:
    out, down = output(framing)
    out.release(b"token")
    out.succeed(whole(), b"last")
    assert down.body == b"tokenlast" + end
    assert down.finished


def test_an_answer_without_a_token_is_whole_too() -> None:
    """What was held is sent, head first."""
    out, down = output()
    out.give(b"role", 0.0)
    out.succeed(whole(), b"last")
    assert (down.status, down.body) == (200, b"rolelast" + DONE)


def test_one_body_is_whole_and_says_its_length() -> None:
    out, down = output(Framing.JSON)
    out.give(b"held", 0.0)
    out.succeed(whole(collect=True), b"")
    assert json.loads(down.body)["choices"][0]["message"]["content"] == "It turns"
    assert (down.headers[b"content-length"], down.headers[b"content-type"]) == (
        b"%d" % len(down.body),
        b"application/json",
    )


@pytest.mark.parametrize("framing", Framing)
def test_an_error_before_the_head_is_a_response_of_its_own(framing: Framing) -> None:
    """With nothing of what was held."""
    out, down = output(framing)
    out.give(b"held", 0.0)
    out.tell(Overloaded("Full.", retry_after=0.2))
    assert (down.status, down.headers[b"retry-after"]) == (503, b"1")
    assert down.headers[b"content-type"] == b"application/json"
    assert down.headers[b"content-length"] == b"%d" % len(down.body)
    assert json.loads(down.body)["error"]["stream_id"] == "f" * 32
    assert b"cache-control" not in down.headers


@pytest.mark.parametrize(("framing", "start", "end"), [(Framing.SSE, b"data: ", b"\n\n"), (Framing.NDJSON, b"", b"\n")])
def test_an_error_after_the_head_is_the_last_event(framing: Framing, start: bytes, end: bytes) -> None:
    out, down = output(framing)
    out.release(b"token")
    out.tell(UpstreamCut("Cut."))
    last = down.body.removeprefix(b"token")
    assert last.startswith(start)
    assert last.endswith(end)
    assert json.loads(last[len(start) :])["error"]["code"] == "upstream_cut"
    assert down.finished


@pytest.mark.parametrize("framing", [Framing.SSE, Framing.NDJSON])
def test_a_soft_stop_keeps_what_was_said_and_says_who_stopped(framing: Framing) -> None:
    told, lane = sse_lane()
    lane.feed(sse(ROLE, chunk({"content": "It"}), chunk({"content": " turns"})))
    out, down = output(framing)
    out.release(b"")
    out.soft_stop(told, usage_chunk=False, model="m", created=1)
    first = down.body.removeprefix(b"data: ").partition(b"\n")[0]
    last = json.loads(first)
    assert last["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    assert last["tidegate"] == {"reason": "soft_stop", "usage": "estimated"}
    assert down.body.endswith(DONE) == (framing is Framing.SSE)


def test_one_body_is_soft_stopped_whole() -> None:
    told, lane = sse_lane(collect=True, fast=False)
    lane.feed(answer("It", " turns"))
    out, down = output(Framing.JSON)
    out.soft_stop(told, usage_chunk=False, model="m", created=1)
    body = json.loads(down.body)
    assert body["tidegate"]["reason"] == "soft_stop"
    assert body["choices"][0]["message"]["content"] == "It turns"


def test_an_abort_has_no_last_words() -> None:
    out, down = output()
    out.release(b"token")
    out.abort()
    assert (down.body, down.finished, down.aborted) == (b"token", False, True)
