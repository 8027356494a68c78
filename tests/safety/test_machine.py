"""The machine learns from texts, within bounds."""

from __future__ import annotations

import tracemalloc
from random import Random

import pytest

from tests.safety.random_rules import compiled, filtered, pieces, rules, text
from tidegate.safety import Machine, Rule, TextFilter, compile  # noqa: A004
from tidegate.safety import machine as module
from tidegate.safety.builtin.deny import DENY
from tidegate.safety.builtin.pii import PII
from tidegate.safety.builtin.secrets import SECRETS


def test_a_chunk_with_a_digit_is_never_remembered() -> None:
    """A memo must not become a list of card numbers."""
    machine = compile([Rule(name="n", core=r"\d{12}")])
    stream = TextFilter(machine, key=b"k")
    for chunk in ("4111", " and ", "4222", "x" * 17):
        stream.feed(chunk)
    assert machine.learnt[2] == 1


def test_limits_hold_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for three situations, two states and five chunks the output is still that of plenty."""
    random = Random(5)
    cases = []
    for _ in range(60):
        given_rules, whole = rules(random), text(random, 60, "ab1@- ")
        cases.append((given_rules, pieces(random, whole), filtered(compiled(given_rules, 64), [whole])))
    monkeypatch.setattr(module, "MAX_SITUATIONS", 3)
    monkeypatch.setattr(module, "MAX_STATES", 2)
    monkeypatch.setattr(module, "MAX_MEMO", 5)
    for given_rules, cut, wanted in cases:
        machine = compiled(given_rules, 64)
        for _ in range(3):
            assert filtered(machine, cut) == wanted
        assert machine.learnt[1] <= 4
        assert machine.learnt[2] <= 5


def test_memory_is_bounded_whatever_the_texts() -> None:
    """Random words for as long as it takes to fill the memo: 15 MB for machine and memo, 1 kB for a stream."""
    random = Random(3)
    tracemalloc.start()
    try:
        machine: Machine = compile([*SECRETS.values(), *PII.values(), *DENY.values()])
        streams = [TextFilter(machine, key=b"k") for _ in range(50)]
        for _ in range(10_000):
            word = " " + "".join(random.choices("etaoinshrdlu.-@/", k=random.randint(2, 7)))
            random.choice(streams).feed(word)
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert used < 15_000_000


@pytest.mark.parametrize(
    "unit",
    [
        "a", "1", "1 ", "1-", "4111 ", "4111-", "4", "+1 ", "1.", "1:", ":", "AA00 ", "de8", "a@b.", "a.b@c.d ",
        "-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "eyJhbGciOi.", "a\u200b", "潮", "🌊", "0xabcdef", "bc1q", "3J",
        "sk-", "(212) ", "https://a:", "xoxb-1234567890-", "bearer ", "born on ", "ignore all ",
    ],
)  # fmt: skip
def test_no_input_takes_many_steps_or_is_held_beyond_the_cap(unit: str) -> None:
    """Work is counted, not timed: how many beginnings are followed at once."""
    machine = compile([*SECRETS.values(), *PII.values(), *DENY.values()])
    stream = TextFilter(machine, key=b"k")
    text = (unit * 4000)[:4000]
    most = 0
    for at in range(0, len(text), 5):
        stream.feed(text[at : at + 5])
        assert stream.held <= machine.hold_cap
        most = max(most, len(stream._look._candidates))
    assert most <= 24
