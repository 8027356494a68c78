"""shared/table.py: the rules of all limits, and what becomes of a process that ends or says again what it has."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
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
    refused,
    requests,
    steps,
    streams,
    tokens,
)
from tidegate.policy.limits import Ask, Grant, Meter, Refusal
from tidegate.policy.windows import MINUTE
from tidegate.shared.limits import SharedGrant, SharedLimits
from tidegate.shared.options import SharedOptions
from tidegate.shared.table import SWEEP, Table


class Direct:
    """The way to a table that is in this process."""

    def __init__(self, table: Table, clock: Any) -> None:
        self.table = table
        self.clock = clock

    async def __call__(self, operation: str, ask: bytes) -> Sequence[int]:
        return self.table.decide(operation, msgspec.json.decode(ask), self.clock())

    async def close(self) -> None: ...


class OverTable:
    """The rules' table: calls that wait."""

    def __init__(self, table: Table | None = None) -> None:
        self.now = START
        self.table = Table() if table is None else table
        self._runner = asyncio.Runner()
        options = SharedOptions(lease=3600)
        self.limits = SharedLimits(options, Direct(self.table, lambda: self.now), clock=lambda: self.now)

    def admit(self, meters: Sequence[Meter], ask: Ask) -> Grant | Refusal:
        return self._runner.run(self.limits.admit(meters, ask))

    def more(self, grant: Grant, output: int) -> int | Refusal:
        assert isinstance(grant, SharedGrant)
        return self._runner.run(self.limits.more(grant, output))

    def settle(self, grant: Grant, tokens: int, cost: int = 0) -> None:
        assert isinstance(grant, SharedGrant)
        self._runner.run(self._settle(grant, tokens, cost))

    async def _settle(self, grant: SharedGrant, tokens: int, cost: int) -> None:
        self.limits.settle(grant, tokens, cost)
        await asyncio.gather(*self.limits._tasks)

    def lose(self) -> None:
        """What was asked last may or may not have been done: a new name is taken."""
        self.limits._lost(self.limits._name)

    def close(self) -> None:
        self._runner.run(self.limits.close())
        assert self.limits.fallbacks == 0
        self._runner.close()


@pytest.fixture
def table() -> Iterator[OverTable]:
    table = OverTable()
    yield table
    table.close()


class TestOverTable(Rules):
    """The same promises as in one process and over Redis."""

    @pytest.fixture
    def table(self) -> Iterator[OverTable]:
        table = OverTable()
        yield table
        table.close()


@given(limit=st.integers(1, 60), taken=steps)
def test_any_minute_holds_the_limit_and_waits_are_true(limit: int, taken: Steps) -> None:
    table = OverTable()
    check_against_a_list(table, limit, taken)
    table.close()


def test_two_processes_hold_the_limit_together(table: OverTable) -> None:
    other = OverTable(table.table)
    meters = [requests(4), streams(3), tokens(10_000)]
    grants = [granted(one.admit(meters, ask())) for one in (table, other, table)]
    assert refused(other.admit(meters, ask())).meter == streams(3)
    table.settle(grants[0], 50)
    granted(other.admit(meters, ask()))
    other.close()
    assert table.table.live("key:a") == 1, "what the other one had is free when it leaves"
    assert refused(table.admit(meters, ask())).meter == requests(4)


def test_a_process_that_ended_holds_nothing_and_what_it_used_stays_used(table: OverTable) -> None:
    other = OverTable(table.table)
    meters = [streams(1), tokens(150), budget(1000)]
    granted(other.admit(meters, ask(10, 90, 0, 1.0)))
    refused(table.admit(meters, ask(1, 1)))
    process = other.limits._process
    table.table.leave(process)
    table.table.leave(process)
    grant = granted(table.admit(meters, ask(10, 40, 0, 1.0)))
    assert grant.allowance() == 40
    refused(table.admit([tokens(150)], ask(1, 0)))
    other.close()


def test_after_a_loss_everything_is_said_once_more_and_counted_once(table: OverTable) -> None:
    meters = [streams(3), budget(100)]
    grants = [granted(table.admit(meters, ask(0, 10, 0, 1.0))) for _ in range(2)]
    table.lose()
    granted(table.admit(meters, ask(0, 10, 0, 1.0)))
    refused(table.admit(meters, ask(0, 10, 0, 1.0)))
    for grant in grants:
        table.settle(grant, 0, 5)
    assert granted(table.admit(meters, ask(0, 500, 0, 1.0))).charged == [1, 80]


def test_what_is_heard_under_an_old_name_has_no_effect(table: OverTable) -> None:
    granted(table.admit([streams(2)], ask()))
    old = table.limits._name
    table.lose()
    granted(table.admit([streams(2)], ask()))
    late: list[tuple[str, dict[str, Any]]] = [
        ("admit", {"id": "x", "meters": [["s", "key:a", 9, 1, 0, None]]}),
        ("restore", {"streams": {"key:a": ["y"]}, "money": {}}),
        ("leave", {}),
    ]
    for operation, fields in late:
        assert table.table.decide(operation, {"me": old, **fields}, START) == [2]
    assert table.table.live("key:a") == 2


def test_a_stream_that_is_said_or_settled_twice_counts_once() -> None:
    table = Table()
    for _ in range(2):
        said = {"me": "a.1", "streams": {"key:a": ["x"]}, "money": {"key:a": 0}}
        assert table.decide("restore", said, START) == [1]
    assert table.live("key:a") == 1
    for _ in range(2):
        told: dict[str, Any] = {"me": "a.1", "id": "x", "back": [], "over": [], "streams": ["key:a"], "money": []}
        assert table.decide("settle", told, START) == [1]
    assert table.live("key:a") == 0
    assert table.decide("beat", {"me": "a.1"}, START) == [1]


def test_what_nobody_asks_for_is_forgotten() -> None:
    table = Table()
    table.decide("restore", {"me": "a.1", "streams": {}, "money": {}}, START)
    for number in range(2 * SWEEP):
        rows = [["r", f"key:{number}", 9, 1, 0, None], ["b", f"key:{number}", 9, int(number == 7), 0, None]]
        now = START + (number // SWEEP) * 2 * MINUTE
        assert table.decide("admit", {"me": "a.1", "id": str(number), "meters": rows}, now)[0] == 1
    assert len(table._windows) == SWEEP
    assert list(table._purses) == ["key:7"], "somebody still holds money of it"
