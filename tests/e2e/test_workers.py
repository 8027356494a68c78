"""Two workers as real processes: a rolling reload and a kill under two hundred live streams, limits that are exact over
both, and one answer about everything whichever worker is asked."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, select

from tests.cli.running import alive
from tests.e2e.faces import SSE, question
from tests.fakes.gateway import run, until
from tests.fakes.limited import bearing
from tests.fakes.reader import Reader, ask, request_bytes
from tests.fakes.workers import Served, served
from tidegate.ledger.database import Database
from tidegate.ledger.entries import Begun, Ended
from tidegate.ledger.spool import read
from tidegate.ledger.tables import begins, legs
from tidegate.policy.keys import hash_key, new_key

LIVE = 200

SLOW, ENDLESS, QUICK = "sim/default?tokens=120&tps=20", "sim/default?tokens=2000&tps=20", "sim/default?tokens=3"

KEY, OTHER, ADMIN = new_key(), new_key(), new_key()
KEYS = f"""
[auth]
[[auth.key]]
id = "live"
hash = "{hash_key(KEY)}"
concurrent = {LIVE}
[[auth.key]]
id = "asked"
hash = "{hash_key(OTHER)}"
rpm = 40
[[auth.key]]
id = "root"
hash = "{hash_key(ADMIN)}"
admin = true
"""
ANYBODY = "[auth]\nanonymous = true\n"


async def whole(reader: Reader) -> bool:
    """Whether the answer came to its end, and says so."""
    await reader.rest()
    found = reader.status == 200 and reader.whole and b"[DONE]" in reader.body and reader.error is None
    await reader.close()
    return found


class Crowd:
    """Clients that ask again and again, some on connections that they keep; nothing of theirs may fail."""

    def __init__(self, gate: Served) -> None:
        self.gate = gate
        self.done = 0
        self.failed: list[str] = []
        self.told_to_close = 0
        self.over = False

    async def fresh(self) -> None:
        while not self.over:
            reader = await self.gate.open(QUICK)
            await reader.head()
            self.count(await whole(reader), reader)

    async def kept(self) -> None:
        reader = None
        while not self.over:
            if reader is None:
                reader = await Reader.connect(self.gate.port)
            reader.send(request_bytes(SSE, json.dumps(question(QUICK)).encode()))
            await reader.head()
            await reader.rest()
            self.count(reader.whole and b"[DONE]" in reader.body, reader)
            if reader.headers.get("connection") == "close":
                self.told_to_close += 1
                await reader.close()
                reader = None
            else:
                await asyncio.sleep(0.02)
        if reader is not None:
            await reader.close()

    def count(self, good: bool, reader: Reader) -> None:
        self.done += 1
        if not good:
            self.failed.append(f"{reader.status} {reader.body[-200:]!r}")

    @contextmanager
    def asking(self) -> Iterator[list[asyncio.Task[None]]]:
        tasks = [asyncio.create_task(each()) for each in (self.fresh, self.fresh, self.kept, self.kept, self.kept)]
        yield tasks
        self.over = True


def test_a_rolling_reload_fails_no_request_and_cuts_no_stream() -> None:
    """A configuration that cannot be changes nothing; one that can is served by new workers, while the old ones finish
    what they have. Nothing that was counted is forgotten."""

    async def case() -> None:
        async with served(more=ANYBODY) as gate:
            old = gate.workers()
            assert len(old) == 2
            live = [await gate.open(SLOW) for _ in range(LIVE)]
            assert {await reader.head() for reader in live} == {200}
            assert len({reader.headers["x-stream-id"][:8] for reader in live}) == 2, "both workers have some"
            crowd = Crowd(gate)
            with crowd.asking() as clients:
                good = gate.config.read_text()
                gate.config.write_text(good.replace('name = "sim"', "name = 3"))
                gate.signal(signal.SIGHUP)
                failed = await gate.logged("server.reload_failed")
                assert "name must be text, not a number" in failed["error"]
                assert gate.workers() == old
                gate.config.write_text(good.replace('name = "sim"', 'name = "new"'))
                gate.signal(signal.SIGHUP)
                said = await gate.logged("server.reloaded")
                assert not set(said["pids"]) & set(old)
                before = crowd.done
                await until(lambda: crowd.done > before + 50)
                assert await asyncio.gather(*map(whole, live)) == [True] * LIVE
                await until(lambda: crowd.told_to_close > 0)
            await asyncio.gather(*clients)
            assert crowd.failed == []
            await until(lambda: gate.workers() == said["pids"])
            assert gate.log("workers.died") == []
            last = await ask(gate.port, SSE, question(QUICK))
            await until(lambda: gate.log("stream.end")[-1]["stream_id"] == last.headers["x-stream-id"])
            assert gate.log("stream.end")[-1]["upstream"] == "new"
            counted = await gate.metrics()
            assert counted["tidegate_streams_total"] == LIVE + crowd.done + 1
            assert counted["tidegate_admitted_total"] == LIVE + crowd.done + 1
            assert (counted["tidegate_workers"], counted["tidegate_streams_live"]) == (2, 0)
            assert counted["tidegate_build_info"] == 1
            gate.signal(signal.SIGTERM)
            assert await gate.ended() == 0

    run(case())


@contextmanager
def ledger(gate: Served) -> Iterator[Connection]:
    database = Database(f"sqlite:///{gate.folder / 'tidegate.db'}")
    try:
        with database.reading() as connection:
            yield connection
    finally:
        database.close()


def reasons(gate: Served) -> Counter[str]:
    """How the streams in the ledger have ended."""
    with ledger(gate) as connection:
        return Counter(reason for (reason,) in connection.execute(select(legs.c.reason)))


def known(gate: Served) -> tuple[int, int]:
    """Streams whose begin no kill could lose, and those whose end."""
    waiting = [item for file in (gate.folder / "spool").glob("*/*.spool") for item in read(file)]
    ended = {item.stream_id for item in waiting if isinstance(item, Ended)}
    begun = {item.stream_id for item in waiting if isinstance(item, Begun)}
    with ledger(gate) as connection:
        ended |= {stream_id for (stream_id,) in connection.execute(select(legs.c.stream_id))}
        begun |= {stream_id for (stream_id,) in connection.execute(select(begins.c.stream_id))}
    return len(begun | ended), len(ended)


def test_a_worker_that_is_killed_takes_only_its_own_streams_with_it() -> None:
    """Limits hold for both together before and after; what it had is free at once, counted once, and in the ledger."""

    async def case() -> None:
        async with served(more=KEYS) as gate:
            one, other = gate.workers()
            live = [await gate.open(ENDLESS, bearing(KEY)) for _ in range(LIVE)]
            assert {await reader.head() for reader in live} == {200}
            refused = await ask(gate.port, SSE, question(QUICK), bearing(KEY))
            assert refused.status == 429
            assert b"200 streams at the same time" in refused.body

            asked = await asyncio.gather(*(ask(gate.port, SSE, question(QUICK), bearing(OTHER)) for _ in range(100)))
            assert Counter(reader.status for reader in asked) == {200: 40, 429: 60}

            tags = Counter(reader.headers["x-stream-id"][:8] for reader in live)
            assert len(tags) == 2
            listed = await gate.get("/v1/streams", bearing(ADMIN))
            assert {row["id"] for row in listed["data"]} == {reader.headers["x-stream-id"] for reader in live}
            assert {row["replica"] for row in listed["data"]} == {"worker 1", "worker 2"}
            # One of each worker is stopped by whoever takes the request; both come to their end.
            for tag in tags:
                mine = next(reader for reader in live if reader.headers["x-stream-id"].startswith(tag))
                path = f"/v1/streams/{mine.headers['x-stream-id']}/stop"
                for _ in range(8):  # over both workers, but for one time in a hundred
                    stopped = await gate.get(path, bearing(ADMIN), "POST")
                assert stopped["reason"] == "soft_stop"
                assert await whole(mine)
                live.remove(mine)
            counted = await gate.metrics()
            assert counted["tidegate_streams_live"] == LIVE - 2
            # A kill loses what was said to the ledger in the last quarter of a second.
            await until(lambda: known(gate) == (LIVE + 40, 40 + 2))

            os.kill(one, signal.SIGKILL)
            await gate.logged("workers.died")
            still = await ask(gate.port, SSE, question(QUICK), bearing(OTHER))
            assert still.status == 429, "a minute's requests are known although a worker died"
            left = {row["id"] for row in (await gate.get("/v1/streams", bearing(ADMIN)))["data"]}
            stops = (gate.get(f"/v1/streams/{stream_id}/stop", bearing(ADMIN), "POST") for stream_id in left)
            await asyncio.gather(*stops)
            ends = await asyncio.gather(*map(whole, live))
            cut = Counter(reader.headers["x-stream-id"][:8] for reader, end in zip(live, ends, strict=True) if not end)
            assert len(cut) == 1, "of the other worker none was cut"
            (dead,) = cut
            assert cut[dead] == tags[dead] - 1
            died = await gate.logged("workers.died")
            assert (died["pid"], died["how"], died["again_in"]) == (one, "SIGKILL", 0.0)
            await gate.logged("workers.started")
            assert len(gate.workers()) == 2
            assert other in gate.workers()

            again = [await gate.open(ENDLESS, bearing(KEY)) for _ in range(LIVE)]
            assert {await reader.head() for reader in again} == {200}, "its slots are free, and no other is taken"
            refused = await ask(gate.port, SSE, question(QUICK), bearing(KEY))
            assert refused.status == 429
            await gate.get(f"/v1/streams/{again[0].headers['x-stream-id']}", bearing(ADMIN), "DELETE")
            for reader in again:
                reader.hang_up()
            await asyncio.sleep(0)

            now = await gate.metrics()
            assert now["tidegate_worker_deaths_total"] == 1
            for name in ("tidegate_streams_total", "tidegate_admitted_total", "tidegate_output_tokens_total"):
                assert now[name] >= counted[name], name
            gate.signal(signal.SIGTERM)
            assert await gate.ended() == 0
            found = reasons(gate)
            assert found["gateway_crash"] == cut[dead]
            assert sum(found.values()) == 2 * LIVE + 40, "each stream that was let in is in the ledger, once"

    run(case())


async def refused(port: int) -> None:
    """Until nobody listens there any more."""
    while True:
        try:
            reader = await Reader.connect(port)
        except ConnectionRefusedError:
            return
        await reader.close()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("fast", ["true", "false"], ids=["fast", "plain"])
def test_the_death_of_the_supervisor_ends_its_workers_but_no_answer(fast: str) -> None:
    """Before, a worker that somebody has sent SIGTERM is replaced, and finishes what it has."""

    async def case() -> None:
        async with served(more=f"fast_path = {fast}\n{ANYBODY}") as gate:
            first = [await gate.open("sim/default?tokens=30&tps=20") for _ in range(20)]
            assert {await reader.head() for reader in first} == {200}
            one, other = gate.workers()
            os.kill(one, signal.SIGTERM)
            await gate.logged("workers.started")
            assert gate.log("workers.leaving")[0]["pid"] == one
            assert await asyncio.gather(*map(whole, first)) == [True] * 20
            await until(lambda: not alive(one))
            assert gate.log("workers.died") == []
            second = [await gate.open("sim/default?tokens=60&tps=20") for _ in range(20)]
            assert {await reader.head() for reader in second} == {200}
            last = gate.workers()
            assert len(last) == 2
            assert other in last
            gate.process.kill()
            await refused(gate.port)
            assert all(map(alive, last)), "they finish what they have"
            assert await asyncio.gather(*map(whole, second)) == [True] * 20
            await until(lambda: not any(map(alive, last)))

    run(case())


def test_a_stop_refuses_new_streams_and_tells_those_that_are_late() -> None:
    """The same on every worker; the second signal ends at once."""

    async def case() -> None:
        async with served(more=ANYBODY, drain=0.5) as gate:
            live = [await gate.open("sim/default?tokens=5000&tps=20") for _ in range(10)]
            assert {await reader.head() for reader in live} == {200}
            table = await Reader.connect(gate.port)
            table.send(request_bytes("/v1/streams/events", b"", method="GET"))
            assert await table.head() == 200
            await table.until(b'"live":10')
            gate.signal(signal.SIGTERM)
            for reader in live:
                await reader.rest()
                assert reader.error is not None
                assert reader.error["code"] == "shutdown"
                await reader.close()
            await table.rest()
            await table.close()
            assert await gate.ended() == 0
        async with served(more=ANYBODY, drain=600) as gate:
            reader = await gate.open("sim/default?tokens=5000&tps=20")
            await reader.head()
            gate.signal(signal.SIGTERM)
            await gate.logged("server.draining", 2)
            gate.signal(signal.SIGTERM)
            await reader.rest()
            await reader.close()
            assert await gate.ended() == 0

    run(case())
