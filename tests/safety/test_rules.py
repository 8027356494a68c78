"""Rules as values, and rules for lists of words."""

from __future__ import annotations

import pytest

from tidegate.safety import Rule, compile, literal, sanitize, words  # noqa: A004


@pytest.mark.parametrize(
    ("rule", "shown"),
    [
        (Rule(name="credit-card", core="x"), "[CREDIT_CARD]"),
        (Rule(name="credit-card", core="x", label="CARD"), "[CARD]"),
    ],
)
def test_a_label_is_made_of_the_name_unless_it_is_given(rule: Rule, shown: str) -> None:
    assert rule.shown == shown


def test_a_literal_is_found_wherever_it_stands() -> None:
    machine = compile([literal("key", r"a.b*c\d(e)[f]{2}|^$+?", label="K")])
    assert sanitize(machine, r"xa.b*c\d(e)[f]{2}|^$+?y axb", key=b"k").text == "x[K]y axb"


def test_words_are_found_whole_in_either_case_and_over_any_space() -> None:
    machine = compile([words("w", ["ass", "asset", "bad word", "bad", "é"])])
    text = "Ass, pass, ASSET, assets, bad\n word, badword, bad-word, É"
    assert sanitize(machine, text, key=b"k").text == "[W], pass, [W], assets, [W], badword, [W]-word, [W]"


def test_a_long_list_of_words_makes_a_small_automaton() -> None:
    """Words that begin alike share their beginning."""
    machine = compile([words("w", [f"prefix{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"])])
    assert sanitize(machine, "prefixq", key=b"k").text == "[W]"
    assert machine.alphabet.size < 40
