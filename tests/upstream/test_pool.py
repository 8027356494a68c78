"""upstream/pool.py: kept, counted, limited; whoever is cancelled gives back what it holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from tests.fakes.gateway import until
from tidegate.upstream.connection import Connection
from tidegate.upstream.pool import Pool


class Fake:
    """A connection that is open until somebody aborts it."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.lost = False
        self.idle_since = 0.0
        self.closing = False
        self.transport = self

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self._gone)

    def _gone(self) -> None:
        self.lost = True
        self.pool.closed(cast(Connection, self))


class Dialled:
    """A pool, and what happens when it connects."""

    def __init__(self, *, limit: int = 2, max_idle: int = 2, expiry: float = 60.0) -> None:
        self.made = 0
        self.fails: Exception | None = None
        self.stalls: asyncio.Event | None = None
        self.pool = Pool(self._connect, limit=limit, max_idle=max_idle, expiry=expiry)

    async def _connect(self) -> Connection:
        if self.stalls is not None:
            await self.stalls.wait()
        if self.fails is not None:
            raise self.fails
        self.made += 1
        return cast(Connection, Fake(self.pool))


def run(case: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(case(), 200))


async def turns(count: int = 4) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_the_connection_used_last_is_taken_first() -> None:
    async def case() -> None:
        dialled = Dialled()
        first, second = await dialled.pool.acquire(), await dialled.pool.acquire()
        dialled.pool.release(first)
        dialled.pool.release(second)
        assert dialled.pool.idle == 2
        assert await dialled.pool.acquire() is second
        assert dialled.pool.take_idle() is first
        assert dialled.pool.take_idle() is None
        assert dialled.made == dialled.pool.open == 2
        await dialled.pool.close()
        assert dialled.pool.open == 0

    run(case)


@pytest.mark.parametrize("how", ["lost", "closing"])
def test_a_kept_connection_that_has_died_is_not_taken(how: str) -> None:
    async def case() -> None:
        dialled = Dialled()
        dead = await dialled.pool.acquire()
        dialled.pool.release(dead)
        setattr(dead, how, True)
        assert dialled.pool.take_idle() is None
        assert await dialled.pool.acquire() is not dead

    run(case)


def test_over_the_limit_the_next_free_connection_is_waited_for_in_order() -> None:
    async def case() -> None:
        dialled = Dialled(limit=1)
        only = await dialled.pool.acquire()
        waiting = [asyncio.create_task(dialled.pool.acquire()) for _ in range(2)]
        await turns()
        assert dialled.pool.waiting == 2
        dialled.pool.release(only)
        assert await waiting[0] is only
        only.abort()
        assert await waiting[1] is not only
        assert (dialled.made, dialled.pool.open, dialled.pool.waiting) == (2, 1, 0)
        await dialled.pool.close()

    run(case)


def test_a_connection_that_dies_between_giving_and_taking_is_replaced() -> None:
    async def case() -> None:
        dialled = Dialled(limit=1)
        only = await dialled.pool.acquire()
        waiting = asyncio.create_task(dialled.pool.acquire())
        await turns()
        dialled.pool.release(only)
        only.abort()
        assert await waiting is not only
        await dialled.pool.close()

    run(case)


def test_a_fresh_connection_takes_the_place_of_a_kept_one() -> None:
    async def case() -> None:
        dialled = Dialled(limit=1)
        kept = await dialled.pool.acquire()
        dialled.pool.release(kept)
        assert await dialled.pool.acquire(fresh=True) is not kept
        assert dialled.pool.open == 1
        await dialled.pool.close()

    run(case)


@pytest.mark.parametrize("then", ["release", "abort", "nothing"])
@pytest.mark.parametrize("first", [True, False], ids=["given first", "cancelled first"])
def test_a_waiter_that_is_cancelled_in_the_turn_of_its_gift_gives_it_back(first: bool, then: str) -> None:
    """And its cancellation stays a cancellation."""

    async def case() -> None:
        dialled = Dialled(limit=1)
        only = await dialled.pool.acquire()
        waiting = asyncio.create_task(dialled.pool.acquire())
        await turns()

        def give() -> None:
            if then == "release":
                dialled.pool.release(only)
            elif then == "abort":
                cast(Fake, only)._gone()

        if first:
            give()
        waiting.cancel()
        if not first:
            give()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert dialled.pool.waiting == 0
        assert dialled.pool.open == (0 if then == "abort" else 1)
        if then == "nothing":
            dialled.pool.release(only)
        assert dialled.pool.idle == (0 if then == "abort" else 1)
        await asyncio.wait_for(dialled.pool.acquire(), 60)
        await dialled.pool.close()

    run(case)


def test_a_place_comes_back_when_connecting_fails_or_is_cancelled() -> None:
    async def case() -> None:
        dialled = Dialled(limit=1)
        dialled.fails = OSError("no")
        with pytest.raises(OSError, match="no"):
            await dialled.pool.acquire()
        assert dialled.pool.open == 0
        dialled.fails, dialled.stalls = None, asyncio.Event()
        connecting = asyncio.create_task(dialled.pool.acquire())
        await turns()
        waiting = asyncio.create_task(dialled.pool.acquire())
        await turns()
        assert (dialled.pool.open, dialled.pool.waiting) == (1, 1)
        connecting.cancel()
        dialled.stalls.set()
        assert await waiting
        assert dialled.pool.open == 1
        await dialled.pool.close()

    run(case)


def test_a_connection_that_closed_before_anybody_looked_is_no_connection() -> None:
    async def case() -> None:
        pool: Pool

        async def connect() -> Connection:
            made = Fake(pool)
            made.lost = True
            return cast(Connection, made)

        pool = Pool(connect, limit=1, max_idle=1, expiry=1)
        with pytest.raises(ConnectionResetError):
            await pool.acquire()
        assert pool.open == 0

    run(case)


def test_no_more_than_max_idle_are_kept_and_the_oldest_goes() -> None:
    async def case() -> None:
        dialled = Dialled(limit=3, max_idle=2)
        three = [await dialled.pool.acquire() for _ in range(3)]
        for each in three:
            dialled.pool.release(each)
        await turns()
        assert (dialled.pool.idle, dialled.pool.open) == (2, 2)
        assert cast(Fake, three[0]).closing
        await dialled.pool.close()
        none = Dialled(max_idle=0)
        only = await none.pool.acquire()
        none.pool.release(only)
        assert cast(Fake, only).closing
        await none.pool.close()

    run(case)


def test_what_was_not_used_for_its_expiry_is_closed_and_no_timer_is_left() -> None:
    async def case() -> None:
        dialled = Dialled(expiry=0.03)
        one, two = await dialled.pool.acquire(), await dialled.pool.acquire()
        dialled.pool.release(one)
        await asyncio.sleep(0.02)
        dialled.pool.release(two)
        await until(lambda: not dialled.pool.open)
        assert dialled.pool._timer is None
        await dialled.pool.close()

    run(case)


def test_a_connection_that_was_being_made_when_the_pool_closed_is_closed_too() -> None:
    async def case() -> None:
        dialled = Dialled()
        kept = await dialled.pool.acquire()
        dialled.pool.release(kept)
        dialled.stalls = asyncio.Event()
        late = asyncio.create_task(dialled.pool.acquire(fresh=True))
        await turns()
        await dialled.pool.close()
        dialled.stalls.set()
        assert cast(Fake, await late).closing
        await turns()
        assert dialled.pool.open == 0
        late_release = Fake(dialled.pool)
        dialled.pool.release(cast(Connection, late_release))
        assert late_release.closing

    run(case)
