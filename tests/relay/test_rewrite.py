"""The rewrite lane: texts pass their filter, whatever the framing and wherever the reads were cut."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.relay.streams import ROLE, STOP, chunk, said, sse, text_of, through
from tidegate.relay.lane import Lane, NdjsonLane, SseLane
from tidegate.relay.rewrite import FilteredAnswer, RewriteLane
from tidegate.safety import sanitize
from tidegate.safety.chat import ChatFilter
from tidegate.safety.profile import Channel, ProfileOptions, Profiles, RuleOptions, SafetyOptions

STOPS = ProfileOptions(name="stop", rules=(), own=(RuleOptions(name="stop", core="stop"),), actions={"stop": "block"})
ARGUMENTS = ProfileOptions(name="arguments", where=("tool-arguments",))
PROFILES = Profiles(SafetyOptions(profiles=(STOPS, ARGUMENTS)), known_keys=("local-key-4711",))
TEXTS = [
    "My",
    " mail",
    " is",
    " bob",
    "@exam",
    "ple",
    ".com",
    " \U0001f30a",
    ' "q"',
    " 123",
    "-45-",
    "6789",
    "\n",
    " ok",
    ".",
]
CLEAN = 'My mail is [EMAIL] \U0001f30a "q" [SSN]\n ok.'


def told(profile: str = "strict", **options: Any) -> FilteredAnswer:
    return FilteredAnswer(ChatFilter(PROFILES.named(profile), key=b"k"), **options)


def rewriting(
    profile: str = "strict", *, ndjson: bool = False, upstream: str = "sse", **options: Any
) -> tuple[FilteredAnswer, Lane]:
    answer = told(profile)
    if upstream == "ndjson":
        return answer, NdjsonLane(answer, ndjson=ndjson, max_event=1 << 20, **options)
    if upstream == "plain":
        return answer, SseLane(answer, ndjson=ndjson, max_event=1 << 20, fast=False, **options)
    return answer, RewriteLane(answer, ndjson=ndjson, max_event=1 << 20, **options)


def body(*texts: str, upstream: str = "sse", newline: bytes = b"\n") -> bytes:
    payloads = [ROLE, *(chunk({"content": text}) for text in texts), STOP]
    if upstream == "ndjson":
        return b"".join(payload + b"\n" for payload in payloads)
    return sse(*payloads, b"[DONE]").replace(b"\n", newline)


def splits(whole: bytes) -> list[list[bytes]]:
    cut = [[whole], [whole[at : at + 1] for at in range(len(whole))]]
    return cut + [[whole[:at], whole[at:]] for at in range(1, len(whole), 3)]


@pytest.mark.parametrize("ndjson", [False, True])
@pytest.mark.parametrize("upstream", ["sse", "plain", "ndjson"])
def test_where_a_stream_is_cut_never_shows(ndjson: bool, upstream: str) -> None:
    """In every framing of either side: the same text, tokens and finish, and nothing of what was redacted."""
    whole = body(*TEXTS, upstream=upstream)
    for pieces in splits(whole):
        answer, lane = rewriting(ndjson=ndjson, upstream=upstream)
        out = through(lane, pieces)
        assert text_of(out, ndjson=ndjson) == CLEAN
        assert (answer.tokens, answer.complete, answer.texts.held) == (len(TEXTS), True, 0)
        assert said(out, ndjson=ndjson)[-1]["choices"][0]["finish_reason"] == "stop"
        for leak in (b"bob", b"6789", b"exam"):
            assert leak not in out


def test_carriage_returns_and_odd_events_take_the_same_filter() -> None:
    for newline in (b"\r\n", b"\r"):
        whole = body(*TEXTS, newline=newline)
        for pieces in ([whole], [whole[:90], whole[90:]], [whole[at : at + 1] for at in range(len(whole))]):
            _, lane = rewriting()
            assert text_of(through(lane, pieces)) == CLEAN
    _, lane = rewriting()
    named = b"".join(
        b"event: x\nid: %d\ndata: " % at + chunk({"content": text}) + b"\n\n" for at, text in enumerate(TEXTS)
    )
    assert text_of(lane.feed(sse(ROLE)) + lane.feed(named) + lane.feed(sse(STOP))) == CLEAN


def test_a_token_that_changes_nothing_is_the_very_same_bytes() -> None:
    """Recognised by its shape: no chunk is decoded, and nothing is copied."""
    _, lane = rewriting()
    lane.feed(sse(ROLE))
    events = [sse(chunk({"content": text})) for text in ("- ", "! ", "? ", ": ")]
    passed = [lane.feed(event) for event in events]
    assert passed[2] is events[2]
    assert passed[3] is events[3]


def test_a_text_that_no_rule_looks_at_is_the_very_same_bytes() -> None:
    """Also what would be redacted elsewhere; and a tool call teaches no shape."""
    _, lane = rewriting("arguments")
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": '"bob@example.com"'}}
    assert b"[EMAIL]" in lane.feed(sse(chunk({"tool_calls": [call]})))
    events = [sse(chunk({"content": text})) for text in ("bob@", "example.com", " 123-45-6789", ".")]
    assert [lane.feed(event) for event in events][1:] == events[1:]
    assert lane.feed(events[0]) is events[0]


def test_a_token_of_which_nothing_leaves_costs_no_write() -> None:
    _, lane = rewriting()
    outs = [lane.feed(sse(chunk({"content": text}))) for text in ("- ", "! ", "bob", "@exam", "ple.com", " x")]
    assert [bool(out) for out in outs] == [True, True, False, False, False, True]
    assert text_of(outs[-1]) == "[EMAIL] "


@pytest.mark.parametrize("ndjson", [False, True])
def test_texts_by_turns_have_each_their_own_filter(ndjson: bool) -> None:
    """Thinking and answer, two choices, in single reads: shapes are learnt for each."""
    deltas: list[tuple[dict[str, Any], int]] = []
    for text in ("so ", "123", "-45-", "6789", " "):
        deltas += [({"reasoning_content": text}, 0), ({"content": text}, 0), ({"content": text}, 1)]
    events = [
        sse(ROLE),
        *(sse(chunk(delta, index=index)) for delta, index in deltas),
        sse(STOP),
        sse(chunk({}, "stop", index=1)),
    ]
    answer, lane = rewriting(ndjson=ndjson)
    out = through(lane, events)
    joined: dict[tuple[int, str], str] = {}
    for each in said(out, ndjson=ndjson):
        for choice in each["choices"]:
            for name, text in choice["delta"].items():
                joined[choice["index"], name] = joined.get((choice["index"], name), "") + text
    assert {joined[key] for key in ((0, "content"), (1, "content"), (0, "reasoning_content"))} == {"so [SSN] "}
    assert answer.complete


def test_a_key_split_over_tokens_is_found_in_text_that_was_never_a_secret_of_an_event() -> None:
    """What looks at single events cannot see it; the filter does."""
    _, lane = rewriting()
    out = through(lane, [sse(chunk({"content": text})) for text in ("a ", "b ", "local", "-key", "-4711", " c")])
    assert text_of(out) == "a b [KEY] "


class Key:
    """What holds a secret of the upstream."""

    def found(self, data: bytes) -> bool:
        return b"sk-4711-abcdefgh" in data

    def redact(self, text: str) -> str:
        return text.replace("sk-4711-abcdefgh", "[redacted]")

    def redact_bytes(self, data: bytes) -> bytes:
        return data.replace(b"sk-4711-abcdefgh", b"[redacted]")


def test_the_upstreams_own_secrets_go_first() -> None:
    _, lane = rewriting(redact=Key())
    out = through(lane, [sse(chunk({"content": text})) for text in ("- ", "! ", "sk-4711-abcdefgh ", "? ")])
    assert text_of(out) == "- ! [redacted] ? "


@pytest.mark.parametrize("ndjson", [False, True])
@pytest.mark.parametrize(
    "texts", [["we ", "will ", "now ", "st", "op", " here"], ["stop", " "], ["a ", "b ", "c ", "d stop e", " f"]]
)
def test_a_block_finishes_the_answer(ndjson: bool, texts: list[str]) -> None:
    """Nothing of the match leaves, the finish reason says why, and the answer is done without the upstream's word."""
    for pieces in (
        [sse(chunk({"content": text})) for text in texts],
        [sse(*(chunk({"content": text}) for text in texts))],
    ):
        answer, lane = rewriting("stop", ndjson=ndjson)
        out = through(lane, pieces)
        assert text_of(out, ndjson=ndjson) == "".join(texts).partition("stop")[0]
        assert said(out, ndjson=ndjson)[-1]["choices"][0]["finish_reason"] == "content_filter"
        assert (answer.blocked, answer.done, answer.complete, answer.finish_reason) == (
            True,
            True,
            True,
            "content_filter",
        )
        assert answer.attention


def test_a_block_of_one_choice_leaves_the_other() -> None:
    answer, lane = rewriting("stop")
    pieces = [sse(chunk({"content": text}, index=index)) for text in ("so ", "we ", "stop", " it") for index in (0, 1)]
    pieces[4] = sse(chunk({"content": "go"}, index=0))
    out = through(lane, [*pieces, sse(STOP)])
    by_choice = {0: "", 1: ""}
    for each in said(out):
        for choice in each["choices"]:
            by_choice[choice["index"]] += choice["delta"].get("content") or ""
    assert by_choice == {0: "so we go it", 1: "so we "}
    assert (answer.finished, answer.complete) == ({0: "stop", 1: "content_filter"}, True)


def test_text_after_the_finish_reason_still_counts() -> None:
    _, lane = rewriting()
    pieces = [sse(chunk({"content": text})) for text in ("- ", "! ")]
    out = through(
        lane, [*pieces, sse(STOP), sse(chunk({"content": "? "})), sse(chunk({"content": "bob@example.com "}))]
    )
    assert text_of(out) == "- ! ? [EMAIL] "


def test_an_answer_that_breaks_off_gives_its_rest_through_the_filter_or_not_at_all() -> None:
    answer, lane = rewriting()
    through(lane, [sse(chunk({"content": text})) for text in ("a ", "b ", "bob@example.com")])
    rest = answer.flush()
    assert rest is not None
    assert json.loads(rest)["id"] == "chatcmpl-1"
    assert json.loads(rest)["choices"][0]["delta"] == {"content": "[EMAIL]"}
    assert answer.flush() is None


def test_an_answer_that_is_collected_is_what_the_filter_left() -> None:
    for finished in (True, False):
        answer = told(collect=True)
        lane = SseLane(answer, ndjson=False, max_event=1 << 20, fast=False)
        lane.feed(body(*TEXTS) if finished else body(*TEXTS)[: -len(sse(STOP, b"[DONE]"))])
        answer.flush()
        assert answer.assembler is not None
        assert answer.assembler.text == CLEAN


def test_logprobs_never_teach_a_shape() -> None:
    """An event that says its text twice is not passed on by its shape."""
    payload = json.loads(chunk({"content": "hi "}))
    payload["choices"][0]["logprobs"] = {"content": [{"token": "hi "}]}
    event = sse(json.dumps(payload, separators=(",", ":")).encode())
    _, lane = rewriting()
    out = through(lane, [sse(ROLE), event, event, event])
    assert b'"token"' not in out
    assert text_of(out) == "hi hi hi "


def test_what_no_event_is_passes_as_in_the_other_lane() -> None:
    """Malformed events are counted, errors noted, an event over the limit refused."""
    answer, lane = rewriting()
    good = sse(chunk({"content": "- "}))
    out = through(
        lane, [good, good, sse(b"{"), good.replace(b"- ", b"\xc3("), sse(b'{"error":{"message":"no"}}'), good]
    )
    assert text_of(out) == "- - "
    assert answer.malformed == 2
    assert answer.error is not None


words = st.lists(
    st.sampled_from([*TEXTS, "bob@example.com", "123-45-6789", "local-key", "-4711", "é", "\\", "@"]), max_size=14
)


@settings(deadline=None, max_examples=150)
@given(words, st.data(), st.booleans(), st.booleans(), st.booleans())
def test_any_text_at_any_cut_is_the_text_sanitized_at_once(
    texts: list[str], data: st.DataObject, ndjson: bool, escaped: bool, whole_events: bool
) -> None:
    payloads = [ROLE, *(chunk({"content": text}) for text in texts), STOP]
    if escaped:
        payloads = [json.dumps(json.loads(payload)).encode() for payload in payloads]
    if whole_events:
        pieces = [sse(payload) for payload in payloads]
    else:
        whole = sse(*payloads)
        marks = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
        pieces = [whole[start:end] for start, end in zip([0, *marks], [*marks, len(whole)], strict=True) if end > start]
    answer, lane = rewriting(ndjson=ndjson)
    out = through(lane, pieces)
    machine = PROFILES.named("strict").machine(Channel.OUTPUT)
    assert machine is not None
    assert text_of(out, ndjson=ndjson) == sanitize(machine, "".join(texts), key=b"k").text
    assert (answer.tokens, answer.complete) == (len(texts), True)
