"""shared/redis_bus.py: who is alive and who hears whom, over a real Redis, which is killed, frozen and restarted."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.fakes.gateway import run
from tests.fakes.redis import RedisServer
from tidegate.errors import ConfigError
from tidegate.shared.bus import MAX_MESSAGE
from tidegate.shared.options import SharedOptions
from tidegate.shared.redis_bus import DEAF, YOUNG, Members, RedisBus, _first_of

PATIENCE = 20.0


class Member:
    """A process on the bus, and what it heard."""

    def __init__(self, server: RedisServer, options: SharedOptions) -> None:
        self.later = 0.0
        self.bus = RedisBus(server.url, options, clock=lambda: asyncio.get_running_loop().time() + self.later)
        self.heard: list[bytes] = []

    def start(self) -> None:
        self.bus.start(self.heard.append)

    @property
    def knows(self) -> set[str]:
        return set(self.bus.others)


@asynccontextmanager
async def several(server: RedisServer, count: int = 2, **options: object) -> AsyncIterator[list[Member]]:
    """They know one another."""
    given: dict[str, object] = {"prefix": uuid.uuid4().hex, "redis_timeout": PATIENCE, "lease": 3600.0, **options}
    members = [Member(server, SharedOptions(**given)) for _ in range(count)]  # type: ignore[arg-type]
    try:
        for member in members:
            member.start()
        await until(lambda: acquainted(members))
        yield members
    finally:
        await asyncio.gather(*(member.bus.close() for member in members))


def acquainted(members: Sequence[Member]) -> bool:
    tags = {member.bus.tag for member in members}
    return all(member.knows == tags - {member.bus.tag} for member in members)


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
async def test_a_message_comes_to_whom_it_was_sent_and_the_sender_knows_who_listens(server: RedisServer) -> None:
    async with several(server, 3) as (one, two, three):
        assert await one.bus.send((two.bus.tag, "00000000"), b"to two") == {two.bus.tag}
        assert await one.bus.send((two.bus.tag, three.bus.tag), b"to both") == {two.bus.tag, three.bus.tag}
        assert await one.bus.send((), b"to nobody") == set()
        await until(lambda: two.heard == [b"to two", b"to both"] and three.heard == [b"to both"])
        assert one.heard == []


@on_loop
async def test_names_are_told_with_the_tags(server: RedisServer) -> None:
    async with several(server) as (one, two):
        assert one.bus.others == {two.bus.tag: two.bus.name}
        assert two.bus.name.endswith(f"-{two.bus.tag[:4]}")


@on_loop
async def test_whoever_comes_or_leaves_is_known_at_once(server: RedisServer) -> None:
    """Their leases last for an hour, and nobody looks before the beat is over: somebody has to say it."""
    async with several(server, 3) as (one, two, three):
        await three.bus.close()
        await until(lambda: acquainted((one, two)))


@on_loop
async def test_whoever_is_killed_is_alive_until_its_lease_is_over_but_listens_no_more(server: RedisServer) -> None:
    async with several(server, lease=1.0) as (one, two):
        await asyncio.sleep(1.5)  # alive, it renews its lease
        assert one.knows == {two.bus.tag}
        assert two.bus._running is not None
        two.bus._running.cancel()  # as a killed process does
        await asyncio.gather(two.bus._running, return_exceptions=True)
        assert await one.bus.send(one.knows, b"?") == set()
        await until(lambda: one.knows == set())


@on_loop
async def test_they_meet_again_when_redis_is_back(server: RedisServer) -> None:
    async with several(server) as (one, two):
        await until(lambda: one.bus.complete)
        server.kill()
        await until(lambda: not one.bus.complete and not two.bus.complete)
        assert await one.bus.send(one.knows, b"lost") == set()
        assert one.knows == {two.bus.tag}, "nobody has said that it is gone"
        server.start()
        await until(lambda: one.bus.complete and two.bus.complete)
        assert acquainted((one, two))
        assert await one.bus.send(one.knows, b"found") == {two.bus.tag}
        await until(lambda: two.heard == [b"found"])
        assert (one.bus.losses, two.bus.losses) == (1, 1)


@on_loop
async def test_a_redis_that_is_not_there_is_found_when_it_comes(server: RedisServer) -> None:
    server.kill()
    options = SharedOptions(prefix=uuid.uuid4().hex, redis_timeout=PATIENCE)
    one, two = Member(server, options), Member(server, options)
    one.start()
    two.start()
    await asyncio.sleep(0.1)
    assert not one.bus.complete
    assert await one.bus.send((two.bus.tag,), b"?") == set()
    server.start()
    await until(lambda: acquainted((one, two)))
    await asyncio.gather(one.bus.close(), two.bus.close())


@on_loop
async def test_a_frozen_redis_is_away_and_the_next_answer_is_to_the_next_call(server: RedisServer) -> None:
    async with several(server, redis_timeout=0.3) as (one, two):
        await until(lambda: one.bus.complete)
        server.freeze()
        sending = asyncio.ensure_future(one.bus.send((two.bus.tag, "00000000"), b"late"))
        await asyncio.sleep(0.05)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await until(lambda: not one.bus.complete)
        server.thaw()
        await until(lambda: one.bus.complete and two.bus.complete)
        for _ in range(20):
            assert await one.bus.send((two.bus.tag,), b"now") == {two.bus.tag}


@on_loop
async def test_a_subscription_that_was_lost_is_made_again(server: RedisServer) -> None:
    async with several(server) as (one, two):
        with server.client() as client:
            client.client_kill_filter(_type="pubsub")

        async def listens() -> bool:
            return await one.bus.send((two.bus.tag,), b"again") == {two.bus.tag}

        await until(lambda: bool(one.bus.losses and two.bus.losses))
        await until(listens)
        await until(lambda: b"again" in two.heard)


@on_loop
async def test_a_subscription_that_hears_nothing_is_made_again(server: RedisServer) -> None:
    """The connection is there, and what goes into it does not come out: nobody is told of that but by silence."""
    async with several(server) as (one, two):
        with server.client() as client:
            before = {each["id"] for each in client.client_list(_type="pubsub")}
            one.later = 2 * DEAF

            def anew() -> bool:
                now = {each["id"] for each in client.client_list(_type="pubsub")}
                return len(now) == 2 and len(now - before) == 1

            await until(anew)

        async def listens() -> bool:
            return await two.bus.send((one.bus.tag,), b"again") == {one.bus.tag}

        await until(listens)


@on_loop
async def test_what_is_too_large_or_no_member_is_passed_over(server: RedisServer) -> None:
    async with several(server) as (one, two):
        with server.client() as client:
            prefix = one.bus._prefix
            for member in ("zzzzzzzz", "0", "00000000"):
                client.zadd(f"{prefix}m:until", {member: 9e15})
            client.hset(f"{prefix}m:names", "00000000", "n" * 1000)
        await one.bus.send((two.bus.tag,), b"x" * (MAX_MESSAGE + 1))
        await one.bus.send((two.bus.tag,), b"small")
        await until(lambda: two.heard == [b"small"])
        await until(lambda: len(two.knows) == 2)
        assert two.bus.others["00000000"] == "n" * 64


@on_loop
async def test_leaving_needs_no_redis(server: RedisServer) -> None:
    async with several(server) as (one, _):
        server.freeze()
        one.bus._options = SharedOptions(redis_timeout=0.1)
        closing = asyncio.create_task(one.bus.close())
        await asyncio.sleep(0.05)
        server.kill()
        await closing


@pytest.mark.parametrize("first", ["failure", "cancellation"])
def test_a_failure_does_not_hide_a_cancellation(first: str) -> None:
    """Leaving while Redis dies: the task would look for Redis for ever, and whoever closes it wait for that."""

    async def case() -> None:
        lost = asyncio.Event()

        async def listen() -> None:
            try:
                await lost.wait()
            finally:
                raise ConnectionError

        task = asyncio.create_task(_first_of(listen(), asyncio.sleep(3600)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if first == "failure":
            lost.set()
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(case())


def test_one_that_was_never_started_closes(own_redis: RedisServer) -> None:
    run(RedisBus(own_redis.url, SharedOptions()).close())


@pytest.mark.parametrize("url", ["http://x", "localhost:6379", ""])
def test_an_address_that_makes_no_sense_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="must be redis://"):
        RedisBus(url, SharedOptions())


LEASE, OLD = 10.0, 100.0
BOTH = {"a": "A", "b": "B"}


def members() -> Members:
    made = Members(LEASE)
    made.take("1", OLD, BOTH, 0.0)
    return made


def test_who_is_in_the_table_is_alive_and_who_is_not_is_gone() -> None:
    made = members()
    assert made.others == BOTH
    made.take("1", OLD, {"b": "B"}, 1.0)
    assert made.others == {"b": "B"}


def test_who_was_in_a_table_that_was_lost_counts_for_a_lease_longer() -> None:
    made = members()
    made.take("2", 0.0, {}, 1.0)
    assert made.others == BOTH
    made.take("2", 5.0, {"b": "New"}, 6.0)
    assert made.others == {"a": "A", "b": "New"}
    made.take("2", 8.9, {"b": "New"}, 9.9)
    assert made.others == {"a": "A", "b": "New"}
    made.take("2", 9.0, {"b": "New"}, 10.0)
    assert made.others == {"b": "New"}


def test_one_that_came_back_may_leave() -> None:
    made = members()
    made.take("2", 0.0, BOTH, 1.0)
    made.take("2", 1.0, {"b": "B"}, 2.0)
    assert made.others == {"b": "B"}


def test_a_table_that_is_lost_again_makes_nobody_live_longer() -> None:
    made = members()
    for at in range(1, 10):
        made.take(str(at + 1), 0.0, {}, float(at))
    assert made.others == BOTH
    made.take("99", 0.0, {}, LEASE)
    assert made.others == {}


def test_a_new_table_may_not_have_everybody_yet() -> None:
    made = Members(LEASE)
    assert made.young
    made.take("1", YOUNG - 0.1, {}, 0.0)
    assert made.young
    made.take("1", YOUNG, {}, 0.1)
    assert not made.young
