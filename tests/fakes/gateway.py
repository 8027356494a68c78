"""A real gateway on a real port, inside the test's own loop."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any
from unittest.mock import patch

import uvloop

from tests.fakes.http2 import certificate
from tests.fakes.loop import CountingLoop
from tests.fakes.reader import HTTP2_PORTS
from tidegate.ledger.options import LedgerOptions
from tidegate.policy.options import AuthOptions
from tidegate.relay.options import StreamOptions
from tidegate.server.app import create_app
from tidegate.server.gateway import Gateway
from tidegate.server.options import GatewayOptions, ServerOptions
from tidegate.server.run import GatewayServer
from tidegate.simulator.options import SimulatorOptions
from tidegate.simulator.server import Simulator
from tidegate.telemetry.record import StreamRecord
from tidegate.upstream.options import UpstreamOptions

UPSTREAM = ("api_keys", "connect_timeout", "max_connections", "models")
"""Options of the upstream, among those of a rig."""

HTTP2: Any = "http2"
"""In place of ``fast``, which it implies: behind TLS, and asked over HTTP/2."""

__all__ = ["HTTP2", "Rig", "gateway", "rig", "run", "simulator_options", "upstream"]


def run(main: Coroutine[Any, Any, None], *, plain_loop: bool = False, count_timers: bool = False) -> None:
    """Run a test on uvloop, or on asyncio's own loop; nothing may be left when it is over."""
    sockets = _sockets()
    loop_factory = CountingLoop if count_timers else uvloop.new_event_loop
    runner = asyncio.Runner(loop_factory=None if plain_loop else loop_factory)
    try:
        runner.run(_alone(main))
    except BaseException:
        # uvloop does not close while something is open (errno 16); what has failed before says why it is.
        with suppress(OSError):
            runner.close()
        raise
    runner.close()
    gc.collect()
    assert _sockets() <= sockets, "a socket was left open"


async def _alone(main: Coroutine[Any, Any, None]) -> None:
    await asyncio.wait_for(main, 200)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for _ in range(2000):
        if not left:
            return
        await asyncio.sleep(0.01)
        left = {task for task in left if not task.done()}
    raise AssertionError(f"tasks were left: {left}")


def _sockets() -> set[str]:
    found = set()
    for entry in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{entry}")
        except OSError:
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


class Rig:
    """A gateway, and what it told its hook."""

    def __init__(self, server: GatewayServer) -> None:
        self.server = server
        self.gateway: Gateway = server.gateway
        self.records: list[StreamRecord] = []
        self.opened = 0
        hooks = self.gateway.relay._hook
        hooks._hooks = (*hooks._hooks, _Recorder(self))  # type: ignore[attr-defined]
        self.simulator: Simulator | None = None

    @property
    def port(self) -> int:
        return int(self.server.servers[0].sockets[0].getsockname()[1])

    async def ended(self, count: int = 1) -> StreamRecord:
        """The record of the ``count``-th stream, once it has ended."""
        await until(lambda: len(self.records) >= count)
        return self.records[count - 1]


class _Recorder:
    def __init__(self, rig: Rig) -> None:
        self.rig = rig

    def opened(self) -> None:
        self.rig.opened += 1

    def ended(self, record: StreamRecord) -> None:
        self.rig.records.append(record)


async def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something to become true."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not true():
        assert asyncio.get_running_loop().time() < deadline, "it did not become true"
        await asyncio.sleep(0.005)


def upstream(url: str, name: str = "up", **options: Any) -> UpstreamOptions:
    """An upstream on loopback."""
    return UpstreamOptions(**{"name": name, "base_url": url, "trust_env": False, "connect_timeout": 30.0, **options})


def simulator_options(**options: Any) -> SimulatorOptions:
    """A simulator that does not waste a test's time."""
    return SimulatorOptions(**{"ttft": 0.01, "tps": 500.0, "tokens": 20, **options})


@asynccontextmanager
async def gateway(
    *upstreams: UpstreamOptions,
    fast: bool = True,
    auth: AuthOptions | None = None,
    server: dict[str, Any] | None = None,
    ledger: LedgerOptions | None = None,
    sections: dict[str, Any] | None = None,
    **stream: Any,
) -> AsyncIterator[Rig]:
    """A gateway in front of ``upstreams``; leaves no stream behind.

    :param sections: further options of the gateway, such as ``limits``.
    """
    tls = dict(zip(("tls_cert", "tls_key"), certificate(), strict=True)) if fast == HTTP2 else {}
    options = GatewayOptions(
        server=ServerOptions(**{"port": 0, "fast_path": bool(fast), "drain_timeout": 0.2, **tls, **(server or {})}),
        stream=StreamOptions(**{"retry_delay": 0.01, "first_token_timeout": 60.0, "idle_timeout": 60.0, **stream}),
        upstreams=upstreams,
        auth=auth or AuthOptions(anonymous=True),
        **{"ledger": ledger or LedgerOptions(), **(sections or {})},
    )
    running = GatewayServer(create_app(options), options)
    # As uvicorn's `serve` does it, without its signals (the process is the test's) and its ticks.
    running.config.load()
    running.lifespan = running.config.lifespan_class(running.config)
    # What a test made before it would never be looked at again; `conftest` has frozen the rest.
    with patch.object(gc, "freeze"):
        await running.startup()
    found = Rig(running)
    if fast == HTTP2:
        HTTP2_PORTS.add(found.port)
    try:
        yield found
        await until(lambda: not len(found.gateway.relay.registry))
        await until(lambda: not found.gateway.admission.limits._live)
        assert found.opened == len(found.records), "a stream has no record, or two"
        assert len({record.stream_id for record in found.records}) == found.opened
    finally:
        HTTP2_PORTS.discard(found.port)
        for listener in running.servers:
            listener.close()
        for connection in list(running.server_state.connections):
            connection.transport.abort()
        await until(lambda: not running.server_state.connections and not running.server_state.tasks)
        await running.lifespan.shutdown()


@asynccontextmanager
async def rig(*, fast: bool = True, simulated: SimulatorOptions | None = None, **options: Any) -> AsyncIterator[Rig]:
    """A gateway in front of a simulator."""
    simulator = Simulator(simulated or simulator_options())
    await simulator.start()
    more = {name: options.pop(name) for name in UPSTREAM if name in options}
    try:
        async with gateway(upstream(simulator.url, **more), fast=fast, **options) as found:
            found.simulator = simulator
            yield found
        await until(lambda: simulator.stats()["running"] == 0)
    finally:
        await simulator.close()
