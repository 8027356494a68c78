"""shared/limits.py: limits over a real Redis, which is killed, frozen and restarted."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes.gateway import run
from tests.fakes.redis import RedisServer
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
from tidegate.errors import ConfigError, Overloaded
from tidegate.policy.limits import Ask, Grant, Meter, Refusal
from tidegate.shared.limits import RedisScript, SharedGrant, SharedLimits
from tidegate.shared.options import SharedOptions

PATIENCE = 20.0


class OverRedis:
    """The rules' table: calls that wait."""

    def __init__(self, url: str) -> None:
        self.now = START
        self._runner = asyncio.Runner()
        options = SharedOptions(prefix=uuid.uuid4().hex, redis_timeout=PATIENCE, lease=3600)
        self.limits = self._runner.run(self._made(url, options))

    async def _made(self, url: str, options: SharedOptions) -> SharedLimits:
        return SharedLimits(options, RedisScript(url, options), clock=lambda: self.now, now=lambda: self.now)

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

    def close(self) -> None:
        self._runner.run(self.limits.close())
        self._runner.close()


class TestOverRedis(Rules):
    @pytest.fixture
    def table(self, shared_redis: RedisServer) -> Iterator[OverRedis]:
        table = OverRedis(shared_redis.url)
        yield table
        assert table.limits.fallbacks == 0
        table.close()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limit=st.integers(1, 60), taken=steps)
def test_any_minute_holds_the_limit_and_waits_are_true(shared_redis: RedisServer, limit: int, taken: Steps) -> None:
    table = OverRedis(shared_redis.url)
    check_against_a_list(table, limit, taken)
    assert table.limits.fallbacks == 0
    table.close()


@asynccontextmanager
async def several(server: RedisServer, count: int = 2, **options: object) -> AsyncIterator[list[SharedLimits]]:
    """Gateways that share one Redis."""
    given: dict[str, object] = {"prefix": uuid.uuid4().hex, "redis_timeout": PATIENCE, **options}
    made = SharedOptions(**given)  # type: ignore[arg-type]
    limits = [SharedLimits(made, RedisScript(server.url, made)) for _ in range(count)]
    try:
        yield limits
    finally:
        await asyncio.gather(*(each.close() for each in limits))


def on_loop(test: Callable[[RedisServer], Coroutine[Any, Any, None]]) -> Callable[[RedisServer], None]:
    """Run it on a Redis of its own, which it may kill."""

    def running(own_redis: RedisServer) -> None:
        run(test(own_redis))

    running.__name__, running.__doc__ = test.__name__, test.__doc__
    return running


async def until(condition: Callable[[], Awaitable[bool] | bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            held = condition()
            if held if isinstance(held, bool) else await held:
                return
            await asyncio.sleep(0.01)


@on_loop
async def test_two_processes_together_hold_the_limit(server: RedisServer) -> None:
    async with several(server, 3) as limits:
        meters = [requests(40), streams(25), tokens(10_000)]
        decisions = await asyncio.gather(*(limits[number % 3].admit(meters, ask()) for number in range(100)))
        grants = [(number % 3, each) for number, each in enumerate(decisions) if isinstance(each, SharedGrant)]
        assert len(grants) == 25
        for who, grant in grants:
            limits[who].settle(grant, 50, 0)
        await asyncio.gather(*(task for each in limits for task in each._tasks))
        decisions = await asyncio.gather(*(limits[number % 3].admit(meters, ask()) for number in range(100)))
        assert sum(isinstance(each, SharedGrant) for each in decisions) == 15


@on_loop
async def test_slots_of_a_process_that_was_killed_come_back_with_its_lease(server: RedisServer) -> None:
    async with several(server, 2, lease=0.4) as (one, other):
        granted(await one.admit([streams(1), budget(10, resets=None)], ask(0, 10, 0, 1.0)))
        assert isinstance(await other.admit([streams(1)], ask()), Refusal)
        assert isinstance(await other.admit([budget(10)], ask()), Refusal)
        await asyncio.sleep(1.0)  # alive, it renews its lease
        assert isinstance(await other.admit([streams(1)], ask()), Refusal)
        assert one._watching is not None
        one._watching.cancel()  # as a killed process does

        async def free() -> bool:
            return isinstance(await other.admit([streams(1)], ask()), SharedGrant)

        await until(free)
        granted(await other.admit([budget(10)], ask()))


@on_loop
async def test_what_a_closed_process_held_is_there_at_once(server: RedisServer) -> None:
    async with several(server, 2, lease=3600) as (one, other):
        granted(await one.admit([streams(1)], ask()))
        await one.close()
        granted(await other.admit([streams(1)], ask()))


@on_loop
async def test_while_redis_is_away_each_process_counts_for_itself_and_it_heals(server: RedisServer) -> None:
    async with several(server) as (one, other):
        before = granted(await one.admit([streams(2), requests(9)], ask()))
        server.kill()
        away = granted(await one.admit([streams(2), requests(9)], ask()))
        assert one.away
        assert one.fallbacks == 1
        # What was granted over Redis is counted here too.
        assert isinstance(await one.admit([streams(2), requests(9)], ask()), Refusal)
        assert isinstance(before, SharedGrant)
        one.settle(before, 10, 0)
        third = granted(await one.admit([streams(2), requests(9)], ask()))
        server.start()
        await until(lambda: not one.away)
        # It is empty, and is told again what is live.
        assert isinstance(await other.admit([streams(2)], ask()), Refusal)
        for grant in (away, third):
            assert isinstance(grant, SharedGrant)
            one.settle(grant, 10, 0)
        await asyncio.gather(*one._tasks)
        granted(await other.admit([streams(1)], ask()))


@on_loop
async def test_closed_it_refuses_while_redis_is_away(server: RedisServer) -> None:
    async with several(server, when_away="closed") as (one, _):
        grant = granted(await one.admit([streams(5), tokens(1000)], ask(10, 10)))
        server.kill()
        with pytest.raises(Overloaded) as caught:
            await one.admit([streams(5)], ask())
        assert (caught.value.status, caught.value.code) == (503, "limits_unavailable")
        assert isinstance(grant, SharedGrant)
        with pytest.raises(Overloaded):
            await one.more(grant, 100)
        server.start()
        await until(lambda: not one.away)
        granted(await one.admit([streams(5)], ask()))


@on_loop
async def test_a_restart_of_redis_is_not_noticed(server: RedisServer) -> None:
    async with several(server, when_away="closed") as (one, _):
        grants = [granted(await one.admit([streams(3), budget(100)], ask(0, 10, 0, 1.0))) for _ in range(2)]
        server.kill()
        server.start()
        granted(await one.admit([streams(3), budget(100)], ask(0, 10, 0, 1.0)))
        assert isinstance(await one.admit([streams(3)], ask()), Refusal)
        assert granted(await one.admit([budget(100)], ask(0, 500, 0, 1.0))).charged == [70]
        assert one.fallbacks == 0
        for grant in grants:
            assert isinstance(grant, SharedGrant)
            one.settle(grant, 0, 5)
        await asyncio.gather(*one._tasks)
        assert granted(await one.admit([budget(100)], ask(0, 500, 0, 1.0))).charged == [10]


@on_loop
async def test_a_redis_that_lost_its_data_is_told_again_before_the_next_decision(server: RedisServer) -> None:
    async with several(server) as (one, _):
        granted(await one.admit([streams(1)], ask()))
        with server.client() as client:
            client.flushall()
        assert isinstance(await one.admit([streams(1)], ask()), Refusal)


@on_loop
async def test_what_a_frozen_redis_does_later_has_no_effect(server: RedisServer) -> None:
    async with several(server, redis_timeout=0.3) as (one, other):
        granted(await one.admit([streams(3)], ask()))
        server.freeze()
        grant = granted(await one.admit([streams(3)], ask()))  # asked of Redis, then granted without it
        assert isinstance(grant, SharedGrant)
        assert grant.local
        server.thaw()
        await until(lambda: not one.away)
        granted(await other.admit([streams(3)], ask()))
        assert isinstance(await other.admit([streams(3)], ask()), Refusal)


@on_loop
async def test_a_request_that_is_cancelled_while_it_asks_leaves_no_slot(server: RedisServer) -> None:
    async with several(server) as (one, other):
        granted(await one.admit([streams(2)], ask()))
        server.freeze()
        asking = asyncio.ensure_future(one.admit([streams(2)], ask()))
        await asyncio.sleep(0.1)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        server.thaw()
        granted(await one.admit([streams(2)], ask()))
        assert isinstance(await other.admit([streams(2)], ask()), Refusal)


@on_loop
async def test_streams_that_begin_and_end_while_it_heals_are_told_right(server: RedisServer) -> None:
    async with several(server) as (one, other):
        old = granted(await one.admit([streams(9)], ask()))
        server.kill()
        granted(await one.admit([streams(9)], ask()))
        assert isinstance(old, SharedGrant)
        tell = one._tell
        seen: list[int] = []

        async def telling(grants: Sequence[SharedGrant]) -> None:
            await tell(grants)
            if not seen:
                one.settle(old, 0, 0)
                granted(one._admit_alone([streams(9)], ask()))
            seen.append(len(grants))

        one._tell = telling  # type: ignore[method-assign]
        server.start()
        await until(lambda: not one.away)
        assert seen == [2, 1]
        assert isinstance(await other.admit([streams(2)], ask()), Refusal)
        granted(await other.admit([streams(3)], ask()))


@on_loop
async def test_more_tokens_come_from_redis_and_without_it_from_here(server: RedisServer) -> None:
    async with several(server) as (one, _):
        grant = granted(await one.admit([tokens(100)], ask(10, 10)))
        assert isinstance(grant, SharedGrant)
        assert await one.more(grant, 50) == 50
        server.kill()
        assert await one.more(grant, 70) == 70
        assert await one.more(grant, 100) == 90
        assert isinstance(await one.more(grant, 100), Refusal)


@pytest.mark.parametrize("url", ["http://x", "localhost:6379", ""])
def test_an_address_that_makes_no_sense_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="must be redis://"):
        RedisScript(url, SharedOptions())


@on_loop
async def test_no_refused_prompt_asks_redis(server: RedisServer) -> None:
    async with several(server) as (one, _):
        assert refused(await one.admit([tokens(5)], ask(6, 1))).never
        assert not one._up


def test_without_the_client_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ConfigError, match=r"pip install 'tidegate\[redis\]'"):
        RedisScript("redis://127.0.0.1", SharedOptions())


def test_the_password_of_redis_is_in_no_message() -> None:
    with pytest.raises(ConfigError) as caught:
        RedisScript("rdis://:hunter2@127.0.0.1", SharedOptions())
    assert "hunter2" not in caught.value.message
