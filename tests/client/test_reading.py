"""Bytes to text, events and the truth about the end, however they are cut."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.client import reading
from tidegate.client.reading import Reading
from tidegate.errors import EventTooLarge, UpstreamCut, UpstreamErrorEvent, UpstreamProtocolError, UpstreamRefused
from tidegate.events import Finished, ReasoningDelta, Started, TextDelta, ToolCallDelta, Usage

SSE, NDJSON, JSON = "text/event-stream; charset=utf-8", "application/x-ndjson", "application/json"


def chunk(delta: Any = None, finish: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": {} if delta is None else delta, "logprobs": None, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}


def said(*texts: str) -> list[dict[str, Any]]:
    return [
        chunk({"role": "assistant", "content": ""}),
        *(chunk({"content": text}) for text in texts),
        chunk(finish="stop"),
    ]


def sse(*chunks: Any) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(each, ensure_ascii=False).encode() for each in chunks)


def ndjson(*chunks: Any) -> bytes:
    return b"".join(json.dumps(each, ensure_ascii=False).encode() + b"\n" for each in chunks)


def read(data: bytes, kind: str = SSE, *, step: int = 0, raw: bool = False, most: int = 1 << 20) -> Reading:
    found = Reading(kind, raw=raw, max_event=most)
    for at in range(0, len(data), step or len(data) or 1):
        found.feed(data[at : at + (step or len(data))])
    found.close()
    return found


WORDS = ["Twice", " a", " day", " the", " sea", ' "comes" \\ up', "\n", "é", "🌊", "", " the", " the"]


@pytest.mark.parametrize("step", [0, 1, 2, 7, 100, 193, 194, 195])
@pytest.mark.parametrize(("kind", "framed"), [(SSE, sse), (NDJSON, ndjson)])
def test_text_and_answer_are_the_same_however_they_are_cut(kind: str, framed: Any, step: int) -> None:
    found = read(framed(*said(*WORDS)), kind, step=step)
    assert [text for text in WORDS if text] == found.texts
    assert found.complete
    assert found.assembled.result()["choices"][0]["message"]["content"] == "".join(WORDS)
    assert found.tokens == len([text for text in WORDS if text])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=8), max_size=30), st.integers(1, 5), st.integers(1, 400))
def test_any_text_arrives_by_template_or_not(texts: list[str], together: int, step: int) -> None:
    """Whole events in a read take the quick way where their text is plain; everything else must not."""
    events = [sse(each) for each in said(*texts)]
    quick = Reading(SSE, raw=False, max_event=1 << 20)
    for at in range(0, len(events), together):
        quick.feed(b"".join(events[at : at + together]))
    cut = read(b"".join(events), step=step)
    assert "".join(quick.texts) == "".join(cut.texts) == "".join(texts)
    assert quick.assembled.result() == cut.assembled.result()


def test_a_template_takes_nothing_that_says_more_than_text() -> None:
    """The text ends its string early and goes on with a finish reason; it comes as one read of the known shape."""
    found = Reading(SSE, raw=False, max_event=1 << 20)
    for each in said("a", "b")[:-1]:
        found.feed(sse(each))
    inner = b'x"},"finish_reason":"length"},{"index":1,"delta":{"content":"y'
    found.feed(sse(chunk({"content": "@@"})).replace(b"@@", inner))
    assert found.assembled.finish_reasons == {0: "length"}
    assert not found.complete


BETWEEN = [
    (sse({"error": {"message": "On fire."}}), ["a", "b", "one"]),
    (b": a comment\n\n", ["a", "b", "one", "two"]),
    (b"data: {broken\n\n", ["a", "b", "one", "two"]),
    (sse(chunk({"content": "\x00"})).replace(b"\\u0000", b"\xc3"), ["a", "b", "one", "two"]),
    (sse(chunk({"content": ""}), chunk({"content": "+"})), ["a", "b", "one", "+", "two"]),
]


@pytest.mark.parametrize(("between", "texts"), BETWEEN, ids=["error", "comment", "broken", "not UTF-8", "empty"])
def test_a_read_that_only_begins_and_ends_like_text_is_read_as_what_it_is(between: bytes, texts: list[str]) -> None:
    found = Reading(SSE, raw=False, max_event=1 << 20)
    for each in said("a", "b")[:-1]:
        found.feed(sse(each))
    found.feed(sse(chunk({"content": "one"})) + between + sse(chunk({"content": "two"})))
    assert found.texts == texts
    assert found.tokens == len(texts)


def test_several_events_of_a_read_take_the_quick_way_together(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Reading(SSE, raw=True, max_event=1 << 20)
    for each in said("a", "b")[:-1]:
        found.feed(sse(each))
    monkeypatch.setattr(Reading, "_look", None)
    found.feed(sse(*(chunk({"content": text}) for text in ("one", "zwö", "🌊"))))
    assert found.events[-3:] == [TextDelta("one"), TextDelta("zwö"), TextDelta("🌊")]


def test_a_template_is_not_taken_inside_an_unfinished_event() -> None:
    first, second = sse(chunk({"content": "one"})), sse(chunk({"content": "two"}))
    found = Reading(SSE, raw=False, max_event=1 << 20)
    for data in (sse(*said("a")[:2]), first, b": comment without its line end", second, second):
        found.feed(data)
    assert found.texts == ["a", "one", "two"]


def test_text_of_invalid_utf8_is_skipped_and_counted() -> None:
    found = Reading(SSE, raw=False, max_event=1 << 20)
    for data in (sse(*said("a", "b")[:3]), sse(chunk({"content": "~~"})).replace(b"~~", b"\xc3\x28")):
        found.feed(data)
    assert (found.texts, found.malformed) == (["a", "b"], 1)


def test_events_of_every_kind_come_as_they_came() -> None:
    call = {"index": 0, "id": "t", "function": {"name": "f", "arguments": "{}"}}
    body = sse(
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "hm"}),
        chunk({"content": "a"}),
        chunk({"content": "b"}),
        chunk({"content": "two"}, index=1),
        chunk({"tool_calls": [call]}),
        chunk(finish="tool_calls"),
        chunk(finish="stop", index=1),
        {"id": "c1", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5}},
    )
    found = read(body + b"data: [DONE]\n\n", raw=True)
    assert found.events == [
        Started(0, "assistant", "c1", "m"),
        ReasoningDelta("hm"),
        TextDelta("a"),
        TextDelta("b"),
        Started(1, "assistant", "c1", "m"),
        TextDelta("two", 1),
        ToolCallDelta(0, "t", "f", "{}"),
        Finished("tool_calls"),
        Finished("stop", 1),
        Usage(3, 5),
    ]
    assert found.over
    assert found.complete


def test_done_without_a_finish_reason_is_not_complete() -> None:
    found = read(sse(*said("a")[:-1]) + b"data: [DONE]\n\n")
    assert found.over
    assert not found.complete


def test_one_choice_of_two_is_not_the_whole() -> None:
    found = read(sse(*said("a"), chunk({"content": "b"}, index=1)))
    assert not found.complete


def test_a_malformed_chunk_is_skipped_and_counted() -> None:
    found = read(sse(*said("a")[:-1]) + b"data: {broken\n\n" + sse(*said("b")[1:]))
    assert (found.texts, found.malformed, found.complete) == (["a", "b"], 1, True)


def test_replayed_events_count_once_and_equal_ones_twice() -> None:
    events = [b"id: %d\n" % number + sse(each) for number, each in enumerate(said("-r", "-r", "-y"))]
    found = read(b"".join([*events[:3], *events[1:3], *events[3:]]))
    assert found.texts == ["-r", "-r", "-y"]


def test_an_error_in_the_stream_is_the_end_of_it() -> None:
    error = {"error": {"message": "On fire.", "type": "server_error", "code": "fire"}}
    found = read(sse(*said("a"), error, chunk({"content": "late"})))
    assert isinstance(found.error, UpstreamErrorEvent)
    assert (found.error.code, found.texts, found.complete) == ("fire", ["a"], False)
    named = read(b"event: error\n" + sse(error))
    assert isinstance(named.error, UpstreamErrorEvent)
    late = read(sse({"error": {"message": "Slow down.", "code": 429}}))
    assert isinstance(late.error, UpstreamRefused)
    assert late.error.status == 429
    assert read(sse(*said("a")[:2], chunk(finish="error"))).error is not None
    assert read(b"event: error\ndata: what\n\n").error is not None


def test_an_event_over_the_limit_fails_it() -> None:
    for kind, framed in ((SSE, sse), (NDJSON, ndjson)):
        found = read(framed(*said("a")[:2], chunk({"content": "x" * 5000})), kind, step=500, most=1000)
        assert isinstance(found.error, EventTooLarge)
    assert isinstance(read(b"x" * 3000, NDJSON, most=1000).error, EventTooLarge)


def test_an_answer_over_the_limit_fails_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_ANSWER", 2000)
    found = Reading(SSE, raw=False, max_event=1 << 20)
    for each in said(*["word"] * 50):
        found.feed(sse(each))
    assert isinstance(found.error, UpstreamProtocolError)
    assert len(found.texts) < 15


def test_what_the_gateway_adds_is_kept() -> None:
    found = read(ndjson(*said("a")[:-1], chunk(finish="stop", tidegate={"reason": "soft_stop"})), NDJSON)
    assert found.ours == {"reason": "soft_stop"}


def test_a_server_that_ignored_the_stream_is_read_too() -> None:
    whole = {
        "id": "c",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "All."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }
    found = read(json.dumps(whole).encode(), JSON, step=10)
    assert (found.texts, found.complete, found.usage) == (["All."], True, Usage(1, 2))
    assert read(ndjson(*said("a", "b")), JSON).texts == ["a", "b"]
    assert read(b"{", JSON).malformed == 1


def test_a_page_is_not_an_answer() -> None:
    found = read(b"<h1>It works!</h1>", "text/html")
    assert isinstance(found.error, UpstreamProtocolError)
    assert found.texts == []


def test_a_stream_that_is_never_plain_is_read_all_the_same() -> None:
    """Logprobs in each chunk; the strict type is given up after a few."""
    chunks = said(*"abcdefghijklmnop")
    for each in chunks:
        each["choices"][0]["logprobs"] = {"content": []}
    assert read(sse(*chunks)).texts == list("abcdefghijklmnop")


def test_text_before_the_role_is_read() -> None:
    found = read(sse(chunk({"content": "a"}), chunk({"content": "b"}), chunk(finish="stop")))
    assert (found.texts, found.complete) == (["a", "b"], True)
    again = read(b"data: [DONE]\n\n" + sse(chunk({"content": "late"})))
    assert again.texts == []


def test_a_last_record_needs_no_line_end_and_has_the_same_limit() -> None:
    assert read(ndjson(*said("a"))[:-1], NDJSON).complete
    found = Reading(NDJSON, raw=False, max_event=300)
    found.feed(ndjson(*said("a")[:2]) + b"x" * 400)
    before = found.error
    found.close()
    assert before is None
    assert isinstance(found.error, EventTooLarge)
    assert found.attention


def test_text_that_is_also_a_name_is_no_template() -> None:
    """The first place of such a text in its chunk is not the text."""
    texts = ["delta", "m", "id", "index", "plain", "m", "delta"]
    found = Reading(SSE, raw=False, max_event=1 << 20)
    for _ in range(5):
        for each in said(*texts)[:-1]:
            found.feed(sse(each))
    assert found.texts == texts * 5


def test_a_gateway_names_its_errors() -> None:
    found = read(sse(*said("a")[:2], {"error": {"message": "Cut.", "code": "upstream_cut"}}))
    assert type(found.error) is UpstreamCut
