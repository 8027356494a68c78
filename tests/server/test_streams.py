"""server/streams.py: what a page may report, and the live table: when it says something, and who may watch."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from starlette.requests import Request

from tests.fakes.gateway import rig, run, until
from tests.fakes.reader import Reader, ask, request_bytes
from tidegate.errors import InvalidRequest, Overloaded
from tidegate.policy.keys import ANONYMOUS
from tidegate.policy.options import AuthOptions
from tidegate.server.gateway import Gateway
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
