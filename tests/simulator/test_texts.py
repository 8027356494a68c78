"""simulator/texts.py: tokens are the text, cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.simulator.texts import ANSWERS, tokens_of


@pytest.mark.parametrize("name", ANSWERS)
def test_the_tokens_of_an_answer_are_the_answer(name: str) -> None:
    tokens = tokens_of(ANSWERS[name])
    assert "".join(tokens) == ANSWERS[name]
    assert all(0 < len(token) <= 40 for token in tokens)
    assert len(tokens) > 20


@given(st.text())
def test_no_character_of_any_text_is_lost(text: str) -> None:
    assert "".join(tokens_of(text)) == text


def test_emoji_families_are_cut_in_the_middle() -> None:
    assert len(tokens_of("👨‍👩‍👧‍👦")) > 1
