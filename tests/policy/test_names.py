"""policy/names.py: which names a list of patterns covers."""

from __future__ import annotations

import fnmatch
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.policy.names import Names, is_glob, names


@pytest.mark.parametrize(
    ("pattern", "name", "covered"),
    [
        ("gpt-4o", "gpt-4o", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("gpt-4o*", "gpt-4o-mini", True),
        ("gpt-4o*", "gpt-4o", True),
        ("*", "", True),
        ("*", "any/thing\nat all", True),
        ("gpt-?", "gpt-4", True),
        ("gpt-?", "gpt-", False),
        ("*-mini", "a-mini", True),
        ("*-mini", "a-mini-b", False),
        ("org/[beta]", "org/[beta]", True),
        ("org/[beta]", "org/b", False),
        ("org/[b]*", "org/[b]-1", True),
        ("a.c", "abc", False),
        ("a.*", "abc", False),
        ("GPT", "gpt", False),
    ],
)
def test_a_pattern_covers_what_it_says(pattern: str, name: str, covered: bool) -> None:
    assert Names([pattern]).covers(name) is covered


def test_any_of_several_patterns_suffices() -> None:
    several = Names(["a", "b*", "c?"])
    assert [name for name in ("a", "b1", "c2", "c", "d") if several.covers(name)] == ["a", "b1", "c2"]


def test_exact_names_and_globs_are_told_apart() -> None:
    both = Names(["a", "b*"])
    assert (both.exactly("a"), both.by_glob("a")) == (True, False)
    assert (both.exactly("b*"), both.by_glob("bc")) == (False, True)


def test_no_pattern_covers_nothing() -> None:
    assert not Names([]).covers("")


def test_is_glob_sees_stars_and_question_marks_only() -> None:
    assert [pattern for pattern in ("a", "a*", "?", "[a]") if is_glob(pattern)] == ["a*", "?"]


def test_the_same_patterns_are_compiled_once() -> None:
    assert names(("a", "b*")) is names(("a", "b*"))


@given(st.text(alphabet="ab*?", max_size=8), st.text(alphabet="ab", max_size=8))
def test_it_agrees_with_fnmatch_where_there_are_no_brackets(pattern: str, name: str) -> None:
    assert Names([pattern]).covers(name) == bool(re.fullmatch(fnmatch.translate(pattern), name))


def test_a_run_of_stars_costs_no_more_than_one() -> None:
    began = time.process_time()
    assert not Names(["*" * 60 + "x"]).covers("a" * 2000)
    assert time.process_time() - began < 1
