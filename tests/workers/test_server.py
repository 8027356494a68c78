"""workers/server.py: a worker accepts from what it is told to, and leaves without failing anybody."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.e2e.faces import SSE, both, question
from tests.fakes.gateway import run, simulator_options, until, upstream
from tests.fakes.http2 import certificate, client_context
from tests.fakes.reader import Reader, ask, request_bytes
from tidegate.policy.options import AuthOptions
from tidegate.server.app import create_app
from tidegate.server.options import GatewayOptions, ServerOptions
from tidegate.simulator.server import Simulator
from tidegate.workers import server as module
from tidegate.workers.listening import SPREADS, close, listening
from tidegate.workers.server import WorkerServer

pytestmark = pytest.mark.usefixtures("collector")


class Working:
    """A worker in the test's own loop, which accepts from two groups of sockets."""

    def __init__(self, worker: WorkerServer, groups: list[list[socket.socket]]) -> None:
        self.worker = worker
        self.groups = groups
        self.port: int = groups[0][0].getsockname()[1]
        self.asked_to_leave = 0

    async def kept(self) -> Reader:
        """A connection that has had an answer."""
        reader = await Reader.connect(self.port)
        await self.again(reader)
        return reader

    async def again(self, reader: Reader) -> None:
        reader.send(request_bytes(SSE, json.dumps(question("sim/default?tokens=3")).encode()))
        assert await reader.head() == 200
        await reader.rest()
        assert b"[DONE]" in reader.body

    async def streaming(self, model: str) -> Reader:
        reader = await Reader.connect(self.port)
        reader.send(request_bytes(SSE, json.dumps(question(model)).encode()))
        assert await reader.head() == 200
        return reader


@asynccontextmanager
async def working(*, fast: bool = True, drain: float = 60.0, **server: Any) -> AsyncIterator[Working]:
    """It ends by itself: a test has it leave."""
    groups = listening("127.0.0.1", 0, 2)
    simulator = Simulator(simulator_options(tps=100.0))
    await simulator.start()
    options = GatewayOptions(
        server=ServerOptions(port=0, fast_path=fast, drain_timeout=drain, **server),
        upstreams=(upstream(simulator.url),),
        auth=AuthOptions(anonymous=True),
    )
    ready = asyncio.Event()
    found: Working

    def leave() -> None:
        found.asked_to_leave += 1

    inherited = [[os.dup(sock.fileno()) for sock in group] for group in groups]  # the worker closes them
    found = Working(
        WorkerServer(create_app(options), options, inherited=inherited, ready=ready.set, leave=leave), groups
    )
    task = asyncio.create_task(found.worker.serve())
    try:
        await asyncio.wait_for(ready.wait(), 60)
        await found.worker.listen(range(len(groups)))
        yield found
        await asyncio.wait_for(task, 60)
    finally:
        found.worker.should_exit = True
        await task
        await simulator.close()
        close(groups)


@both
def test_a_worker_that_leaves_answers_whoever_is_connected_and_keeps_nobody(
    fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An idle connection is closed when it has been idle for a while, another with its next answer."""
    monkeypatch.setattr(module, "IDLE", 1.5)

    async def case() -> None:
        async with working(fast=fast) as found:
            idle, used = await found.kept(), await found.kept()
            live = await found.streaming("sim/default?tokens=2000&tps=20")
            table = await Reader.connect(found.port)
            table.send(request_bytes("/v1/streams/events", b"", method="GET"))
            await table.head()
            assert "connection" not in used.headers
            found.worker.leave()
            found.worker.leave()
            await asyncio.sleep(0)
            await found.again(used)
            assert used.headers["connection"] == "close"
            assert await used.stream.read() == b""
            assert await idle.stream.read() == b"", "nothing but the end"
            (stream,) = found.worker.gateway.relay.registry
            stream.soft_stop()
            await live.rest()
            assert b"[DONE]" in live.body
            await table.rest()
            assert table.whole
            for reader in (idle, used, live, table):
                await reader.close()

    run(case())


@both
def test_over_http2_whoever_is_connected_is_told_to_go_elsewhere(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it has no stream; one of HTTP/1.1 behind TLS with its next answer."""
    monkeypatch.setattr(module, "IDLE", 60.0)

    async def case() -> None:
        cert, key = certificate()
        async with working(fast=fast, tls_cert=cert, tls_key=key) as found:
            monkeypatch.setattr("tests.fakes.reader.HTTP2_PORTS", {found.port})
            idle, live = await found.kept(), await found.streaming("sim/default?tokens=2000&tps=20")
            context = client_context("http/1.1")
            stream, writer = await asyncio.open_connection("127.0.0.1", found.port, ssl=context)
            older = Reader(stream, writer)
            await found.again(older)
            found.worker.leave()
            assert await idle.stream.read() != b"", "a word of farewell, and the end"
            await found.again(older)
            assert older.headers["connection"] == "close"
            (answer,) = found.worker.gateway.relay.registry
            answer.soft_stop()
            await live.rest()
            assert b"[DONE]" in live.body
            for reader in (idle, older, live):
                await reader.close()

    run(case())


@both
def test_what_is_late_is_told(fast: bool) -> None:
    async def case() -> None:
        async with working(fast=fast, drain=0.2) as found:
            live = await found.streaming("sim/default?tokens=5000")
            found.worker.leave()
            await live.rest()
            assert live.error is not None
            assert live.error["code"] == "shutdown"
            await live.close()

    run(case())


def test_connections_that_nobody_accepts_any_more_wait_for_the_next() -> None:
    async def case() -> None:
        async with working() as found:
            await found.worker.listen([])
            waiting = await Reader.connect(found.port)
            waiting.send(request_bytes("/healthz", b"", method="GET"))
            assert found.worker.servers == []
            await found.worker.listen(range(len(found.groups)))
            await found.worker.listen(range(len(found.groups)))
            assert len(found.worker.servers) == len(found.groups) == (2 if SPREADS else 1)
            assert await waiting.head() == 200
            await waiting.rest()
            await waiting.close()
            found.worker.leave()
            await until(lambda: found.worker.should_exit)
            await found.worker.listen([0])
            assert found.worker.servers == [], "one that leaves takes nothing"

    run(case())


def test_without_a_supervisor_it_ends_when_its_streams_do() -> None:
    async def case() -> None:
        async with working() as found:
            live = await found.streaming("sim/default?tokens=50")
            kept = await found.kept()
            await found.worker.alone()
            await found.worker.alone()
            await until(lambda: found.worker.gateway.relay.draining)
            kept.send(request_bytes(SSE, json.dumps(question("sim/default")).encode()))
            assert await kept.head() == 503
            await live.rest()
            assert b"[DONE]" in live.body
            for reader in (live, kept):
                await reader.close()

    run(case())


def test_its_signals_are_the_supervisors_business() -> None:
    async def case() -> None:
        async with working() as found:
            for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
                os.kill(os.getpid(), number)
            await until(lambda: found.asked_to_leave == 1)
            assert (await ask(found.port, "/readyz", None, method="GET")).status == 200
            found.worker.leave()

    run(case())
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
