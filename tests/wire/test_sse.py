"""Server-sent events: the corpus cut everywhere, linear cost, random bytes, and the way back."""

from __future__ import annotations

import base64
import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.corpus import Case, body_of, cases, cuts
from tidegate.errors import EventTooLarge
from tidegate.wire.sse import DONE, HEARTBEAT_SSE, MAX_EVENT, SseDecoder, SseEvent, encode_sse

CASES = cases("sse")


def expected(case: Case) -> list[SseEvent]:
    def data(value: Any) -> bytes:
        return base64.b64decode(value["base64"]) if isinstance(value, dict) else str(value).encode()

    return [SseEvent(data(e["data"]), e.get("event", ""), e.get("id"), e.get("retry")) for e in case["events"]]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_corpus_case_gives_its_events_however_it_is_cut(case: Case) -> None:
    """Whole, in two at every byte, byte by byte and in threes."""
    want = expected(case)
    for pieces in cuts(body_of(case)):
        decoder = SseDecoder(max_event=case.get("max_event", MAX_EVENT))
        got: list[SseEvent] = []
        refused = False
        try:
            for piece in pieces:
                got += decoder.feed(piece)
            got += decoder.close()
        except EventTooLarge:
            refused = True
        assert got == want, pieces
        assert refused == case.get("too_large", False), pieces
        if not refused:
            assert decoder.comments == case.get("comments", 0), pieces
            assert decoder.last_event_id == case.get("last_event_id", ""), pieces
            assert bool(decoder.pending) == case.get("pending", False), pieces


def test_case_names_are_unique() -> None:
    """A failing case can be found by its name."""
    names = [case["name"] for case in CASES]
    assert len(names) == len(set(names))


def test_events_after_the_first_read_take_the_same_values_on_the_quick_path() -> None:
    """A decoder between two events decodes whole reads as it would decode a fresh body."""
    for case in CASES:
        body = body_of(case)
        if "max_event" in case or body[:1] == b"\xef":
            continue
        decoder = SseDecoder()
        assert decoder.feed(b"data: first\n\n") == [SseEvent(b"first")]
        assert decoder.feed(body) == expected(case), case["name"]


def test_an_empty_feed_changes_nothing() -> None:
    """Also between the bytes of a byte-order mark and of a CRLF."""
    decoder = SseDecoder()
    got: list[SseEvent] = []
    for byte in b"\xef\xbb\xbfdata: a\r\n\r\ndata: b\r\n\r\n":
        got += decoder.feed(b"")
        got += decoder.feed(bytes([byte]))
    assert got == [SseEvent(b"a"), SseEvent(b"b")]


def test_pending_counts_the_bytes_of_the_unfinished_event() -> None:
    """Held lines with their line ends, and the line that has not ended."""
    decoder = SseDecoder()
    decoder.feed(b"data: a\n\ndata: b\nda")
    assert decoder.pending == len(b"data: b\nda")
    decoder.feed(b"ta: c\n\n")
    assert decoder.pending == 0


def test_pending_counts_half_a_byte_order_mark() -> None:
    """The bytes came, whatever they will be."""
    decoder = SseDecoder()
    decoder.feed(b"\xef\xbb")
    assert decoder.pending == 2


def test_retry_of_thousands_of_digits_is_ignored() -> None:
    """``int()`` raises on them; the stream must go on."""
    assert SseDecoder().feed(b"retry: " + b"9" * 5000 + b"\ndata: a\n\n") == [SseEvent(b"a")]


def test_an_event_over_the_limit_ends_the_decoder_for_good() -> None:
    """Nothing after it can be trusted to begin at an event's border."""
    decoder = SseDecoder(max_event=10)
    assert decoder.feed(b"data: a\n\n" + b"data: 0123456789\n\n" + b"data: b\n\n") == [SseEvent(b"a")]
    with pytest.raises(EventTooLarge, match="more than 10 bytes"):
        decoder.feed(b"data: c\n\n")
    with pytest.raises(EventTooLarge):
        decoder.close()


def test_the_quick_path_keeps_the_limit_too() -> None:
    """Whole reads of single-line events are measured like all others."""
    decoder = SseDecoder(max_event=10)
    assert decoder.feed(b"data: a\n\n") == [SseEvent(b"a")]
    assert decoder.feed(b"data: b\n\ndata: 0123456789\n\ndata: c\n\n") == [SseEvent(b"b")]
    with pytest.raises(EventTooLarge):
        decoder.close()
    decoder = SseDecoder(max_event=10)
    decoder.feed(b"data: a\n\n")
    with pytest.raises(EventTooLarge):
        decoder.feed(b"data: 0123456789\n\n")


def test_an_endless_line_is_refused_when_it_passes_the_limit_and_held_no_longer() -> None:
    """A body without a line end costs at most the limit."""
    decoder = SseDecoder(max_event=1000)
    for _ in range(10):
        assert decoder.feed(b"x" * 100) == []
    with pytest.raises(EventTooLarge):
        decoder.feed(b"x")
    assert decoder._fragments == []


def test_the_default_limit_lets_two_mebibytes_pass() -> None:
    """Images and files as base64 are that large in real streams."""
    data = b"x" * (2 * 1024 * 1024)
    assert SseDecoder().feed(b"data: " + data + b"\n\n") == [SseEvent(data)]


def work_of(body: bytes, step: int) -> int:
    """The bytes that the C calls of a decoder look at while ``body`` is fed in steps: its cost, without a clock."""
    touched = 0

    def profile(_frame: FrameType, kind: str, arg: Any) -> None:
        nonlocal touched
        if kind == "c_call":
            owner = getattr(arg, "__self__", None)
            touched += 1 + (len(owner) if isinstance(owner, bytes) else 0)

    decoder = SseDecoder()
    pieces = [body[at : at + step] for at in range(0, len(body), step)]
    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        for piece in pieces:
            decoder.feed(piece)
    finally:
        sys.setprofile(before)
    return touched


class _Quadratic:
    """What the decoder must not be: it searches all that it holds at each feed."""

    held = b""

    def feed(self, data: bytes) -> None:
        self.held += data
        self.held.rfind(b"\n")


def test_the_measure_of_work_sees_a_quadratic_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next test can fail."""
    monkeypatch.setattr(sys.modules[__name__], "SseDecoder", _Quadratic)
    assert work_of(b"x" * 8000, 1) > 3 * work_of(b"x" * 4000, 1)


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("filler", [b"x" * 16, b"x" * 15 + b"\ndata:"])
def test_twice_the_bytes_are_twice_the_work_byte_by_byte(filler: bytes, line_end: bytes) -> None:
    """One long line, and one event of many lines, dribbled in single bytes."""

    def body(size: int) -> bytes:
        return b"data: " + (filler * (size // len(filler))).replace(b"\n", line_end) + line_end * 2

    once, twice = work_of(body(6000), 1), work_of(body(12000), 1)
    assert twice < 2.1 * once


def test_a_mebibyte_byte_by_byte_is_one_event() -> None:
    """A million feeds of one event; a quadratic decoder would not come to its end within the test's time."""
    data = b"0123456789abcdef" * 65536
    decoder = SseDecoder()
    feed = decoder.feed
    got: list[SseEvent] = []
    for piece in [b"data: ", *(bytes([byte]) for byte in data), b"\n\n"]:
        got += feed(piece)
    assert got == [SseEvent(data)]


_LINE = st.sampled_from(
    [b"data: a", b"data:b", b"data", b"event: e", b"id: 1", b"id", b"retry: 5", b": c", b"x: y", b"", b"\xef\xbb\xbf"]
)
_GRAMMAR = st.lists(st.tuples(_LINE, st.sampled_from([b"\n", b"\r", b"\r\n", b""])), max_size=30).map(
    lambda lines: b"".join(line + end for line, end in lines)
)


def decoded(pieces: list[bytes]) -> tuple[list[SseEvent], int, int, str]:
    decoder = SseDecoder()
    got = [event for piece in pieces for event in decoder.feed(piece)]
    decoder.close()
    return got, decoder.pending, decoder.comments, decoder.last_event_id


def split_at(body: bytes, places: list[int]) -> list[bytes]:
    ends = [*sorted(min(place, len(body)) for place in places), len(body)]
    return [body[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@given(_GRAMMAR | st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=12))
def test_where_a_body_is_cut_never_shows(body: bytes, places: list[int]) -> None:
    """Not in the events, nor in what the decoder counts."""
    assert decoded(split_at(body, places)) == decoded([body])


_NAME = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=8)


@given(st.text(max_size=60), _NAME, st.none() | _NAME, st.lists(st.integers(0, 200), max_size=5))
def test_what_is_encoded_is_decoded(data: str, name: str, id_: str | None, places: list[int]) -> None:
    """Whatever the text; line ends inside it arrive as LF."""
    body = encode_sse(data, event=name, id=id_)
    plain = data.replace("\r\n", "\n").replace("\r", "\n").encode()
    assert decoded(split_at(body, places))[0] == [SseEvent(plain, name, id_)]


def test_encode_takes_bytes_and_text() -> None:
    """The common case is one data line."""
    assert encode_sse(b"{}") == encode_sse("{}") == b"data: {}\n\n"
    assert encode_sse("[DONE]") == DONE


def test_line_ends_in_the_data_become_data_lines() -> None:
    """Whichever kind they are; the decoder joins them with LF."""
    encoded = encode_sse("a\r\nb\rc\nd", event="note", id="7")
    assert encoded == b"event: note\nid: 7\ndata: a\ndata: b\ndata: c\ndata: d\n\n"
    assert decoded([encoded])[0] == [SseEvent(b"a\nb\nc\nd", "note", "7")]


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\0b"])
def test_encode_refuses_what_a_field_cannot_carry(bad: str) -> None:
    """A line end in an id or a name would inject a field."""
    with pytest.raises(ValueError, match="event"):
        encode_sse("x", event=bad)
    with pytest.raises(ValueError, match="id"):
        encode_sse("x", id=bad)


def test_a_heartbeat_between_events_is_only_a_comment() -> None:
    """It joins no events, ends none and makes none."""
    decoder = SseDecoder()
    body = encode_sse("a") + HEARTBEAT_SSE + HEARTBEAT_SSE + encode_sse("b")
    assert decoder.feed(body) == [SseEvent(b"a"), SseEvent(b"b")]
    assert decoder.comments == 2


@pytest.mark.parametrize(
    ("read", "found"),
    [
        (b"data: a\n\n", [b"a"]),
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data: a\n\nevent: x\ndata: b\n\n", None),
        (b"data: a\ndata: b\n\n", None),
        (b"data: a\r\n\r\n", None),
        (b"data: a\n", None),
        (b": comment\n\n", None),
    ],
)
def test_a_read_of_plain_events_gives_its_data_at_once(read: bytes, found: list[bytes] | None) -> None:
    """Whatever is more than that has to be fed."""
    decoder = SseDecoder(max_event=1000)
    decoder.feed(b"data: first\n\n")
    assert decoder.payloads(read) == found


def test_an_unfinished_event_is_never_read_at_once() -> None:
    decoder = SseDecoder(max_event=1000)
    decoder.feed(b"data: fir")
    assert decoder.payloads(b"data: a\n\n") is None
