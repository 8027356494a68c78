"""The closer look: who wins among matches that overlap, and what waits for whom."""

from __future__ import annotations

from random import Random

import pytest

from tests.safety.oracle import expected
from tests.safety.random_rules import compiled, even, filtered
from tests.safety.random_rules import rules as random_rules
from tidegate.safety import Machine, Replacement, Rule, TextFilter, compile, sanitize  # noqa: A004


def both_ways(machine: Machine, text: str) -> str:
    """At once, and character by character."""
    whole = sanitize(machine, text, key=b"k").text
    stream = TextFilter(machine, key=b"k")
    assert "".join(map(stream.feed, text)) + stream.close() == whole
    return whole


def rule(name: str, core: str, **more: str) -> Rule:
    return Rule(name=name, core=core, **more)  # type: ignore[arg-type]


def test_the_leftmost_wins_then_the_longest_then_the_first_rule() -> None:
    machine = compile([rule("x", "bcd"), rule("y", "abc"), rule("z", "ab"), rule("w", "abc")])
    assert both_ways(machine, "abcd") == "[Y]d"
    assert both_ways(machine, "bcd") == "[X]"
    assert both_ways(machine, "abd") == "[Z]d"


def test_a_match_that_fails_validation_gives_way_to_a_shorter_one_and_then_to_the_next() -> None:
    machine = compile([Rule(name="e", core="a+b?", validate=even), rule("b", "b")])
    assert both_ways(machine, "aaab") == "[E]"
    assert both_ways(machine, "aab") == "[E][B]"
    assert both_ways(machine, "ab") == "[E]"
    assert both_ways(machine, "a") == "a"


def test_a_younger_match_waits_for_the_older_beginning() -> None:
    """The older may still win; when it does not, nothing of the younger was lost."""
    machine = compile([rule("long", "ab+cd"), rule("b", "b")])
    assert both_ways(machine, "abbcd") == "[LONG]"
    assert both_ways(machine, "abbcx") == "a[B][B]cx"


def test_beginnings_in_the_same_state_wait_with_the_oldest() -> None:
    """Twenty beginnings are one, and each comes back when a match ends before it."""
    machine = compile([rule("at", "[ab]+@"), rule("a", "a", right="a")], hold_cap=8)
    assert both_ways(machine, "b" * 20 + "@") == "b" * 13 + "[AT]"
    assert both_ways(machine, "bbab@") == "[AT]"
    assert both_ways(machine, "b" * 7 + "abbb@") == "b" * 4 + "[AT]"


def test_a_match_that_ends_among_waiting_beginnings_leaves_those_behind_it() -> None:
    """The oldest of those that wait began inside it, and so did the next; the one after that goes on."""
    machine = compile([rule("o", "abb(?:bbbx)?"), rule("at", "b+@")])
    assert both_ways(machine, "abbbbbb@") == "[O][AT]"
    assert both_ways(machine, "abbbbbb!") == "[O]bbbb!"
    assert both_ways(machine, "abbbbbx@") == "[O]@"


def test_a_waiting_beginning_has_the_matches_that_came_after_it_joined() -> None:
    """Those from before belong to the older one alone."""
    machine = compile([rule("o", "abbb(?:b{5}x)?"), rule("b", "bb+(?:c|!)?", right="b"), rule("z", "b[bc]d")])
    assert both_ways(machine, "abbbbbbbb") == "[O][B]"
    assert both_ways(machine, "abbbbbcbbb") == "[O][B]c[B]"
    machine = compile([rule("o", "abb(?:b*!zx)?"), rule("p", "bb", left="b"), rule("q", "b+!y")])
    assert both_ways(machine, "abbbb!zk") == "[O]bb!zk"


def test_what_may_not_stand_around_a_match_is_looked_at_in_the_text_as_it_came() -> None:
    machine = compile([rule("a", "a", left="a"), rule("b", "b", right="c")])
    assert both_ways(machine, "aab") == "[A]a[B]"
    assert both_ways(machine, "abcb") == "[A]bc[B]"


def test_many_beginnings_are_followed_without_being_remembered() -> None:
    """Counting rules make a state of every beginning; that costs time, and no memory for situations."""
    machine = compile([Rule(name="n", core="[ab]{30}c", validate=even)])
    text = "ab" * 40 + "bc"
    assert both_ways(machine, text) == text  # 31 characters is odd
    assert machine.learnt[1] < 40


@pytest.mark.parametrize("ending", ["", " ", "x"])
def test_a_validator_that_says_no_frees_the_text_as_soon_as_nothing_can_follow(ending: str) -> None:
    machine = compile([Rule(name="n", core=r"\d{3}", right="x", validate=even)])
    stream = TextFilter(machine, key=b"k")
    assert [stream.feed(chunk) for chunk in "123"] == ["", "", "1"]
    assert stream.feed(ending) + stream.close() == "23" + ending
    alone = TextFilter(compile([Rule(name="n", core="1", validate=even)]), key=b"k")
    assert alone.feed("1") == "1"


def test_who_waited_with_a_beginning_that_is_swallowed_inherits_what_is_certain() -> None:
    """The match before it ends between them, and whatever comes can only make the younger's longer."""
    rules = [Rule(name="x", core="xa{2}(?:a*!)?", replacement=Replacement.HASH), Rule(name="a", core="aa+")]
    machine = compile(rules)
    for cut in (["xaaaaa b"], list("xaaaaa b")):
        out, hits, _ = filtered(machine, cut)
        assert hits == [(0, 3, "x"), (3, 6, "a")]
        assert out.endswith("[A] b")


def test_who_joined_after_the_last_match_inherits_nothing() -> None:
    """A case that a search found, by the oracle."""
    random = Random(27494768)
    given, cap = random_rules(random), random.choice([2, 3, 5, 8, 13])
    whole = "a    aaaa1aaaaaa-a1a1a1a1a1a1a1a1   a-1b 1 a"
    wanted = [(start, end, f"r{rule}") for start, end, rule in expected(given, whole, cap)]
    for cut in ([whole], list(whole)):
        assert filtered(compiled(given, cap), cut)[1] == wanted
