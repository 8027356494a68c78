"""Sentences are the same however a text is cut, and joined they are the text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.safety.cutting import cut_anywhere
from tidegate.safety.sentences import Sentences

TEXTS = st.text(alphabet="ab .!?…\n\t\"')。！ é", max_size=60)


def cut(pieces: list[str], longest: int = 1000) -> list[str]:
    sentences = Sentences(longest)
    found = [sentence for piece in pieces for sentence in sentences.feed(piece)]
    return found + sentences.close()


@settings(deadline=None)
@given(TEXTS, st.integers(1, 20), st.data())
def test_any_chunking_gives_the_same_sentences(text: str, longest: int, data: st.DataObject) -> None:
    whole = cut([text], longest)
    assert cut(cut_anywhere(text, data), longest) == whole
    assert cut(list(text), longest) == whole


@settings(deadline=None)
@given(TEXTS, st.integers(1, 20))
def test_joined_they_are_the_text_but_for_white_space_at_its_end(text: str, longest: int) -> None:
    whole = cut([text], longest)
    joined = "".join(whole)
    assert text.startswith(joined)
    assert not text[len(joined) :].strip()
    assert all(1 <= len(sentence) <= longest for sentence in whole)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", ["One. ", "Two! ", "Three?"]),
        ('He said "no." Then he left.', ['He said "no." ', "Then he left."]),
        ("Version 3.5 is out... at last", ["Version 3.5 is out... ", "at last"]),
        ("a\nb\n\nc", ["a\n", "b\n", "\nc"]),
        ("潮が満ちた。引いた！", ["潮が満ちた。", "引いた！"]),
        ("  \n ", []),
        ("", []),
    ],
)
def test_where_a_sentence_ends(text: str, sentences: list[str]) -> None:
    assert cut([text]) == sentences


def test_what_has_not_ended_is_counted() -> None:
    sentences = Sentences()
    sentences.feed("One. Tw")
    assert sentences.size == 2
