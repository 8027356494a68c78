"""server/spending.py: what budgets have spent."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tests.fakes.gateway import run, until
from tidegate.ledger.database import LedgerAway
from tidegate.policy.budgets import period_of
from tidegate.policy.meters import subject_of_budget
from tidegate.server import spending
from tidegate.server.spending import Spending

NOW = 1_795_000_000.0
PERIOD = period_of("day", NOW)


def known(spent: Spending, key: str = "k") -> int:
    return spent.known(subject_of_budget(key, PERIOD), PERIOD)


def test_the_ledger_is_asked_once_however_many_come_at_once() -> None:
    asked: list[tuple[str, float]] = []

    def ask(key: str, since: float) -> int:
        asked.append((key, since))
        return 500

    async def case() -> None:
        spent = Spending(ask)
        await asyncio.gather(*(spent.look("k", PERIOD) for _ in range(50)))
        assert (known(spent), known(spent, "other")) == (500, 0)
        assert asked == [("k", float(PERIOD.start))]
        await spent.close()

    run(case())


def test_later_answers_come_without_anybody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spending, "AGAIN", 0.0)
    go, answers = threading.Event(), iter((1, 2))
    go.set()

    def ask(*_: object) -> int:
        assert go.wait(20)
        return next(answers)

    async def case() -> None:
        spent = Spending(ask)
        await spent.look("k", PERIOD)
        go.clear()
        await spent.look("k", PERIOD)
        assert known(spent) == 1
        go.set()
        await until(lambda: known(spent) == 2)
        await spent.close()

    run(case())


def test_a_ledger_that_is_away_does_not_make_anything_unspent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spending, "AGAIN", 0.0)
    answers = iter((700,))

    def ask(*_: object) -> int:
        for answer in answers:
            return answer
        raise LedgerAway("away")

    async def case() -> None:
        spent = Spending(ask)
        for _ in range(3):
            await spent.look("k", PERIOD)
            await spent.close()
        assert known(spent) == 700

    run(case())


def test_without_a_ledger_nothing_is_asked() -> None:
    async def case() -> None:
        spent = Spending(None)
        await spent.look("k", PERIOD)
        assert known(spent) == 0

    run(case())


def test_what_is_remembered_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spending, "MOST", 2)

    async def case() -> None:
        spent = Spending(lambda *_: 1)
        for number in range(5):
            await spent.look(str(number), PERIOD)
        assert len(spent._known) <= 2

    run(case())
