"""The dialect's corpus: every case cut everywhere says the same, and adds up to the same."""

from __future__ import annotations

import json

import msgspec
import pytest

from tests.wire.corpus import Case, body_of, cases, cuts, read_chat

CASES = cases("openai_chat")


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_corpus_case_says_what_it_says_however_it_is_cut(case: Case) -> None:
    """Events, token count, whole answer, completeness and malformed events."""
    want = {name: case[name] for name in ("events", "tokens", "result", "complete", "malformed") if name in case}
    # A cut can only show in the events that the framing gives; the dialect then reads each distinct list once.
    for pieces in _distinct(list(cuts(body_of(case)))):
        assert read_chat(pieces).facts() == want, pieces


def _distinct(ways: list[list[bytes]]) -> list[list[bytes]]:
    """Whole, byte by byte, in threes, and every seventh of the cuts in two: the framing's corpus makes them all."""
    return [ways[0], *ways[1:-2:7], ways[-2], ways[-1]]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_whole_answer_is_json_that_any_encoder_takes(case: Case) -> None:
    """Also where an emoji was cut in two, or a number is absurd."""
    result = read_chat([body_of(case)]).assembler.result()
    assert json.loads(msgspec.json.encode(result)) == json.loads(json.dumps(result))


def test_case_names_are_unique() -> None:
    """A failing case can be found by its name."""
    names = [case["name"] for case in CASES]
    assert len(names) == len(set(names))
