"""server/fleet.py: streams of others, listed, watched, stopped and cancelled; and what is said when one is silent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar
from unittest.mock import patch

import pytest

from tests.fakes import live
from tests.fakes.bus import MemoryBus, Wire
from tests.fakes.gateway import run, until
from tidegate.errors import Overloaded, ReplicaSilent, StreamNotFound
from tidegate.policy.keys import Principal
from tidegate.relay.registry import Registry
from tidegate.relay.stream import Stream
from tidegate.server import fleet as module
from tidegate.server.fleet import PAGE, Fleet
from tidegate.server.own_streams import OwnStreams
from tidegate.shared.messages import Question, Report, encode
from tidegate.telemetry.prometheus import PrometheusHook

ANN, BOB, ADMIN = Principal("ann"), Principal("bob"), Principal("root", admin=True)
A, B, C = "aaaaaaaa", "bbbbbbbb", "cccccccc"


class Replica:
    """A process without its server: its streams, and its way to the others."""

    def __init__(self, wire: Wire, tag: str) -> None:
        self.registry = Registry()
        self.metrics = PrometheusHook()
        self.bus: MemoryBus = wire.join(tag)
        self.accounted: list[str] = []
        self.fleet = Fleet(self.bus, OwnStreams(self.registry, self.metrics, self.accounted.append))
        self.fleet.start()

    def opened(self, number: int, who: Principal = ANN) -> Stream:
        return live.opened(self.registry, f"{self.bus.tag}{number:024x}", who)


class Replicas:
    """Three, on one wire."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.a, self.b, self.c = (Replica(self.wire, tag) for tag in (A, B, C))

    async def close(self) -> None:
        for each in (self.a, self.b, self.c):
            for stream in each.registry:
                stream.abandon()
            await each.fleet.close()
            assert each.bus.closed


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is silent here is silent for good; the others answer in a few turns of the loop, however slow it is."""
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    monkeypatch.setattr(module, "INTERVAL", 0.01)


def on_loop(case: Callable[[Replicas], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def running() -> None:
        async def main() -> None:
            replicas = Replicas()
            await case(replicas)
            await replicas.close()

        run(main())

    running.__name__, running.__doc__ = case.__name__, case.__doc__
    return running


@on_loop
async def test_a_list_has_the_streams_of_all_others(r: Replicas) -> None:
    r.a.opened(0)
    expected = {r.b.opened(1).id, r.c.opened(1).id, r.c.opened(2, BOB).id}
    found = await r.a.fleet.list(ADMIN)
    assert {row["id"] for row in found.rows} == expected
    assert not r.a.fleet.partial(found)
    assert {r.a.fleet.name(stream) for stream in expected} == {"replica-bb", "replica-cc"}
    assert r.a.fleet.name(f"{A}{0:024x}") == "replica-aa"


@on_loop
async def test_a_key_is_told_of_its_own_streams_only(r: Replicas) -> None:
    mine = r.b.opened(1, ANN).id
    r.b.opened(2, BOB)
    assert [row["id"] for row in (await r.a.fleet.list(ANN)).rows] == [mine]
    found = await r.a.fleet.table(ANN, {})
    assert (found.live, [row["id"] for row in found.rows]) == (1, [mine])


@on_loop
async def test_a_long_list_comes_in_parts_in_whatever_order(r: Replicas) -> None:
    parts: list[bytes] = []

    def last_first(message: bytes) -> list[bytes]:
        if b'"answer"' not in message or b'"sender":"bbbbbbbb"' not in message:
            return [message]
        parts.insert(0, message)
        return parts if b'"last":true' in message else []

    ids = {r.b.opened(number).id for number in range(3 * PAGE + 1)}
    r.wire.change = last_first
    found = await r.a.fleet.list(ADMIN)
    assert len(parts) == 4
    assert {row["id"] for row in found.rows} == ids
    assert not r.a.fleet.partial(found)


@on_loop
async def test_a_stream_is_looked_at_stopped_and_cancelled_from_elsewhere(r: Replicas) -> None:
    one, two = r.b.opened(1), r.b.opened(2)
    assert r.a.fleet.elsewhere(one.id)
    assert (await r.a.fleet.ask("one", one.id, ANN))["state"] == "admitted"
    for _ in range(2):
        assert (await r.a.fleet.ask("stop", one.id, ANN))["reason"] == "soft_stop"
    for _ in range(2):
        assert (await r.a.fleet.ask("cancel", two.id, ADMIN))["reason"] == "client_cancel"
    assert len(r.wire.sent) == 10, "one question and one answer each"


@on_loop
async def test_what_a_reader_saw_is_kept_where_the_stream_is_and_counted_once(r: Replicas) -> None:
    stream = r.b.opened(1)
    reports: tuple[Report, ...] = ({"finished": True}, {"left": True})
    for report in reports:
        await r.a.fleet.ask("seen", stream.id, ANN, report)
    assert r.b.accounted == [stream.id]
    assert (await r.c.fleet.ask("one", stream.id, ANN))["reader"] == {"finished": True}
    assert r.b.metrics.readers()["reports"] == 1
    found = await r.a.fleet.table(ADMIN, {})
    assert r.a.metrics.readers(found.readers)["completion_ratio"] == 1.0


@on_loop
async def test_nobody_can_tell_a_foreign_stream_from_none(r: Replicas) -> None:
    stream = r.b.opened(1, BOB)
    told = []
    for stream_id in (stream.id, f"{B}{7:024x}", f"dddddddd{7:024x}"):
        for operation in ("one", "stop", "cancel", "seen"):
            with pytest.raises(StreamNotFound) as caught:
                await r.a.fleet.ask(operation, stream_id, ANN)
            told.append(caught.value.public())
    assert all(each == told[0] for each in told)
    assert stream.life.reason is None


@on_loop
async def test_what_is_no_id_or_ones_own_is_not_asked_for(r: Replicas) -> None:
    for stream_id in (f"{A}{1:024x}", "one", "", "g" * 32, "0" * 33, "٣" * 32, f"{B}{1:024X}".upper()):
        assert not r.a.fleet.elsewhere(stream_id)


@on_loop
async def test_whoever_does_not_answer_is_said_to_be_silent(r: Replicas) -> None:
    """Frozen, or not reached at all; of the others there is the list."""
    stream, other = r.b.opened(1), r.c.opened(1)
    for state in (r.wire.deaf, r.wire.away):
        state.add(B)
        with pytest.raises(ReplicaSilent) as caught:
            await r.a.fleet.ask("stop", stream.id, ANN)
        assert (caught.value.status, caught.value.retry_after) == (503, 1.0)
        found = await r.a.fleet.list(ADMIN)
        assert [row["id"] for row in found.rows] == [other.id]
        assert r.a.fleet.partial(found)
        assert found.silent == {B}
        state.clear()
    assert stream.life.reason is None
    assert r.a.fleet.state() == (3, True, 4, 4)
    assert not r.a.fleet.partial(await r.a.fleet.list(ADMIN))
    assert r.a.fleet.state() == (3, True, 5, 4)


@on_loop
async def test_one_that_came_a_moment_ago_is_found_and_one_that_left_is_gone(r: Replicas) -> None:
    class Forgetful(MemoryBus):
        others: ClassVar[dict[str, str]] = {}

    r.a.bus.__class__ = Forgetful
    stream = r.b.opened(1)
    assert (await r.a.fleet.ask("one", stream.id, ANN))["id"] == stream.id
    r.wire.deaf.add(B)
    with pytest.raises(ReplicaSilent):
        await r.a.fleet.ask("one", stream.id, ANN)
    r.wire.away.add(B)
    with pytest.raises(StreamNotFound):
        await r.a.fleet.ask("one", stream.id, ANN)


@on_loop
async def test_while_the_bus_is_away_nobody_is_said_to_be_gone(r: Replicas) -> None:
    stream = r.b.opened(1)
    r.wire.away |= {B, C}
    r.a.bus.complete = False
    for stream_id in (stream.id, f"dddddddd{7:024x}"):
        with pytest.raises(ReplicaSilent):
            await r.a.fleet.ask("one", stream_id, ANN)
    assert r.a.fleet.partial(await r.a.fleet.list(ADMIN))


@on_loop
async def test_an_answer_that_is_not_whole_is_a_part(r: Replicas) -> None:
    for number in range(PAGE + 1):
        r.b.opened(number)
    r.wire.change = lambda message: [] if b'"sender":"bbbbbbbb"' in message and b'"part":1' in message else [message]
    found = await r.a.fleet.list(ADMIN)
    assert len(found.rows) == PAGE
    assert r.a.fleet.partial(found)


Change = Callable[[dict[str, Any]], Any]


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row.update(client="bob"),
        lambda row: row.update(id=f"{C}{1:024x}"),
        lambda row: row.update(tokens="many"),
        lambda row: row.update(model="m" * 5000),
    ],
    ids=["of another key", "of another process", "of another type", "too large"],
)
def test_a_row_that_cannot_be_is_left_out(change: Change) -> None:
    """Redis may hold anything."""

    def changed(message: bytes) -> list[bytes]:
        whole = json.loads(message)
        if whole["kind"] == "answer":
            for row in whole.get("rows", ()):
                change(row)
        return [json.dumps(whole).encode()]

    @on_loop
    async def case(r: Replicas) -> None:
        stream = r.b.opened(1)
        r.wire.change = changed
        found = await r.a.fleet.list(ANN)
        assert found.rows == []
        assert r.a.fleet.partial(found)
        with pytest.raises(ReplicaSilent):
            await r.a.fleet.ask("one", stream.id, ANN)

    case()


@on_loop
async def test_an_answer_of_somebody_who_was_not_asked_counts_for_nothing(r: Replicas) -> None:
    stream = r.b.opened(1)
    forged = b'"sender":"cccccccc"'
    r.wire.change = lambda message: [message.replace(b'"sender":"bbbbbbbb"', forged)]
    with pytest.raises(ReplicaSilent):
        await r.a.fleet.ask("one", stream.id, ANN)


@on_loop
async def test_what_nobody_understands_is_passed_over(r: Replicas) -> None:
    for message in (b"", b"{}", b'{"kind":"answer","id":"0123456789abcdef","sender":"bbbbbbbb"}', b"\xff"):
        await r.b.bus.send((A,), message)
    assert (await r.a.fleet.list(ADMIN)).rows == []


@on_loop
async def test_more_rows_than_a_list_may_have_make_it_a_part(r: Replicas) -> None:
    for number in range(11):
        r.b.opened(number)
    with patch.object(module, "MOST_GATHERED", 10):
        found = await r.a.fleet.list(ADMIN)
    assert r.a.fleet.partial(found)
    assert len(found.rows) <= 10


@on_loop
async def test_too_many_questions_are_neither_asked_nor_answered(r: Replicas) -> None:
    stream = r.b.opened(1)
    r.wire.deaf.add(B)
    with patch.object(module, "MOST_ASKED", 3):
        asking = [asyncio.create_task(r.a.fleet.ask("one", stream.id, ANN)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await r.a.fleet.list(ADMIN)
        assert all(isinstance(each, ReplicaSilent) for each in await asyncio.gather(*asking, return_exceptions=True))
    r.wire.deaf.clear()
    with patch.object(module, "MOST_ANSWERED", 0), pytest.raises(ReplicaSilent):
        await r.a.fleet.ask("one", stream.id, ANN)
    assert (await r.a.fleet.ask("one", stream.id, ANN))["id"] == stream.id


@on_loop
async def test_nothing_more_is_said_to_one_who_has_gone(r: Replicas) -> None:
    for number in range(5 * PAGE):
        r.b.opened(number)
    r.wire.away.add(A)
    question = Question(id="0" * 16, sender=A, operation="list", client="root", admin=True)
    await r.c.bus.send((B,), encode(question))
    await until(lambda: not r.b.fleet._tasks and len(r.wire.sent) > 1)
    assert len(r.wire.sent) == 2


@on_loop
async def test_a_watcher_sees_streams_come_and_end_and_all_who_see_the_same_ask_once(r: Replicas) -> None:
    before = r.b.opened(0)
    before.cancel()
    async with r.a.fleet.watch(ADMIN) as watch, r.a.fleet.watch(ADMIN) as same, r.a.fleet.watch(ANN) as other:
        assert watch is same
        assert watch is not other
        await watch.ready()
        news, told = watch.news(0)
        assert [row["id"] for row in news] == [before.id]
        stream = r.b.opened(1)
        await until(lambda: [row["id"] for row in watch.found.rows] == [stream.id])
        assert not watch.partial
        stream.cancel()
        await until(lambda: watch.news(told)[1] > told)
        news, told = watch.news(told)
        assert [(row["id"], row["reason"]) for row in news] == [(stream.id, "client_cancel")]
        await until(lambda: watch.found.live == 0)
        assert watch.news(told) == ([], told)
        r.wire.away.add(C)
        await until(lambda: watch.partial)
        r.wire.away.clear()
        await until(lambda: not watch.partial)
    assert r.a.fleet._watches == {}


@on_loop
async def test_a_watcher_outlives_an_overload(r: Replicas) -> None:
    async with r.a.fleet.watch(ADMIN) as watch:
        await watch.ready()
        with patch.object(module, "MOST_ASKED", 0):
            await until(lambda: watch.partial)
        await until(lambda: not watch.partial)


@on_loop
async def test_news_are_remembered_of_those_who_are_there(r: Replicas) -> None:
    async with r.a.fleet.watch(ADMIN) as watch:
        await watch.ready()
        assert watch._after.keys() == {B, C}
        del r.wire.members[C]
        await until(lambda: watch._after.keys() == {B})


@on_loop
async def test_who_waits_for_a_first_look_is_let_go_when_it_leaves(r: Replicas) -> None:
    r.wire.deaf |= {B, C}
    async with r.a.fleet.watch(ADMIN) as watch:
        waiting = asyncio.create_task(watch.ready())
        await asyncio.sleep(0)
        await r.a.fleet.close()
        await waiting
        assert watch.partial
