"""relay/deadlines.py: which wait ends first, and one timer for all of them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from tidegate.relay.deadlines import LATE, Alarm, Due, Waits, next_due
from tidegate.relay.lifecycle import State
from tidegate.relay.options import StreamOptions

OPTIONS = StreamOptions(
    first_token_timeout=30.0, idle_timeout=20.0, total_timeout=600.0, stall_timeout=60.0, heartbeat=0.0
)


def waits(**facts: Any) -> Waits:
    """A stream that was accepted at 100 and streams."""
    known: dict[str, Any] = {
        "state": State.STREAMING,
        "accepted": 100.0,
        "sent": 101.0,
        "last_in": 105.0,
        "last_out": 105.0,
        "grace_at": None,
        "paused_at": None,
        "closing": False,
        "beats": True,
    }
    return Waits(**{**known, **facts})


@pytest.mark.parametrize(
    ("facts", "due"),
    [
        ({"state": State.CONNECTING, "sent": None}, (700.0, Due.TOTAL)),
        ({"state": State.WAITING}, (131.0, Due.FIRST_TOKEN)),
        ({"state": State.WAITING, "sent": None}, (700.0, Due.TOTAL)),
        ({}, (125.0, Due.IDLE)),
        ({"last_in": 690.0}, (700.0, Due.TOTAL)),
        ({"grace_at": 107.0}, (107.0, Due.GRACE)),
        ({"grace_at": 900.0}, (700.0, Due.TOTAL)),
        ({"checking": True, "grace_at": 107.0}, (700.0, Due.TOTAL)),
        ({"paused_at": 106.0}, (166.0, Due.STALL)),
        ({"paused_at": 690.0}, (700.0, Due.TOTAL)),
        ({"paused_at": 690.0, "closing": True}, (750.0, Due.STALL)),
        ({"paused_at": 106.0, "closing": True}, (166.0, Due.STALL)),
    ],
)
def test_the_earliest_wait_is_due_first(facts: dict[str, Any], due: tuple[float, Due]) -> None:
    """A slow reader stops the upstream's clock; its last word may wait for it past the total."""
    assert next_due(waits(**facts), OPTIONS) == due


def test_heartbeats_are_due_where_there_are_any() -> None:
    """Not in a framing without them, not when they are off, not while the reader does not read."""
    beating = replace(OPTIONS, heartbeat=5.0)
    assert next_due(waits(), beating) == (110.0, Due.HEARTBEAT)
    assert next_due(waits(beats=False), beating) == (125.0, Due.IDLE)
    assert next_due(waits(), OPTIONS) == (125.0, Due.IDLE)
    assert next_due(waits(paused_at=106.0), beating) == (166.0, Due.STALL)


class Clock:
    """Deadlines that a test moves, in seconds of the loop's own clock."""

    def __init__(self) -> None:
        self.at = 0.0
        self.acted: list[Due] = []
        self.failed: list[BaseException] = []
        self.raises: Exception | None = None
        self.told = asyncio.Event()
        self.alarm = Alarm(lambda: (self.at, Due.IDLE), self.act, self.fail)

    def act(self, due: Due) -> None:
        if self.raises is not None:
            raise self.raises
        self.acted.append(due)
        self.told.set()

    def fail(self, error: BaseException) -> None:
        self.failed.append(error)
        self.told.set()

    def due_in(self, seconds: float) -> None:
        self.at = asyncio.get_running_loop().time() + seconds


def test_a_deadline_that_has_passed_is_acted_on() -> None:
    async def case() -> None:
        clock = Clock()
        clock.due_in(0.01)
        clock.alarm.arm()
        await clock.told.wait()
        assert clock.acted == [Due.IDLE]

    asyncio.run(case())


def test_a_deadline_that_moved_away_is_waited_for_again() -> None:
    """Tokens move it, and touch no timer."""

    async def case() -> None:
        clock = Clock()
        clock.due_in(0.01)
        clock.alarm.arm()
        clock.due_in(0.06)
        later = clock.at
        await clock.told.wait()
        assert asyncio.get_running_loop().time() >= later

    asyncio.run(case())


def test_who_was_busy_itself_looks_first_at_what_came_meanwhile() -> None:
    """Tasks that had no turn have one, and what was in a socket is read, before a deadline counts as missed."""

    async def case() -> None:
        clock = Clock()
        clock.due_in(0.01)
        clock.alarm.arm()
        time.sleep(0.01 + 2 * LATE)  # noqa: ASYNC251 - this is the case
        for _ in range(3):
            await asyncio.sleep(0)
        assert clock.acted == []
        clock.due_in(0.02)
        moved = clock.at
        await clock.told.wait()
        assert asyncio.get_running_loop().time() >= moved

    asyncio.run(case())


def test_who_was_busy_looks_once_more_and_then_acts() -> None:
    """Busy again or not: nothing waits for ever."""

    async def case() -> None:
        clock = Clock()
        clock.due_in(0.0)
        clock.alarm.arm()
        time.sleep(2 * LATE)  # noqa: ASYNC251
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert clock.acted == []
        time.sleep(3 * LATE)  # noqa: ASYNC251
        await clock.told.wait()
        assert clock.acted == [Due.IDLE]

    asyncio.run(case())


def test_a_nearer_deadline_moves_the_timer_and_a_farther_one_does_not() -> None:
    async def case() -> None:
        clock = Clock()
        now = asyncio.get_running_loop().time()
        clock.alarm.no_later_than(now + 50)
        first = clock.alarm._timer
        clock.alarm.no_later_than(now + 60)
        assert clock.alarm._timer is first
        clock.alarm.no_later_than(now + 40)
        assert first is not None
        assert first.cancelled()
        assert clock.alarm._timer is not first
        clock.alarm.stop()

    asyncio.run(case())


def test_what_the_action_raises_is_told() -> None:
    async def case() -> None:
        clock = Clock()
        clock.raises = ValueError("planted")
        clock.alarm.arm()
        await clock.told.wait()
        assert clock.failed == [clock.raises]

    asyncio.run(case())


def test_one_deadline_can_take_the_place_of_all() -> None:
    """While a stream whose reader left is read on."""

    async def case() -> None:
        clock = Clock()
        clock.alarm.arm()
        done = asyncio.Event()
        clock.alarm.instead(0.01, done.set)
        await done.wait()
        assert clock.acted == []

    asyncio.run(case())


def test_closed_it_holds_nobody_and_has_no_timer() -> None:
    """A stream that has ended is freed at once."""

    async def case() -> None:
        clock = Clock()
        clock.due_in(50)
        clock.alarm.arm()
        clock.alarm.close()
        clock.alarm.close()
        assert clock.alarm._timer is None
        at, due = clock.alarm._due()
        assert (at, due) == (float("inf"), Due.TOTAL)
        clock.alarm._act(due)
        clock.alarm._failed(ValueError())
        assert (clock.acted, clock.failed) == ([], [])

    asyncio.run(case())
