"""The verbatim lane: what leaves is what came, wherever the reads were cut."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.relay.streams import RECORDED, ROLE, STOP, answer, chunk, said, sse, sse_lane, text_of, through
from tidegate.errors import EventTooLarge, UpstreamErrorEvent, UpstreamProtocolError
from tidegate.relay.answer import Answer
from tidegate.relay.lane import NdjsonLane, SseLane
from tidegate.wire.sse import SseDecoder

TEXTS = ["The", " tide", " \u00e9", " \U0001f30a", " comes", '"in"', "\n", " and", " goes", ".", " r", " r", " r"]


def splits(body: bytes) -> list[list[bytes]]:
    whole = [[body], [body[at : at + 1] for at in range(len(body))]]
    return whole + [[body[:at], body[at:]] for at in range(1, len(body))]


def test_whole_events_of_one_read_leave_as_the_very_same_bytes() -> None:
    """No copy is made of what passes as it came."""
    _, lane = sse_lane()
    for payload in (ROLE, chunk({"content": "a"}), chunk({"content": "b"}), STOP):
        event = sse(payload)
        assert lane.feed(event) is event
    burst = sse(chunk({"content": "c"})) * 3
    assert lane.feed(burst) is burst


@pytest.mark.parametrize("ndjson", [False, True])
def test_where_a_stream_is_cut_never_shows(ndjson: bool) -> None:
    """At every byte, and byte by byte: the same output, tokens and finish."""
    body = answer(*TEXTS)
    told, lane = sse_lane(ndjson=ndjson)
    expected = through(lane, [body])
    for pieces in splits(body):
        again, lane = sse_lane(ndjson=ndjson)
        assert through(lane, pieces) == expected
        assert (again.tokens, again.complete, again.done) == (told.tokens, True, True) == (len(TEXTS), True, True)
    assert text_of(expected, ndjson=ndjson) == "".join(TEXTS)


def test_an_event_leaves_whole_or_not_at_all() -> None:
    """Whatever the cut, output ends on an event border."""
    body = answer(*TEXTS)
    for at in range(1, len(body)):
        _, lane = sse_lane()
        out = lane.feed(body[:at])
        assert out == b"" or out.endswith(b"\n\n")
        assert lane.pending == len(body[:at]) - (body.rfind(b"\n\n", 0, at) + 2 if b"\n\n" in body[:at] else 0)


def test_the_end_marker_is_withheld() -> None:
    """Whether the answer is complete is not the lane's to say."""
    told, lane = sse_lane()
    out = lane.feed(answer("a"))
    assert b"[DONE]" not in out
    assert told.done
    assert told.complete


def test_nothing_passes_after_the_end_marker() -> None:
    """A second answer behind the first is nobody's."""
    told, lane = sse_lane()
    out = lane.feed(answer("a") + sse(chunk({"content": "b"})))
    assert text_of(out) == "a"
    assert told.tokens == 1


@pytest.mark.parametrize("newline", [b"\r\n", b"\r"])
@pytest.mark.parametrize("ndjson", [False, True])
def test_other_line_ends_leave_as_plain_ones(newline: bytes, ndjson: bool) -> None:
    """CRLF and CR framing, at every cut, become what every SDK reads."""
    plain = answer("a", " b", "c")
    body = plain.replace(b"\n", newline)
    _, reference = sse_lane(ndjson=ndjson)
    expected = through(reference, [plain])
    for pieces in splits(body):
        _, lane = sse_lane(ndjson=ndjson)
        assert through(lane, pieces) == expected


def test_a_carriage_return_may_appear_late() -> None:
    """A proxy that starts to rewrite line ends in the middle does not lose what was held."""
    first, rest = sse(ROLE) + b"data: " + chunk({"content": "a"})[:20], chunk({"content": "a"})[20:] + b"\r\n\r\n"
    _, lane = sse_lane()
    assert text_of(lane.feed(first) + lane.feed(rest)) == "a"


def test_a_byte_order_mark_is_not_part_of_the_first_event() -> None:
    """WHATWG: one leading BOM is dropped."""
    body = b"\xef\xbb\xbf" + answer("a")
    for pieces in splits(body):
        _, lane = sse_lane()
        assert text_of(through(lane, pieces)) == "a"


def test_comments_and_reconnection_times_of_the_upstream_are_dropped() -> None:
    """They are about its connection, not about the reader's."""
    body = b": ping\n\n" + sse(ROLE) + b": x\nretry: 10\ndata: " + chunk({"content": "a"}) + b"\n\n:\n\n\n" + sse(STOP)
    for pieces in splits(body):
        told, lane = sse_lane()
        out = through(lane, pieces)
        assert b": " not in out.replace(b"data: ", b"")
        assert b"retry" not in out
        assert (text_of(out), told.complete) == ("a", True)


def test_event_names_and_ids_pass() -> None:
    """They belong to the event."""
    _, lane = sse_lane()
    out = lane.feed(b"event: message\nid: 7\ndata: " + ROLE + b"\n\n")
    (event,) = SseDecoder().feed(out)
    assert (event.event, event.id, event.data) == ("message", "7", ROLE)


def test_several_data_lines_are_one_record() -> None:
    """JSON spread over lines is one line of NDJSON."""
    payload = chunk({"content": "a"}).replace(b",", b",\n")
    body = b"".join(b"data: " + line + b"\n" for line in payload.split(b"\n")) + b"\n"
    _, lane = sse_lane(ndjson=True)
    out = lane.feed(body)
    assert out.count(b"\n") == 1
    assert text_of(out, ndjson=True) == "a"


def test_data_without_a_space_is_data() -> None:
    """The grammar takes one space if it is there."""
    told, lane = sse_lane()
    body = sse(ROLE, chunk({"content": "a"}), STOP).replace(b"data: ", b"data:")
    assert text_of(lane.feed(body)) == "a"
    assert told.complete


@pytest.mark.parametrize("bad", [b"{", b"no", b"[]", b'{"choices":[{"delta":{"content":"\xff"}}]}', b"1"])
@pytest.mark.parametrize("ndjson", [False, True])
def test_a_malformed_event_is_skipped_and_noted(bad: bytes, ndjson: bool) -> None:
    """By size and offset; its neighbours pass."""
    before = sse(ROLE, chunk({"content": "a"}))
    told, lane = sse_lane(ndjson=ndjson)
    out = lane.feed(before + sse(bad, chunk({"content": "b"}), STOP))
    assert text_of(out, ndjson=ndjson) == "ab"
    assert told.malformed == 1
    assert told.malformed_at == [(len(before), len(bad))]


def test_invalid_utf8_is_malformed_also_where_the_template_is_known() -> None:
    """Recognising an event does not mean trusting its text."""
    told, lane = sse_lane()
    lane.feed(answer("a", "b", "c", done=False))
    token = sse(chunk({"content": "zz"}))
    assert lane.feed(token.replace(b"zz", b"\xc3(")) == b""
    assert lane.feed(token.replace(b"zz", "é".encode())) == token.replace(b"zz", "é".encode())
    assert told.malformed == 1


def test_a_malformed_event_can_be_fatal() -> None:
    """By configuration."""
    told, lane = sse_lane(fatal_malformed=True)
    out = lane.feed(sse(ROLE, b"{", chunk({"content": "b"})))
    assert text_of(out) == ""
    assert isinstance(told.error, UpstreamProtocolError)


@pytest.mark.parametrize("pieces", [1, 1000, 65536])
def test_an_event_at_the_limit_passes_and_one_over_it_is_refused(pieces: int) -> None:
    """Whole and in pieces."""
    for size, fits in ((100_000, True), (100_001, False)):
        block = b"data: " + chunk({"content": "~"}).replace(b"~", b"x" * (size - len(chunk({"content": "~"})) - 5))
        assert len(block) == size
        body = block + b"\n\n"
        told, lane = sse_lane(max_event=100_000)
        cut = [body] if pieces == 1 else [body[at : at + pieces] for at in range(0, len(body), pieces)]
        through(lane, cut)
        assert (told.tokens, told.error is None) == ((1, True) if fits else (0, False))
        assert fits or isinstance(told.error, EventTooLarge)


def test_a_line_that_never_ends_does_not_fill_memory() -> None:
    """The limit holds without a line end, in both line-end modes."""
    for start in (b"data: ", b"\r\ndata: "):
        told, lane = sse_lane(max_event=1000)
        lane.feed(start)
        for _ in range(20):
            lane.feed(b"x" * 100)
        assert isinstance(told.error, EventTooLarge)


def test_events_before_one_that_is_too_large_are_delivered() -> None:
    """In the mode that decodes every line too."""
    body = sse(ROLE, chunk({"content": "a"})).replace(b"\n", b"\r\n") + b"data: " + b"x" * 3000 + b"\r\n\r\n"
    told, lane = sse_lane(max_event=1000)
    assert text_of(lane.feed(body)) == "a"
    assert isinstance(told.error, EventTooLarge)


def test_a_large_event_in_small_pieces_costs_linear_time() -> None:
    """Sixteen times the size costs nowhere near 256 times as much."""
    costs = []
    for size in (1 << 16, 1 << 20):
        body = b"data: " + chunk({"content": "x" * size}) + b"\n\n"
        _, lane = sse_lane()
        began = time.process_time()
        through(lane, [body[at : at + 512] for at in range(0, len(body), 512)])
        costs.append(time.process_time() - began)
    assert costs[1] < 100 * max(costs[0], 0.001)


def test_the_first_delta_of_each_choice_gets_its_role() -> None:
    """And nothing else of the event changes; later ones pass as they came."""
    _, lane = sse_lane()
    out = lane.feed(sse(chunk({"content": "a"}), chunk({"content": "b"}, index=1), chunk({"content": "c"})))
    deltas = [each["choices"][0]["delta"] for each in said(out)]
    assert deltas == [
        {"role": "assistant", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"content": "c"},
    ]


def test_equal_neighbours_are_two_tokens() -> None:
    """ "strawberry" may come as st, raw, ber, -r, -r: text is never deduplicated."""
    told, lane = sse_lane()
    token = sse(chunk({"content": "-r"}))
    out = lane.feed(sse(ROLE)) + lane.feed(token) + lane.feed(token) + lane.feed(token * 2)
    assert text_of(out) == "-r-r-r-r"
    assert told.tokens == 4


def with_id(event_id: str, payload: bytes) -> bytes:
    return f"id: {event_id}\n".encode() + b"data: " + payload + b"\n\n"


def test_an_event_id_that_comes_again_with_the_same_data_is_a_replay() -> None:
    """A server that reconnected to its own source tells the last events again."""
    told, lane = sse_lane()
    first = [with_id(str(number), chunk({"content": f"{number}"})) for number in range(5)]
    out = through(lane, [*first, *first[3:], with_id("5", chunk({"content": "5"}))])
    assert text_of(out) == "012345"
    assert told.tokens == 6


def test_tokens_without_a_template_pass_too() -> None:
    """A refusal and a tool call are tokens; no shape is learnt from them."""
    told, lane = sse_lane()
    call = {"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}
    events = sse(ROLE, chunk({"refusal": "No"}), chunk(call), chunk({"refusal": "."}))
    assert lane.feed(events) == events
    assert told.tokens == 3


def test_only_the_last_ids_are_remembered() -> None:
    """Memory is bounded: what was told a thousand events ago is told again."""
    _, lane = sse_lane()
    events = [with_id(str(number), chunk({"content": "x"})) for number in range(1100)]
    through(lane, events)
    assert text_of(through(lane, [events[1090]])) == ""
    assert text_of(through(lane, [events[3]])) == "x"


def test_an_error_event_behind_the_end_marker_says_nothing() -> None:
    """A late ``event: error`` does not spoil an answer that is whole."""
    told, lane = sse_lane()
    through(lane, [answer("a"), b"event: error\ndata: {}\n\n"])
    assert told.done
    assert told.error is None


def test_an_id_that_all_events_share_proves_nothing() -> None:
    """The id of a stream is not the id of an event: equal neighbours stay two."""
    _, lane = sse_lane()
    out = through(lane, [with_id("s1", ROLE), *[with_id("s1", chunk({"content": "-r"}))] * 3])
    assert text_of(out) == "-r-r-r"


def test_ids_that_were_reused_once_are_never_trusted_again() -> None:
    """Two different events under one id: not ids of events."""
    _, lane = sse_lane()
    events = [with_id(str(number % 3), chunk({"content": f"{number // 2}"})) for number in range(12)]
    out = through(lane, events)
    assert text_of(out) == "001122334455"


@pytest.mark.parametrize("event", [b'event: error\ndata: {"message":"no"}\n\n', sse(b'{"error":{"message":"no"}}')])
@pytest.mark.parametrize("ndjson", [False, True])
def test_an_error_event_is_noted_and_not_passed_on(event: bytes, ndjson: bool) -> None:
    """The gateway tells it in its own words; what came before it passes."""
    told, lane = sse_lane(ndjson=ndjson)
    out = lane.feed(sse(ROLE, chunk({"content": "a"})) + event + sse(chunk({"content": "b"})))
    assert text_of(out, ndjson=ndjson) == "a"
    assert isinstance(told.error, UpstreamErrorEvent)
    assert told.error.message == "no"


class Key:
    """What holds a secret."""

    def __init__(self, secret: bytes) -> None:
        self.secret = secret

    shortest = 1

    def found(self, data: bytes) -> bool:
        return self.secret in data

    def redact(self, text: str) -> str:
        return text.replace(self.secret.decode(), "[redacted]")

    def redact_bytes(self, data: bytes) -> bytes:
        return data.replace(self.secret, b"[redacted]")


@pytest.mark.parametrize("ndjson", [False, True])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_a_secret_never_passes(ndjson: bool, newline: bytes) -> None:
    """In a first token, in one of a known shape, in an odd event, in an error; at every cut."""
    secret = b"sk-4711-abcdefgh"
    leak = chunk({"content": "key sk-4711-abcdefgh"})
    body = (
        sse(ROLE, leak, chunk({"content": "a"}), chunk({"content": "b"}), leak) + b"event: x\ndata: " + leak + b"\n\n"
    )
    body = (body + sse(b'{"error":{"message":"bad key sk-4711-abcdefgh"}}')).replace(b"\n", newline)
    for pieces in splits(body):
        told = Answer()
        lane = SseLane(told, ndjson=ndjson, max_event=1 << 20, redact=Key(secret))
        out = through(lane, pieces)
        assert secret not in out
        assert out.count(b"[redacted]") == 3
        assert told.error is not None
        assert told.error.message == "bad key [redacted]"


@pytest.mark.parametrize("ndjson", [False, True])
def test_an_upstream_may_speak_ndjson(ndjson: bool) -> None:
    """At every cut, with CRLF and blank lines; the last line needs no end."""
    body = b"\r\n".join([ROLE, b"", chunk({"content": "a"}), b"{", STOP])
    for pieces in splits(body):
        told = Answer()
        lane = NdjsonLane(told, ndjson=ndjson, max_event=1 << 20)
        out = through(lane, pieces) + lane.close()
        assert (text_of(out, ndjson=ndjson), told.complete, told.malformed, lane.pending) == ("a", True, 1, 0)


def test_an_ndjson_record_over_the_limit_is_refused() -> None:
    told = Answer()
    lane = NdjsonLane(told, ndjson=True, max_event=100)
    lane.feed(b"x" * 101)
    lane.feed(b"x")
    assert isinstance(told.error, EventTooLarge)


def test_an_ndjson_upstream_does_not_leak_secrets() -> None:
    told = Answer()
    lane = NdjsonLane(told, ndjson=False, max_event=1000, redact=Key(b"sk-secret-1"))
    assert b"sk-secret-1" not in lane.feed(chunk({"content": "sk-secret-1"}) + b"\n")


texts = st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=12)


@settings(deadline=None)
@given(texts, st.data(), st.booleans(), st.booleans())
def test_any_text_at_any_cut_is_the_text_and_its_count(
    words: list[str], data: st.DataObject, ndjson: bool, escaped: bool
) -> None:
    """Whatever the characters, whether a template is known or not."""
    payloads = [ROLE, *(chunk({"content": word}) for word in words), STOP]
    if escaped:
        payloads = [json.dumps(json.loads(payload)).encode() for payload in payloads]
    body = sse(*payloads, b"[DONE]")
    marks = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    pieces = [body[start:end] for start, end in zip([0, *marks], [*marks, len(body)], strict=True) if end > start]
    told, lane = sse_lane(ndjson=ndjson)
    out = through(lane, pieces)
    assert text_of(out, ndjson=ndjson) == "".join(words)
    assert told.tokens == len(words)
    assert told.complete


def recorded() -> list[Path]:
    return sorted(path for path in RECORDED.glob("*chat*/*.sse") if "native" not in path.parent.name)


@pytest.mark.parametrize("path", recorded(), ids=lambda path: path.name)
def test_recorded_streams_pass_whole(path: Path) -> None:
    """Every chunk of a real stream arrives, in both framings and at many cuts, with or without templates."""
    body = path.read_bytes()
    expected = None
    for size in (len(body), 1, 7, 64, 1000):
        if size == 1 and len(body) > 100_000:
            continue
        for fast in (True, False):
            pieces = [body[at : at + size] for at in range(0, len(body), size)]
            told, lane = sse_lane(fast=fast)
            lines, ndjson_lane = sse_lane(ndjson=True, fast=fast)
            out, records = through(lane, pieces), through(ndjson_lane, pieces)
            assert said(out) == said(records, ndjson=True)
            facts = (said(out), told.tokens, told.complete, told.done, told.malformed, told.usage)
            assert facts[1:] == (lines.tokens, lines.complete, lines.done, lines.malformed, lines.usage)
            expected = expected or facts
            assert facts == expected
