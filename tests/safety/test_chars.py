"""Sets of characters and the alphabet."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidegate.safety.chars import ANY, DIGITS, NOTHING, WORDS, Alphabet, Chars, char_range, chars, folded, invisible

SETS = [NOTHING, ANY, DIGITS, WORDS, ~WORDS, chars("aé潮.‐"), char_range("a", "ÿ"), ~char_range("Ā", "ſ"), chars("🌊")]


@given(st.characters())
def test_sets_behave_as_sets(char: str) -> None:
    for one in SETS:
        assert (char in one) is not (char in ~one)
        for two in SETS:
            assert (char in (one | two)) is (char in one or char in two)
    assert char in ANY
    assert char not in NOTHING


@given(st.text(max_size=20))
def test_a_class_is_in_exactly_the_sets_that_its_characters_are_in(text: str) -> None:
    """Look-alikes are of the class of what they look like; the invisible have one of their own."""
    alphabet = Alphabet(SETS)
    for char, code in zip(text, alphabet.codes(text), strict=True):
        if invisible(char):
            assert code == alphabet.skip
            code = alphabet.visible(char)
        assert code < alphabet.size
        for one in SETS:
            assert bool(alphabet.mask(one) >> code & 1) is (folded(char) in one)


def test_there_are_as_few_classes_as_the_sets_need() -> None:
    assert Alphabet([DIGITS]).size == 2
    assert Alphabet([DIGITS, WORDS]).size == 3
    assert Alphabet([]).size == 1


def test_folding_keeps_the_length_and_leaves_the_rest_alone() -> None:
    assert folded("１２３ АВС ‐–— ＠") == "123 ABC --- @"
    assert folded("plain é 潮") == "plain é 潮"


def test_case_is_added_to_letters_and_small_ranges() -> None:
    assert "Ä" in chars("ä").without_case()
    assert "b" in char_range("A", "C").without_case()
    assert "ß" in chars("ß").without_case()  # its capital is two letters
    wide = Chars(0, ((0x100, 0x2000),))
    assert wide.without_case() == wide


def test_a_cache_of_classes_does_not_grow_without_end() -> None:
    alphabet = Alphabet([WORDS])
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 20_000)))
    assert set(alphabet.codes(text)) == {alphabet.of("a")}
    assert len(alphabet._known) <= 8193
