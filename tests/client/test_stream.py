"""A stream's reader: one that does not read, one that leaves, one that has had enough."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.client.serving import HEAD, Connection, serving
from tests.client.test_aio import ASK, ENDLESS, client, loops, paths, read, simulator
from tests.client.test_reading import said, sse
from tests.fakes.gateway import rig, run, until
from tidegate.errors import Cancelled, UpstreamRefused


@loops
def test_a_reader_that_does_not_read_stops_the_server(plain_loop: bool) -> None:
    """The server's send blocks, at what socket buffers and one read hold; then everything arrives in order."""
    event = sse(said("x" * 16000)[1])
    total = 2000  # 32 MB
    sent = 0

    async def answer(connection: Connection) -> None:
        nonlocal sent
        connection.send(HEAD + sse(said()[0]))
        for _ in range(total):
            connection.send(event)
            await connection.writer.drain()
            sent += 1
        connection.send(sse(said()[-1]))
        await connection.writer.drain()

    async def case() -> None:
        async with serving(answer) as url, client(url) as found, found.stream(ASK) as stream:
            size = len(await anext(stream))
            before = -1
            while before != sent:
                before = sent
                await asyncio.sleep(0.1)
            assert sent < total / 2, "the server could send all of it"
            held = sent * 16000 - size
            assert held < 8 * 1024 * 1024
            async for piece in stream:
                size += len(piece)
            assert size == total * 16000

    run(case(), plain_loop=plain_loop)


Leave = Callable[[Any], Coroutine[Any, Any, None]]


async def break_out(stream: Any) -> None:
    async with stream:
        async for _ in stream:
            break


async def cancel_from_another_task(stream: Any) -> None:
    reader = asyncio.create_task(read(stream))
    await until(lambda: len(stream.text) > 20)
    stream.cancel()
    with pytest.raises(Cancelled):
        await reader
    assert stream.result.reason == "client_cancel"


async def read_until_time_is_up(stream: Any) -> None:
    async with asyncio.timeout(None) as limit, stream:
        async for _ in stream:
            if len(stream.text) > 20:
                limit.reschedule(asyncio.get_running_loop().time())


async def time_out(stream: Any) -> None:
    with pytest.raises(TimeoutError):
        await read_until_time_is_up(stream)


async def cancel_the_task(stream: Any) -> None:
    reader = asyncio.create_task(read(stream))
    await until(lambda: len(stream.text) > 20)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader


@pytest.mark.parametrize("leave", [break_out, cancel_from_another_task, time_out, cancel_the_task])
@loops
def test_whoever_leaves_stops_the_model_at_once(leave: Leave, plain_loop: bool) -> None:
    async def case() -> None:
        async with rig() as gate, client(f"http://127.0.0.1:{gate.port}") as found:
            await leave(found.stream(ASK, model=ENDLESS))
            record = await gate.ended()
            assert record.reason == "client_cancel"
            assert gate.simulator is not None
            await until(lambda: gate.simulator is not None and gate.simulator.stats()["aborted"] == 1)

    run(case(), plain_loop=plain_loop)


@loops
def test_a_stream_that_is_dropped_closes_its_socket_and_warns(plain_loop: bool) -> None:
    async def case() -> None:
        async with simulator() as server, client(server.url) as found:
            streams = [found.stream(ASK, model=ENDLESS)]
            await anext(streams[0])
            with pytest.warns(ResourceWarning, match="unfinished stream"):
                streams.clear()
            await until(lambda: server.stats()["aborted"] == 1)

    run(case(), plain_loop=plain_loop)


@pytest.mark.parametrize("model", ["sim/stall", "sim/silent", "sim/500"])
def test_cancel_while_it_waits_for_the_first_token(model: str) -> None:
    """In every phase before it: no head, no body, a pause between two tries."""

    async def case() -> None:
        async with simulator() as server, client(server.url, retry_delay=60.0) as found:
            stream = found.stream(ASK, model=model)
            reader = asyncio.create_task(read(stream))
            await until(lambda: server.stats()["started"] == 1)
            await asyncio.sleep(0.05)
            stream.cancel()
            stream.cancel()
            with pytest.raises(Cancelled):
                await reader
            assert not reader.cancelling()

    run(case())


@paths
def test_a_soft_stop_on_the_gateway_keeps_the_answer(path: str) -> None:
    async def case() -> None:
        async with rig() as gate, client(f"http://127.0.0.1:{gate.port}{path}") as found:
            async with found.stream(ASK, model=ENDLESS) as stream:
                text = ""
                async for piece in stream:
                    text += piece
                    if len(text) > 50 and stream.result.reason is None:
                        await stream.stop()
            await stream.stop()
            assert stream.result.complete
            assert stream.result.reason == "soft_stop"
            assert text == stream.text
            assert (await gate.ended()).reason == "soft_stop"

    run(case())


def test_a_soft_stop_elsewhere_closes_and_keeps_the_answer() -> None:
    async def case() -> None:
        async with simulator() as server, client(server.url) as found:
            async with found.stream(ASK, model=ENDLESS) as stream:
                await anext(stream)
                await stream.stop()
                rest = [piece async for piece in stream]
            assert stream.text.endswith("".join(rest))
            assert (stream.result.complete, stream.result.reason) == (True, "soft_stop")
            await until(lambda: server.stats()["aborted"] == 1)

    run(case())


def test_a_stop_that_the_gateway_refuses_leaves_the_stream_alone() -> None:
    refused = asyncio.Event()

    async def answer(connection: Connection) -> None:
        if connection.path.endswith("/stop"):
            connection.send(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            return
        connection.send(HEAD.replace(b"connection", b"x-stream-id: ab\r\nconnection") + sse(*said("one ", "two ")[:2]))
        await refused.wait()
        connection.send(sse(*said("two")[1:]))

    async def case() -> None:
        async with serving(answer) as url, client(url) as found, found.stream(ASK) as stream:
            with pytest.raises(UpstreamRefused):
                await stream.stop()
            refused.set()
            assert "".join([piece async for piece in stream]) == "one two"

    run(case())
