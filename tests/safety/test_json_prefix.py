"""The recogniser against Python's ``json`` and against an independent grammar, at every cut."""

from __future__ import annotations

import json

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.safety.json_prefix import MAX_DEPTH, JsonPrefix

GRAMMAR = regex.compile(
    r"""(?x)
    (?(DEFINE)
      (?<s>[ \t\n\r]*+)
      (?<string>"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+")
      (?<number>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)
      (?<pair>(?&s)(?&string)(?&s):(?&value))
      (?<value>(?&s)(?:(?&string)|(?&number)|true|false|null
        |\{(?:(?&s)|(?&pair)(?:,(?&pair))*)\}
        |\[(?:(?&s)|(?&value)(?:,(?&value))*)\])(?&s))
    )
    (?&value)
    """
)
"""RFC 8259 once more, for a matcher that can say whether a text is the beginning of a match."""

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
NOISE = st.text(alphabet='{}[]",:\\ \n0123456789.-+eEtrufalsn/bx\x01é', max_size=24)


def _nan(name: str) -> object:
    raise ValueError(name)


def valid(text: str) -> bool:
    """Whether ``json`` takes it, without its leniency for ``NaN``."""
    try:
        json.loads(text, parse_constant=_nan)
    except ValueError:
        return False
    return True


def first_bad(text: str) -> int | None:
    """By the grammar: the first character with which no prefix can be matched any more."""
    for size in range(1, len(text) + 1):
        if GRAMMAR.fullmatch(text[:size], partial=True) is None:
            return size - 1
    return None


def read(pieces: list[str], **options: str) -> JsonPrefix:
    prefix = JsonPrefix(**options)  # type: ignore[arg-type]
    for piece in pieces:
        prefix.feed(piece)
    return prefix


@settings(deadline=None)
@given(VALUES, st.sampled_from([None, 2]), st.booleans())
def test_a_valid_text_is_never_bad_and_is_complete_exactly_where_json_says_so(
    value: object, indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    prefix = JsonPrefix()
    for at, char in enumerate(text):
        assert prefix.feed(char) is None
        assert prefix.complete == valid(text[: at + 1])
    assert prefix.complete


@settings(deadline=None)
@given(NOISE)
def test_the_first_bad_character_is_the_one_that_the_grammar_names(text: str) -> None:
    prefix = JsonPrefix()
    assert prefix.feed(text) == first_bad(text) == prefix.bad_at
    assert prefix.complete == valid(text)


@settings(deadline=None)
@given(VALUES, st.data())
def test_a_broken_text_is_bad_where_the_grammar_says(value: object, data: st.DataObject) -> None:
    text = json.dumps(value)
    at = data.draw(st.integers(0, len(text)))
    broken = text[:at] + data.draw(st.sampled_from('{}[]",:\\x0-.e\x02 ')) + text[at:]
    prefix = JsonPrefix()
    assert prefix.feed(broken) == first_bad(broken)


@settings(deadline=None)
@given(NOISE | VALUES.map(json.dumps), st.data())
def test_the_verdict_is_the_same_at_every_cut(text: str, data: st.DataObject) -> None:
    whole = read([text])
    for at in range(len(text) + 1):
        cut = read([text[:at], text[at:]])
        assert (cut.bad_at, cut.complete, cut.size) == (whole.bad_at, whole.complete, whole.size)
    single = read(list(text))
    assert (single.bad_at, single.complete, single.size) == (whole.bad_at, whole.complete, whole.size)


@pytest.mark.parametrize("text", ["```json", "Sure", "[1]", '"a"', "1", " null"])
def test_an_object_was_promised(text: str) -> None:
    assert read([text], root="object").bad_at == len(text) - len(text.lstrip())


def test_where_an_object_was_promised_one_is_fine() -> None:
    prefix = read([' {"a": [1]} '], root="object")
    assert prefix.bad_at is None
    assert prefix.complete


def test_after_a_bad_character_nothing_is_read() -> None:
    prefix = JsonPrefix()
    assert prefix.feed("[1,]") == 3
    assert prefix.feed("2") == 0
    assert prefix.feed("") is None
    assert (prefix.bad_at, prefix.size, prefix.complete) == (3, 3, False)


def test_brackets_are_open_so_many_at_most() -> None:
    assert JsonPrefix().feed("[" * MAX_DEPTH) is None
    assert JsonPrefix().feed("[" * (MAX_DEPTH + 1)) == MAX_DEPTH


def test_cost_is_linear_in_steps() -> None:
    """A megabyte of string in one character pieces and in one piece ends in the same state."""
    prefix = JsonPrefix()
    assert prefix.feed('"' + "a" * 1_000_000) is None
    for _ in range(1000):
        assert prefix.feed("\\n") is None
    assert prefix.feed('"') is None
    assert prefix.complete


@pytest.mark.parametrize(
    ("text", "at"),
    [("trux", 3), ("nulL", 3), ('"a\x01', 2), ('"\\x', 2), ('"\\u00g', 5), ("01", 1), ("1.e", 2), ("-a", 1), ("{1", 1)],
)
def test_what_makes_it_impossible(text: str, at: int) -> None:
    assert JsonPrefix().feed(text) == at


def test_an_escape_may_be_cut_in_the_middle() -> None:
    prefix = JsonPrefix()
    assert [prefix.feed(piece) for piece in ('"a\\', "n", "\\", "u00", 'e9"')] == [None] * 5
    assert prefix.complete
