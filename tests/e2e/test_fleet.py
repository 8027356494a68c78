"""Two gateway processes behind HAProxy, with one Redis and one PostgreSQL: any of them answers for both.

No time decides here; how long a stop across replicas takes is measured by ``python -m bench.fleet``.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest

from tests.e2e.faces import SSE, assert_told, question
from tests.e2e.site import Site, admin
from tests.fakes.gateway import run
from tests.fakes.limited import ADMIN, bearing
from tests.fakes.reader import Reader, ask, request_bytes
from tidegate.shared.options import SharedOptions
from tidegate.shared.redis_bus import BEAT
from tidegate.wire.sse import SseDecoder

LONG, SHORT = "m", "m?tokens=3"
PATIENCE = 60.0


@pytest.fixture(scope="module")
def running() -> Iterator[Site]:
    with ExitStack() as stack:
        site = Site(stack)
        site.start()
        yield site


@pytest.fixture
def site(running: Site) -> Site:
    """Whole and empty: every test leaves it so, or the next one says that it did not."""
    run(settled(running))
    return running


async def settled(site: Site) -> None:
    for port in (*site.ports, site.port):
        await until(site, port, lambda listed: not listed["data"] and "partial" not in listed)


async def listed(port: int) -> dict[str, Any]:
    reader = await admin(port, "/v1/streams")
    assert reader.status == 200, reader.body
    answer: dict[str, Any] = json.loads(reader.body)
    return answer


async def until(site: Site, port: int, wanted: Any) -> dict[str, Any]:
    """A list that is as it should be."""
    last: Any = None
    try:
        async with asyncio.timeout(PATIENCE):
            while not wanted(last := await listed(port)):  # noqa: ASYNC110 - the list is another process's
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"the list never was so: {last}\n{site.log()[-3000:]}") from None
    return dict(last)


async def opened(port: int, key: str, model: str = LONG) -> Reader:
    reader = await Reader.connect(port)
    reader.send(request_bytes(SSE, json.dumps(question(model)).encode(), bearing(key)))
    assert await reader.head() == 200, await reader.rest()
    await reader.until(b'"content":')
    return reader


@asynccontextmanager
async def live(site: Site, key: str, count: int) -> AsyncIterator[dict[str, Reader]]:
    """Long streams through HAProxy, by id; who is still there at the end leaves."""
    readers = [await opened(site.port, key) for _ in range(count)]
    try:
        yield {reader.headers["x-stream-id"]: reader for reader in readers}
    finally:
        for reader in readers:
            await reader.close()


async def by_port(site: Site, ids: Iterable[str]) -> dict[int, list[str]]:
    """Streams by the replica that has them."""
    rows = (await listed(site.port))["data"]
    assert {row["id"] for row in rows} == set(ids)
    return {port: [row["id"] for row in rows if row["replica"] == site.name(port)] for port in site.ports}


async def still_streaming(reader: Reader) -> None:
    """Tokens come that had not come before."""
    for _ in range(3):
        assert await reader.chunk(), "the stream ended"


def test_a_balancer_deals_out_streams_and_every_replica_tells_of_all(site: Site) -> None:
    async def case() -> None:
        key = site.key()
        async with live(site, key, 6) as readers:
            here = await by_port(site, readers)
            assert [len(each) for each in here.values()] == [3, 3], "round robin"
            for port in (*site.ports, site.port):
                found = await listed(port)
                assert {row["id"] for row in found["data"]} == readers.keys()
                assert len({row["replica"] for row in found["data"]}) == 2
                created = [row["created"] for row in found["data"]]
                assert created == sorted(created)
                for stream in readers:
                    one = await admin(port, f"/v1/streams/{stream}")
                    assert json.loads(one.body)["state"] == "streaming"
        await settled(site)

    run(case())


def test_the_live_table_of_any_replica_shows_streams_of_all_come_and_end(site: Site) -> None:
    async def case() -> None:
        key = site.key()
        watchers = [await table_of(port) for port in (*site.ports, site.port)]
        async with live(site, key, 4) as readers:
            for watcher in watchers:
                for stream in readers:
                    await watcher.until(stream.encode())
            for stream in readers:
                assert (await admin(site.port, f"/v1/streams/{stream}", "DELETE")).status == 200
            for watcher in watchers:
                await ended(watcher, set(readers))
        for watcher in watchers:
            await watcher.close()

    async def ended(watcher: Reader, wanted: set[str]) -> None:
        async with asyncio.timeout(PATIENCE):
            while wanted - ended_in(watcher):
                assert await watcher.chunk()

    run(case())


async def table_of(port: int) -> Reader:
    watcher = await Reader.connect(port)
    watcher.send(request_bytes("/v1/streams/events", b"", bearing(ADMIN), "GET"))
    assert await watcher.head() == 200
    return watcher


def ended_in(watcher: Reader) -> set[str]:
    """Streams that the table said have ended."""
    whole = watcher.body[: watcher.body.rfind(b"\n\n") + 2]
    told = [event for event in SseDecoder(max_event=1 << 24).feed(whole) if event.event == "ended"]
    return {row["id"] for event in told for row in json.loads(event.data)}


def test_a_stream_is_stopped_and_cancelled_through_any_replica(site: Site) -> None:
    async def case() -> None:
        key = site.key()
        async with live(site, key, 4) as readers:
            for port, streams in (await by_port(site, readers)).items():
                (other,) = set(site.ports) - {port}
                stopped, cancelled = streams
                answer = await ask(other, f"/v1/streams/{stopped}/stop", None, bearing(key))
                assert json.loads(answer.body)["reason"] == "soft_stop"
                await readers[stopped].rest()
                assert (readers[stopped].done, readers[stopped].finish) == (True, "stop")
                answer = await ask(other, f"/v1/streams/{cancelled}", None, bearing(key), "DELETE")
                assert json.loads(answer.body)["reason"] == "client_cancel"
                assert "replica" not in json.loads(answer.body), "names of machines are the admin's"
                await readers[cancelled].rest()
                assert_told(readers[cancelled], "client_cancel", text=readers[cancelled].text)
                again = await ask(other, f"/v1/streams/{stopped}", None, bearing(key), "DELETE")
                assert json.loads(again.body)["reason"] == "soft_stop"
                report = {"stopped": True, "first_paint": 0.2}
                seen = await ask(other, f"/v1/streams/{stopped}/seen", report, bearing(key))
                assert seen.status == 204
                one = await ask(port, f"/v1/streams/{stopped}", None, bearing(key), "GET")
                assert json.loads(one.body)["reader"] == report

    run(case())


def test_a_key_reaches_its_own_streams_only_wherever_it_asks(site: Site) -> None:
    async def case() -> None:
        key, stranger = site.key(), site.key()
        async with live(site, key, 2) as readers:
            for port in site.ports:
                assert json.loads((await ask(port, "/v1/streams", None, bearing(stranger), "GET")).body)["data"] == []
                mine = json.loads((await ask(port, "/v1/streams", None, bearing(key), "GET")).body)
                assert {row["id"] for row in mine["data"]} == readers.keys()
                told = set()
                for stream in (*readers, "0" * 32, "nonsense"):
                    for path, method in ((stream, "GET"), (stream, "DELETE"), (f"{stream}/stop", "POST")):
                        refused = await ask(port, f"/v1/streams/{path}", None, bearing(stranger), method)
                        told.add((refused.status, refused.body))
                assert len(told) == 1, "a foreign stream is as none"
                assert told.pop()[0] == 404
            for reader in readers.values():
                await still_streaming(reader)

    run(case())


def test_limits_hold_exactly_across_replicas(site: Site) -> None:
    async def case() -> None:
        key = site.key(concurrent=3)
        readers = [await Reader.connect(site.port) for _ in range(12)]
        assert await asked(readers, LONG, key) == {200: 3, 429: 9}
        for port in site.ports:
            assert (await ask(port, SSE, question(LONG), bearing(key))).status == 429
        left = [reader for reader in readers if reader.status == 200]
        await left.pop().close()
        async with live_when_let_in(site, key, 1):
            for port in site.ports:
                assert (await ask(port, SSE, question(LONG), bearing(key))).status == 429
        for reader in left:
            await reader.close()

        readers = [await Reader.connect(site.port) for _ in range(40)]
        assert await asked(readers, SHORT, site.key(rpm=12)) == {200: 12, 429: 28}

    run(case())


async def asked(readers: list[Reader], model: str, key: str) -> Counter[int]:
    """All at once; who is refused goes, and so does whose answer is short."""
    for reader in readers:
        reader.send(request_bytes(SSE, json.dumps(question(model)).encode(), bearing(key)))
    heads = Counter(await asyncio.gather(*(reader.head() for reader in readers)))
    for reader in readers:
        if reader.status != 200 or model == SHORT:
            await reader.rest()
            await reader.close()
    return heads


def test_only_readers_of_a_replica_that_is_killed_notice(site: Site) -> None:
    """Its streams are cut, never said to be complete; others go on, new ones are let in, and its slots come back."""

    async def case() -> None:
        key, other = site.key(concurrent=6), site.key()
        async with live(site, key, 6) as readers:
            here = await by_port(site, readers)
            dead, alive = site.ports
            site.kill(dead)
            for _ in range(10):
                short = await opened(site.port, other, SHORT)
                await short.rest()
                assert short.done, "somebody else noticed"
                await short.close()
            for stream in here[dead]:
                await readers[stream].rest()
                assert not readers[stream].whole
                assert not readers[stream].done
                assert readers[stream].finish is None
            for stream in here[alive]:
                await still_streaming(readers[stream])
            gone = await ask(alive, f"/v1/streams/{here[dead][0]}/stop", None, bearing(key))
            assert gone.status in (503, 404), "silent, until its lease is over"
            found = await until(site, alive, lambda found: "partial" not in found)
            assert {row["id"] for row in found["data"]} == set(here[alive])
            gone = await ask(alive, f"/v1/streams/{here[dead][0]}/stop", None, bearing(key))
            assert gone.status == 404
            async with live_when_let_in(site, key, 3):
                refused = await ask(alive, SSE, question(LONG), bearing(key))
                assert refused.status == 429, "three of its slots came back, and no more"
        await asyncio.to_thread(site.serve, dead)
        await settled(site)

    run(case())


@asynccontextmanager
async def live_when_let_in(site: Site, key: str, count: int) -> AsyncIterator[None]:
    """Streams that may have to wait for slots."""
    readers: list[Reader] = []
    async with asyncio.timeout(PATIENCE):
        while len(readers) < count:
            reader = await Reader.connect(site.port)
            reader.send(request_bytes(SSE, json.dumps(question(LONG)).encode(), bearing(key)))
            if await reader.head() == 200:
                readers.append(reader)
                continue
            await reader.rest()
            await reader.close()
            await asyncio.sleep(0.05)
    yield
    for reader in readers:
        await reader.close()


def test_what_a_dead_replica_held_is_free_within_fifteen_seconds() -> None:
    assert SharedOptions().lease + BEAT < 15


def test_a_restart_of_redis_cuts_nobody_and_limits_are_exact_after_it(site: Site) -> None:
    async def case() -> None:
        key = site.key(concurrent=4)
        async with live(site, key, 4) as readers:
            here = await by_port(site, readers)
            one, other = site.ports
            site.redis.kill()
            found = await until(site, one, lambda found: found.get("partial"))
            assert {row["id"] for row in found["data"]} == set(here[one])
            silent = await admin(one, f"/v1/streams/{here[other][0]}/stop", "POST")
            assert (silent.status, json.loads(silent.body)["error"]["code"]) == (503, "replica_silent")
            assert silent.headers["retry-after"] == "1"
            assert (await admin(one, f"/v1/streams/{here[one][0]}/stop", "POST")).status == 200
            for stream in (*here[one][1:], *here[other]):
                await still_streaming(readers[stream])
            site.redis.start()
            left = {*here[one][1:], *here[other]}
            for port in site.ports:
                found = await until(site, port, lambda found: "partial" not in found)
                assert {row["id"] for row in found["data"]} == left
            async with live_when_let_in(site, key, 1):
                for port in site.ports:
                    assert (await ask(port, SSE, question(LONG), bearing(key))).status == 429
            for stream in left:
                await still_streaming(readers[stream])

    run(case())


def test_a_restart_of_postgresql_cuts_nobody_and_loses_no_row(site: Site) -> None:
    async def case() -> None:
        key, unknown = site.key(), site.key()
        async with live(site, key, 4) as readers:
            site.postgres.stop()
            for reader in readers.values():
                await still_streaming(reader)
            for port in site.ports:
                short = await ask(port, SSE, question(SHORT), bearing(key))
                assert short.done, "a key that is remembered is good"
                refused = await ask(port, SSE, question(SHORT), bearing(unknown))
                assert (refused.status, refused.body.count(b"keys_unavailable")) == (503, 1)
                assert (await admin(port, "/readyz")).status == 200
            site.postgres.start()
            for stream in readers:
                assert (await admin(site.port, f"/v1/streams/{stream}/stop", "POST")).status == 200
            for reader in readers.values():
                await reader.rest()
                assert reader.done
        async with asyncio.timeout(PATIENCE):
            while await rows_of(site, key) != 6:  # noqa: ASYNC110 - the rows are another process's
                await asyncio.sleep(0.05)
        assert (await ask(site.port, SSE, question(SHORT), bearing(unknown))).done

    run(case())


async def rows_of(site: Site, key: str) -> int:
    """Streams of a key in the ledger."""
    answer = await admin(site.port, "/admin/usage?by=key")
    if answer.status == 503:
        return -1
    assert answer.status == 200, answer.body
    return sum(row["streams"] for row in json.loads(answer.body)["data"] if row["key"] == site.key_id(key))


def test_a_rolling_restart_fails_no_request_and_cuts_no_stream(site: Site) -> None:
    async def case() -> None:
        key = site.key()
        done = asyncio.Event()
        ends: list[Reader] = []

        async def keep_asking() -> None:
            while not done.is_set():
                reader = await ask(site.port, SSE, question(SHORT), bearing(key))
                ends.append(reader)

        asking = [asyncio.create_task(keep_asking()) for _ in range(4)]
        slow = [await opened(site.port, key, "m?tokens=40") for _ in range(4)]
        for port in site.ports:
            site.replicas[port].send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(site.replicas[port].wait, PATIENCE) == 0
            await asyncio.to_thread(site.serve, port)
        done.set()
        await asyncio.gather(*asking)
        for reader in slow:
            await reader.rest()
            await reader.close()
        assert all(reader.done for reader in slow)
        assert len(ends) > 20
        assert [reader.body for reader in ends if not reader.done] == []

    run(case())
