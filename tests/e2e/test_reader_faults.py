"""Every way in which a reader fails stops the model and leaves nothing: on all four faces."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from tests.e2e.faces import face, question
from tests.fakes.deaf import deaf_port
from tests.fakes.gateway import gateway, rig, run, until, upstream
from tests.fakes.reader import Reader, request_bytes
from tidegate.relay import attempts
from tidegate.relay.stream import Stream

HOW = pytest.mark.parametrize("how", ["reset", "close", "half-close"])


async def asking(port: int, path: str, model: str, **options: int) -> Reader:
    reader = await Reader.connect(port, **options)
    reader.send(request_bytes(path, json.dumps(question(model)).encode()))
    return reader


async def leave(reader: Reader, how: str) -> None:
    if how == "reset":
        reader.hang_up()
    elif how == "half-close":
        reader.half_close()
    else:
        await reader.close()


PHASES = ["stall", "silent", "stall-after-0", "stall-after-5", "default?tokens=100000&tps=2000"]


@face
@pytest.mark.parametrize("model", PHASES)
@HOW
def test_a_reader_who_leaves_stops_the_model(fast: bool, path: str, model: str, how: str) -> None:
    """Before the head, before the first token, in the middle; however it leaves."""

    async def case() -> None:
        async with rig(fast=fast) as gate:
            assert gate.simulator is not None
            reader = await Reader.connect(gate.port)
            reader.send(request_bytes(path, b'{"model":"sim/%b","stream":true,"messages":[{}]}' % model.encode()))
            await until(lambda: gate.simulator is not None and gate.simulator.stats()["running"] == 1)
            if "5" in model or "tokens" in model:
                await reader.head()
                await reader.until(b" day")
            await leave(reader, how)
            record = await gate.ended()
            assert record.reason == "client_cancel"
            assert record.cancel_latency is not None
            await until(lambda: gate.simulator is not None and gate.simulator.stats()["aborted"] == 1)
            await reader.close()

    run(case())


@face
@HOW
def test_a_reader_who_leaves_while_the_upstream_is_dialled_is_noticed(fast: bool, path: str, how: str) -> None:
    """The connection that is being made is given up."""

    async def case() -> None:
        with deaf_port() as port:
            up = upstream(f"http://127.0.0.1:{port}/v1", connect_timeout=30.0)
            async with gateway(up, fast=fast) as gate:
                reader = await asking(gate.port, path, "m")
                await until(lambda: [stream.upstream for stream in gate.gateway.relay.registry] == ["up"])
                await leave(reader, how)
                record = await gate.ended()
                assert (record.reason, record.retries) == ("client_cancel", 0)
                await reader.close()

    run(case())


@face
@HOW
def test_a_reader_who_leaves_while_it_waits_for_a_connection_is_noticed(fast: bool, path: str, how: str) -> None:
    """Its place goes to the next one, and the upstream is never asked for it."""

    async def case() -> None:
        async with rig(fast=fast, max_connections=1) as gate:
            assert gate.simulator is not None
            first = await asking(gate.port, path, "sim/stall-after-5")
            await first.head()
            second = await asking(gate.port, path, "sim/default")
            await until(lambda: len(gate.gateway.relay.registry) == 2)
            await leave(second, how)
            assert (await gate.ended()).reason == "client_cancel"
            third = await asking(gate.port, path, "sim/default")
            await until(lambda: len(gate.gateway.relay.registry) == 2)
            first.hang_up()
            await third.head()
            await third.rest()
            assert third.finish is not None
            assert gate.simulator.stats()["started"] == 2
            await second.close()
            await third.close()

    run(case())


@face
@HOW
def test_a_reader_who_leaves_between_heartbeats_stops_the_model(fast: bool, path: str, how: str) -> None:
    """The head is out, and no token yet."""

    async def case() -> None:
        async with rig(fast=fast, heartbeat=0.05) as gate:
            assert gate.simulator is not None
            reader = await asking(gate.port, path, "sim/stall")
            assert await reader.head() == 200
            await reader.until(b"\n")
            await leave(reader, how)
            record = await gate.ended()
            assert (record.reason, record.tokens) == ("client_cancel", 0)
            await until(lambda: gate.simulator is not None and gate.simulator.stats()["aborted"] == 1)
            await reader.close()

    run(case())


@face
def test_a_reader_who_leaves_while_it_is_behind_stops_the_model(fast: bool, path: str) -> None:
    """Nothing is written to it then, so nothing but its going tells."""

    async def case() -> None:
        async with rig(fast=fast) as gate:
            reader = await asking(gate.port, path, "sim/flood-200", receive_buffer=4096)
            await until(lambda: any(stream.paused for stream in gate.gateway.relay.registry))
            reader.hang_up()
            record = await gate.ended()
            assert record.reason == "client_cancel"
            assert record.cancel_latency is not None
            await until(lambda: gate.simulator is not None and gate.simulator.stats()["aborted"] == 1)

    run(case())


@face
def test_a_reader_who_leaves_during_a_back_off_is_noticed(
    fast: bool, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No further try is made. A back-off is any part of its longest, of a day here: none is over before its reader."""
    monkeypatch.setattr(attempts, "PATIENCE", 86_400.0)

    async def case() -> None:
        async with rig(fast=fast, retry_delay=86400.0) as gate:
            reader = await Reader.connect(gate.port)
            reader.send(request_bytes(path, b'{"model":"sim/500","stream":true,"messages":[{}]}'))
            await until(lambda: any(stream.retries for stream in gate.gateway.relay.registry))
            reader.hang_up()
            assert (await gate.ended()).reason == "client_cancel"
            assert gate.simulator is not None
            assert gate.simulator.stats()["started"] == gate.records[0].retries

    run(case())


@face
def test_a_reader_who_never_reads_is_held_up_and_then_given_up(fast: bool, path: str) -> None:
    """The upstream is not read beyond the high-water mark; then the connection closes."""

    async def case() -> None:
        async with rig(fast=fast, stall_timeout=0.5) as gate:
            reader = await Reader.connect(gate.port, receive_buffer=4096)
            reader.send(request_bytes(path, b'{"model":"sim/flood-200","stream":true,"messages":[{}]}'))
            record = await gate.ended()
            assert record.reason == "client_stalled"
            assert record.bytes_in < 40 << 20
            await reader.close()

    run(case())


@face
def test_a_slow_reader_of_what_has_ended_gets_everything(fast: bool, path: str) -> None:
    """Who takes something in every ``stall_timeout`` is not given up, however long it takes."""

    async def case() -> None:
        async with rig(fast=fast, stall_timeout=0.2, high_water=1 << 23) as gate:
            reader = await Reader.connect(gate.port, receive_buffer=4096)
            reader.send(request_bytes(path, b'{"model":"sim/flood-4","stream":true,"messages":[{}]}'))
            await reader.head()
            assert (await gate.ended()).reason in ("stop", "length")
            while await reader.chunk():  # noqa: ASYNC110 - a reader who takes his time
                await asyncio.sleep(0.005)
            assert reader.whole
            assert len(reader.text) >= 4 * 2**20 * 0.9
            await reader.close()

    run(case())


@face
def test_a_slow_reader_gets_everything(fast: bool, path: str) -> None:
    """Backpressure holds the upstream, and nothing is lost."""

    async def case() -> None:
        async with rig(fast=fast) as gate:
            reader = await Reader.connect(gate.port, receive_buffer=4096)
            reader.send(request_bytes(path, b'{"model":"sim/flood-12","stream":true,"messages":[{}]}'))
            await reader.head()
            await asyncio.sleep(0.3)
            await reader.rest()
            assert reader.whole
            assert reader.error is None
            assert len(reader.text) >= 12 * 2**20 * 0.9
            assert (await gate.ended()).reason in ("stop", "length")
            await reader.close()

    run(case())


@face
def test_a_gateway_that_was_busy_does_not_take_its_reader_for_one_who_stalls(
    fast: bool, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits to be sent has had no turn yet; the answer once was a bare 500."""
    pause = Stream.on_pause
    held: list[bool] = []

    def busy(stream: Stream) -> None:
        held.append(True)
        pause(stream)
        time.sleep(0.3)

    monkeypatch.setattr(Stream, "on_pause", busy)

    async def case() -> None:
        async with rig(fast=fast, high_water=1024, stall_timeout=0.1) as gate:
            body = json.dumps(question("default?tps=0")).encode()
            reader = await Reader.connect(gate.port)
            reader.send(request_bytes(path, body))
            assert await reader.head() == 200
            await reader.rest()
            assert reader.whole
            assert (await gate.ended()).reason in ("stop", "length")
            assert held or fast
            await reader.close()

    run(case())
