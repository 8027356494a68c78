"""relay/leg.py: one way to the upstream at a time, closed in the same loop turn; whoever waits is told once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

from tidegate.errors import TidegateError, UpstreamCut
from tidegate.relay.leg import LINGER, Leg
from tidegate.upstream.exchange import Exchange, Straight


class Asked:
    """An exchange that remembers what was done with it."""

    def __init__(self) -> None:
        self.done: list[Any] = []

    def pause(self) -> None:
        self.done.append("pause")

    def resume(self) -> None:
        self.done.append("resume")

    def go_straight(self, straight: Straight | None) -> None:
        self.done.append(straight)

    def drain(self, limit: float) -> None:
        self.done.append(limit)

    def abort(self) -> None:
        self.done.append("abort")


def on_loop(case: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def alone() -> None:
        await case()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(alone())


def asked(leg: Leg) -> Asked:
    exchange = Asked()
    leg.exchange = cast(Exchange, exchange)
    return exchange


def test_the_outcome_is_told_once() -> None:
    async def case() -> None:
        leg = Leg()
        told: list[TidegateError | None] = []
        leg.begin(told.append)
        error = UpstreamCut("Cut.")
        leg.wake(error)
        leg.wake(None)
        assert told == [error]

    on_loop(case)


def test_a_back_off_ends_by_itself_or_when_it_is_woken() -> None:
    async def case() -> None:
        leg = Leg()
        assert await asyncio.wait_for(leg.sleep(0.001), 60) is None
        long = leg.sleep(3600.0)
        leg.wake(None)
        assert await asyncio.wait_for(long, 60) is None

    on_loop(case)


def test_waking_nobody_is_nothing() -> None:
    async def case() -> None:
        Leg().wake(UpstreamCut("Cut."))

    on_loop(case)


def test_without_an_exchange_every_call_does_nothing() -> None:
    async def case() -> None:
        leg = Leg()
        leg.pause()
        leg.resume()
        leg.go_straight(None)
        leg.linger()
        leg.close()

    on_loop(case)


def test_calls_reach_the_exchange() -> None:
    async def case() -> None:
        leg = Leg()
        exchange = asked(leg)
        leg.pause()
        leg.resume()
        straight = Straight()
        leg.go_straight(straight)
        assert exchange.done == ["pause", "resume", straight]

    on_loop(case)


def test_a_whole_answers_connection_may_finish_and_is_no_longer_ours() -> None:
    async def case() -> None:
        leg = Leg()
        exchange = asked(leg)
        leg.linger()
        leg.close()
        assert exchange.done == [LINGER]

    on_loop(case)


def test_closing_aborts_the_exchange_once() -> None:
    async def case() -> None:
        leg = Leg()
        exchange = asked(leg)
        leg.close()
        leg.close()
        assert exchange.done == ["abort"]
        assert leg.exchange is None

    on_loop(case)


def test_closing_gives_up_a_connection_that_is_being_made() -> None:
    """And whoever asked for it hears of it."""

    async def case() -> None:
        leg = Leg()
        task: asyncio.Task[Exchange] = asyncio.get_running_loop().create_task(cast(Any, asyncio.sleep(3600)))
        told: list[asyncio.Task[Exchange]] = []
        leg.connecting(task, told.append)
        leg.close()
        await asyncio.wait([task])
        await asyncio.sleep(0)
        assert task.cancelled()
        assert told == [task]

    on_loop(case)


def test_a_connection_that_was_made_is_not_given_up() -> None:
    async def case() -> None:
        leg = Leg()
        task: asyncio.Task[Exchange] = asyncio.get_running_loop().create_task(cast(Any, asyncio.sleep(0)))
        leg.connecting(task, lambda _: leg.connected())
        await task
        await asyncio.sleep(0)
        leg.close()
        assert not task.cancelled()

    on_loop(case)
