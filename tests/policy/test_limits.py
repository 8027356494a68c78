"""policy/limits.py: in one process."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.policy.limit_rules import (
    START,
    Rules,
    Steps,
    ask,
    budget,
    check_against_a_list,
    granted,
    requests,
    steps,
    streams,
)
from tidegate.policy import limits
from tidegate.policy.limits import Ask, Grant, Kind, Limits, Meter, Refusal
from tidegate.policy.windows import MINUTE


class InProcess:
    def __init__(self) -> None:
        self.now = START
        self.limits = Limits()

    def admit(self, meters: Sequence[Meter], ask: Ask) -> Grant | Refusal:
        return self.limits.admit(meters, ask, self.now)

    def more(self, grant: Grant, output: int) -> int | Refusal:
        return self.limits.more(grant, output, self.now)

    def settle(self, grant: Grant, tokens: int, cost: int = 0) -> None:
        self.limits.settle(grant, tokens, cost, self.now)


class TestInProcess(Rules):
    @pytest.fixture
    def table(self) -> InProcess:
        return InProcess()


@given(st.integers(1, 60), steps)
def test_any_minute_holds_the_limit_and_waits_are_true(limit: int, taken: Steps) -> None:
    check_against_a_list(InProcess(), limit, taken)


def test_live_streams_are_told() -> None:
    table = InProcess()
    grant = granted(table.admit([streams(2)], ask()))
    assert table.limits.live("key:a") == 1
    table.settle(grant, 0)
    assert table.limits.live("key:a") == 0


@pytest.mark.parametrize("kind", [Kind.REQUESTS, Kind.TOKENS])
@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_of_several_limits_the_one_with_the_least_left_is_told(kind: Kind, order: tuple[int, int]) -> None:
    meters = tuple(Meter(kind, f"subject-{tens}", 10 * tens) for tens in order)
    granted = Limits().admit(meters, Ask(2, 3), 0)
    assert isinstance(granted, Grant)
    ((told, standing),) = granted.standings
    assert (told, standing.limit, standing.remaining) == (kind, 10, 9 if kind is Kind.REQUESTS else 5)


def test_what_nobody_asks_for_any_more_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_SWEEP", 10)
    table = InProcess()
    for number in range(9):
        grant = granted(table.admit([requests(1, f"key:{number}"), budget(10, subject=f"key:{number}")], ask()))
        table.settle(grant, 0)
    table.now += 2 * MINUTE
    for number in range(20, 31):
        granted(table.admit([requests(1, f"key:{number}"), budget(10, subject=f"key:{number}")], ask(0, 1, 0, 1.0)))
    assert len(table.limits._requests) == 11
    assert {purse.held for purse in table.limits._purses.values()} == {1}


def test_what_somebody_else_has_admitted_is_charged_without_asking() -> None:
    """Over its limit too: it is so, and whoever comes next is told."""
    table = InProcess()
    for _ in range(2):
        grant = table.limits.charge([requests(1), streams(1)], ask(), table.now)
        assert isinstance(grant, Grant)
    assert table.limits.live("key:a") == 2
    assert isinstance(table.admit([requests(1)], ask()), Refusal)


def test_a_set_of_meters_that_comes_again_is_counted_on() -> None:
    table, meters = InProcess(), (requests(2), streams(2))
    for _ in range(2):
        granted(table.limits.admit(meters, ask(), table.now))
    assert isinstance(table.limits.admit(meters, ask(), table.now), Refusal)
    assert [plan.meters for plan in table.limits._plans.values()] == [meters]


def test_sets_of_meters_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same tuple is the same set; what is not remembered is decided in the same way."""
    monkeypatch.setattr(limits, "_REMEMBERED", 2)
    table = InProcess()
    sets = [(requests(2, f"key:{number}"),) for number in range(3)]
    for _ in range(2):
        for each in sets:
            granted(table.admit(each, ask()))
    assert len(table.limits._plans) <= 2
    assert all(isinstance(table.admit(each, ask()), Refusal) for each in sets)
