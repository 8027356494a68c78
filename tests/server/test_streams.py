"""server/streams.py: what a page may report, and the live table: when it says something, and who may watch."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from starlette.requests import Request

from tests.fakes.bus import Wire
from tests.fakes.gateway import rig, run, until
from tests.fakes.live import opened
from tests.fakes.reader import Reader, ask, request_bytes
from tidegate.errors import InvalidRequest, Overloaded
from tidegate.policy.keys import ANONYMOUS, Principal, hash_key, new_key
from tidegate.policy.options import AuthOptions, StaticKey
from tidegate.relay.ids import new_id
from tidegate.server.gateway import Gateway
from tidegate.server.openapi import document
from tidegate.server.options import GatewayOptions
from tidegate.server.streams import MAX_WATCHERS, StreamRoutes, _report
from tidegate.wire.sse import HEARTBEAT_SSE


def test_a_report_is_numbers_by_name() -> None:
    assert _report(b'{"ttft": 0.2, "frames": 3, "seen": true, "tpot": null}') == {
        "ttft": 0.2,
        "frames": 3,
        "seen": True,
        "tpot": None,
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"text": "what the model said"}',
        b'{"nested": {"a": 1}}',
        b'{"a b": 1}',
        b'{"%b": 1}' % (b"x" * 41),
        json.dumps({f"name{number}": 1 for number in range(33)}).encode(),
    ],
)
def test_nothing_in_a_report_can_be_text(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        _report(body)


def routes() -> StreamRoutes:
    return StreamRoutes(Gateway(GatewayOptions(auth=AuthOptions(anonymous=True)), environ={}))


async def some(table: AsyncIterator[bytes], count: int) -> list[bytes]:
    return [await anext(table) for _ in range(count)]


def test_a_table_that_does_not_change_is_told_once_and_then_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate.server.streams.INTERVAL", 0.001)
    monkeypatch.setattr("tidegate.server.streams.HEARTBEAT", 0.003)

    async def case() -> None:
        table = routes()._table(ANONYMOUS)
        first, *more = await some(table, 4)
        assert first == b'event: streams\ndata: {"live":0,"streams":[]}\n\n'
        assert more == [HEARTBEAT_SSE] * 3
        await table.aclose()  # type: ignore[attr-defined] # an async generator

    asyncio.run(case())


def test_a_table_ends_when_the_gateway_drains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for its readers; and its place is free again."""
    monkeypatch.setattr("tidegate.server.streams.INTERVAL", 0.001)

    async def case() -> None:
        made = routes()
        table = made._table(ANONYMOUS)
        await some(table, 1)
        assert made._watchers == 1
        await made._gateway.relay.drain(0.0)
        assert [event async for event in table] == []
        assert made._watchers == 0

    asyncio.run(case())


def test_only_so_many_may_watch() -> None:
    async def case() -> None:
        made = routes()
        made._watchers = MAX_WATCHERS
        request = Request({"type": "http", "method": "GET", "path": "/v1/streams/events", "headers": []})
        with pytest.raises(Overloaded):
            await made.events(request)

    asyncio.run(case())


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "plain"])
def test_a_watcher_sees_a_stream_come_and_go(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate.server.streams.INTERVAL", 0.01)

    async def case() -> None:
        async with rig(fast=fast) as gate:
            watcher = await Reader.connect(gate.port)
            watcher.send(request_bytes("/v1/streams/events", b"", method="GET"))
            assert await watcher.head() == 200
            await watcher.until(b'"live":0')
            reader = await Reader.connect(gate.port)
            reader.send(
                request_bytes("/v1/chat/completions", b'{"model":"sim/stall-after-5","stream":true,"messages":[{}]}')
            )
            await reader.head()
            stream_id = reader.headers["x-stream-id"]
            await watcher.until(stream_id.encode())
            seen = await ask(gate.port, f"/v1/streams/{stream_id}/seen", {"ttft": 0.25})
            assert seen.status == 204
            await watcher.until(b'"reader":{"ttft":0.25}')
            stopped = await ask(gate.port, f"/v1/streams/{stream_id}/stop", None)
            assert stopped.events()[0]["reason"] == "soft_stop"
            again = await ask(gate.port, f"/v1/streams/{stream_id}", None, method="DELETE")
            assert again.events()[0]["reason"] == "soft_stop"
            await reader.close()
            watcher.body = b""
            await watcher.until(b'"live":0')
            await watcher.close()
            await until(lambda: not gate.server.server_state.tasks)

    run(case())


A, B = "aaaaaaaa", "bbbbbbbb"


class Several:
    """Two gateways on one wire, and the routes of the first."""

    def __init__(self, anonymous: bool = True) -> None:
        self.wire = Wire()
        root = StaticKey(id="root", hash=hash_key(ADMIN), admin=True)
        ann = StaticKey(id="ann", hash=hash_key(ANN))
        options = GatewayOptions(auth=AuthOptions(anonymous=anonymous, keys=(root, ann)))
        self.gateways = [Gateway(options, environ={}, bus=self.wire.join(tag)) for tag in (A, B)]
        self.routes = StreamRoutes(self.gateways[0])

    async def start(self) -> None:
        for gateway in self.gateways:
            await gateway.start()

    def opened(self, at: int, who: str, created: float) -> str:
        relay = self.gateways[at].relay
        stream = opened(relay.registry, new_id(relay._tag), Principal(who))
        stream.accepted_at = created
        return stream.id

    async def get(self, key: str | None = None) -> dict[str, Any]:
        headers = [] if key is None else [(b"authorization", f"Bearer {key}".encode())]
        response = await self.routes.list(Request({"type": "http", "method": "GET", "headers": headers}))
        answer: dict[str, Any] = json.loads(bytes(response.body))
        schema = {"$ref": "#/components/schemas/StreamList", "components": DOCUMENT["components"]}
        Draft202012Validator(schema).validate(answer)
        return answer

    async def close(self) -> None:
        for gateway in self.gateways:
            await gateway.close()


ADMIN, ANN = new_key(), new_key()
DOCUMENT = document()


def test_a_list_of_several_gateways_keeps_to_its_schema_and_names_them_to_admins_only() -> None:
    async def case() -> None:
        several = Several(anonymous=False)
        await several.start()
        ids = [several.opened(at, "ann", created) for at, created in ((1, 5.0), (0, 6.0), (1, 7.0))]
        for key, names in ((ADMIN, ["replica-bb", "replica-aa", "replica-bb"]), (ANN, [None] * 3)):
            answer = await several.get(key)
            assert [row["id"] for row in answer["data"]] == ids, "oldest first"
            assert [row.get("replica") for row in answer["data"]] == names
            assert "partial" not in answer
        several.wire.away.add(B)
        answer = await several.get(ADMIN)
        assert ([row["id"] for row in answer["data"]], answer["partial"]) == ([ids[1]], True)
        await several.close()

    asyncio.run(case())


def test_what_readers_reported_to_any_of_them_is_told_together() -> None:
    async def case() -> None:
        several = Several()
        await several.start()
        for at, reports in ((0, ["finished"]), (1, ["finished", "left", "cut"])):
            for end in reports:
                several.gateways[at].metrics.seen({end: True, "first_paint": 0.3})
        told = {"reports": 4, "completion_ratio": 0.5, "perceived_latency": 0.24}
        assert (await several.get())["readers"] == told
        table = several.routes._table(ANONYMOUS)
        event = json.loads((await anext(table)).partition(b"data: ")[2])
        assert event["readers"] == told
        schema = {"$ref": "#/components/schemas/StreamTable", "components": DOCUMENT["components"]}
        Draft202012Validator(schema).validate(event)
        await table.aclose()  # type: ignore[attr-defined] # an async generator
        await several.close()

    asyncio.run(case())


def test_the_first_stream_joins_the_others_where_nobody_called_start() -> None:
    """In a mounted application no lifespan runs."""

    async def case() -> None:
        several = Several()
        assert several.wire.members[B]._receive is None
        several.gateways[1].relay._hook.opened()
        assert several.wire.members[B]._receive is not None
        await several.close()

    asyncio.run(case())
