"""HTTP/3 through the real Caddy as ``tidegate edge`` configures it, with a certificate of Caddy's own authority."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.edge.http3 import Http3, http3
from tests.edge.programs import running
from tests.edge.test_programs import begun, paths, question
from tests.fakes.gateway import Rig, rig, run, simulator_options, until
from tests.fakes.reader import Reader, ask


@asynccontextmanager
async def through(folder: Path, **options: Any) -> AsyncIterator[tuple[Rig, Http3]]:
    """A gateway behind Caddy, and a client that speaks HTTP/3 with it."""
    root = folder / "caddy/pki/authorities/local/root.crt"
    async with (
        rig(**options) as gate,
        running("caddy", gate.port, folder, tls=True, own_ca=True) as port,
        http3(port, root) as client,
    ):
        yield gate, client


@paths
def test_a_token_is_not_held_and_a_stream_is_whole(path: str, tmp_path: Path) -> None:
    async def case() -> None:
        async with through(tmp_path, idle_timeout=2.0) as (gate, client):
            stalled = client.post(path, question("sim/stall-after-1"))
            await stalled.until(b"Twice")
            assert stalled.status == 200
            assert len(gate.gateway.relay.registry) == 1, "the token came when the stream was over"
            plain = await ask(gate.port, path, question("sim/prose"))
            answer = client.post(path, question("sim/prose"))
            assert await answer.rest() == plain.body
            assert answer.whole
            coded = client.post(path, question("sim/prose"), {"accept-encoding": "gzip", "save-data": "on"})
            await coded.rest()
            assert coded.headers["content-encoding"] == "gzip"

    run(case())


@pytest.mark.parametrize("phase", ["thinking", "streaming"])
def test_a_cancel_reaches_the_upstream(phase: str, tmp_path: Path) -> None:
    """Of the request alone, as when a page aborts it: the connection stays."""
    simulated = simulator_options(tps=50.0, tokens=5000, ttft=30.0 if phase == "thinking" else 0.01)

    async def case() -> None:
        async with through(tmp_path, simulated=simulated) as (gate, client):
            answer = client.post("/v1/chat/completions", question("sim/prose"))
            await begun(gate, phase)
            client.leave(answer)
            assert (await gate.ended()).reason == "client_cancel"
            simulator = gate.simulator
            assert simulator is not None
            await until(lambda: simulator.stats()["aborted"] == 1)
            await client.ping()

    run(case())


@paths
@pytest.mark.parametrize("fault", ["cut-after-3", "half-event", "error-event"])
def test_an_error_event_is_whole(path: str, fault: str, tmp_path: Path) -> None:
    async def case() -> None:
        async with through(tmp_path) as (gate, client):
            direct = await ask(gate.port, path, question(f"sim/{fault}"))
            answer = client.post(path, question(f"sim/{fault}"))
            heard = Reader.__new__(Reader)
            heard.body, heard.headers = await answer.rest(), {"content-type": answer.headers["content-type"]}
            assert answer.whole
            assert heard.error is not None
            assert direct.error is not None
            assert heard.error["code"] == direct.error["code"]
            assert heard.text == direct.text

    run(case())
