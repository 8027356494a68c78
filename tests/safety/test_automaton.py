"""States are made when they are needed, and only as many as texts reach."""

from __future__ import annotations

import pytest

from tidegate.safety.automaton import Expression
from tidegate.safety.builtin.pii import PII
from tidegate.safety.builtin.secrets import SECRETS
from tidegate.safety.machine import Machine
from tidegate.safety.stream import sanitize
from tidegate.safety.syntax import NotRegular, parse


def test_repetitions_are_linear_in_their_size() -> None:
    """Arrows, not only positions: x{0,500} has as many as it has characters."""
    for core, size in (("a{0,500}b", 501), ("a{500}", 500), ("a{10,}", 10), ("(?:ab?){3}", 6), ("(?:a{0,2}){0,3}b", 7)):
        expression = Expression(parse(core))
        assert len(expression.sets) == size
        assert sum(map(len, expression.follow)) <= 3 * size + 20


def test_what_matches_nothing_at_all_is_refused() -> None:
    for core in ("", "a?", "(?:a*b*)*", "a|", "a{0}"):
        with pytest.raises(NotRegular, match="the empty text"):
            Expression(parse(core))


def test_no_state_is_made_before_a_text_needs_it() -> None:
    machine = Machine([*SECRETS.values(), *PII.values()])
    assert machine.learnt == (0, 1, 0)
    sanitize(machine, "The tide comes in and goes out, twice a day.", key=b"k")
    assert 0 < machine.learnt[0] < 60


def test_forgetting_changes_nothing() -> None:
    machine = Machine([*SECRETS.values(), *PII.values()])
    text = "Mail bob@example.com or call +44 20 7946 0958."
    before = sanitize(machine, text, key=b"k")
    machine.forget()
    assert machine.learnt == (0, 0, 0)
    assert sanitize(machine, text, key=b"k") == before
