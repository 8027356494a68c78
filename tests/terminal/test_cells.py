"""Text in cells."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.terminal.cells import clean, fit, sparkline


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("abc", 5, "abc  "),
        ("abcdef", 5, "abcd…"),
        ("潮汐表", 5, "潮汐…"),
        ("潮汐", 5, "潮汐 "),
        ("潮汐表x", 4, "潮… "),
        ("e\u0301e", 3, "e\u0301e "),
        ("a\nb\tc", 6, "a b c "),
        ("a\x1b[2Jb", 7, "a[2Jb  "),
    ],
)
def test_text_takes_exactly_its_cells(text: str, width: int, shown: str) -> None:
    assert fit(text, width) == shown


def test_figures_stand_right() -> None:
    assert fit("42", 5, right=True) == "   42"
    assert fit("潮", 4, right=True) == "  潮"


@settings(deadline=None, max_examples=40)
@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=30), st.integers(1, 20))
def test_ascii_is_as_long_as_it_is_wide(text: str, width: int) -> None:
    assert len(fit(text, width)) == width


def test_control_characters_go() -> None:
    assert clean("a\x1b]0;t\x07b\x9bc\x7f\r") == "a]0;tbc"
    assert clean("tab\tand\nline") == "tab\tand\nline"


def test_bars_are_as_high_as_their_figures() -> None:
    assert sparkline([0, 1, 4, 8], 6) == "   ▂▅█"
    assert sparkline([1, 2, 3], 2) == "▆█"
    assert sparkline([], 3) == "   "
    assert sparkline([0, 0], 3) == "   "


def test_marks_take_no_cell() -> None:
    assert fit("e\u0301" * 4, 4) == "e\u0301" * 4
    assert fit("e\u0301" * 5, 4) == "e\u0301" * 3 + "…"
