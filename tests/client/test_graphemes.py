"""Whole graphemes, however the text is cut."""

from __future__ import annotations

from itertools import pairwise

import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.client.graphemes import MAX_HELD, Graphemes
from tidegate.simulator.texts import ANSWERS

CLUSTER = regex.compile(r"\X")


def borders(text: str) -> set[int]:
    return {match.end() for match in CLUSTER.finditer(text)} | {0}


def pieces(deltas: list[str]) -> list[str]:
    graphemes = Graphemes()
    return [graphemes.feed(delta) for delta in deltas] + [graphemes.close()]


def cut(text: str, places: list[int]) -> list[str]:
    marks = [0, *sorted({place % (len(text) + 1) for place in places}), len(text)]
    return [text[a:b] for a, b in pairwise(marks)]


hard = st.lists(
    st.sampled_from(
        ["👨‍👩‍👧‍👦", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "🇳🇱", "é", "각", "क्षि", "\r\n", "\n", "a", " ", "1️⃣", "👍🏽", "ก็", "word ", "…", "\u200d"]
    )
).map("".join)


@settings(deadline=None, max_examples=40)
@given(hard, st.lists(st.integers(0, 10_000), max_size=20))
def test_every_piece_ends_at_a_border_of_the_whole_text(text: str, places: list[int]) -> None:
    found, at = pieces(cut(text, places)), 0
    assert "".join(found) == text
    allowed = borders(text)
    for piece in found[:-1]:
        at += len(piece)
        assert at in allowed, (piece, text[at - 3 : at + 3])


def test_the_hard_text_is_the_same_however_it_is_cut() -> None:
    text = ANSWERS["emoji"] + ANSWERS["cjk"] + ANSWERS["rtl"]
    assert "".join(pieces(list(text))) == text
    for at in range(0, len(text), 7):
        assert "".join(pieces([text[:at], text[at:]])) == text


def test_the_last_character_waits_for_its_accent() -> None:
    assert pieces(["caf", "e", "\u0301", " noir"]) == ["ca", "f", "", "e\u0301 noi", "r"]


def test_nothing_joins_a_line_end() -> None:
    graphemes = Graphemes()
    assert graphemes.feed("line\n") == "line\n"
    assert graphemes.held == ""
    assert graphemes.feed("\r") == ""
    assert graphemes.feed("\n") == "\r\n"


def test_halves_of_a_surrogate_pair_meet() -> None:
    assert pieces(["a \ud83d", "\ude00 b"]) == ["a", " \U0001f600 ", "b"]


def test_a_half_that_stays_alone_is_replaced() -> None:
    assert "".join(pieces(["a \ud83d"])) == "a \ufffd"
    assert "".join(pieces(["a \ude00 b"])) == "a \ufffd b"


def test_marks_without_end_are_not_held_for_ever() -> None:
    graphemes = Graphemes()
    most = 0
    for _ in range(10 * MAX_HELD):
        graphemes.feed("\u0301")
        most = max(most, len(graphemes.held))
    assert most <= MAX_HELD


def test_nothing_is_nothing() -> None:
    assert pieces(["", ""]) == ["", "", ""]
