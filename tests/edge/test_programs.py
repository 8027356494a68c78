"""What ``tidegate edge`` prints, in the real nginx, HAProxy and Caddy: with and without TLS."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from tests.edge.programs import PROGRAMS, check, running, written
from tests.fakes.gateway import Rig, rig, run, simulator_options, until
from tests.fakes.ports import unused_port
from tests.fakes.reader import Reader, ask, request_bytes

every = pytest.mark.parametrize("program", PROGRAMS)
paths = pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/v1/chat/stream"])
FRAME = ("ocsp", "redirects are disabled")
"""What Caddy says of the test's own frame: a certificate of nobody, and a port that is not 443."""
JSON = {"content-type": "application/json"}


@every
@paths
def test_a_gateway_that_is_not_there_costs_nobody_a_request(program: str, path: str, tmp_path: Path) -> None:
    """Before a health check has noticed anything; a POST, too, as nobody has begun it."""

    async def case() -> None:
        async with rig() as gate, running(program, gate.port, tmp_path, also=f"127.0.0.1:{unused_port()}") as port:
            for _ in range(6):
                reader = await ask(port, path, question("sim/default"))
                assert reader.status == 200, reader.body
                assert reader.whole

    run(case())


def test_a_gateway_that_is_slow_to_say_that_it_is_ready_is_not_taken_out(tmp_path: Path) -> None:
    """For HAProxy, an answer that takes longer than the time between two checks was none."""

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"GET /readyz"):
                asked.set()
                await asyncio.sleep(1.3)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        except asyncio.IncompleteReadError:
            pass  # HAProxy has ended
        finally:
            writer.close()

    asked = asyncio.Event()

    async def case() -> None:
        server = await asyncio.start_server(slowly, "127.0.0.1", 0)
        async with server, running("haproxy", server.sockets[0].getsockname()[1], tmp_path) as port:
            for _ in range(3):
                await asked.wait()
                asked.clear()
            assert (await ask(port, "/healthz", None, method="GET")).status == 200

    run(case())


def question(model: str) -> dict[str, object]:
    return {"model": model, "stream": True, "messages": [{"role": "user", "content": "Why?"}]}


async def opened(port: int, path: str, model: str, headers: dict[str, str] | None = None) -> Reader:
    reader = await Reader.connect(port)
    reader.send(request_bytes(path, json.dumps(question(model)).encode(), {**JSON, **(headers or {})}))
    return reader


@every
@pytest.mark.parametrize("tls", [False, True])
def test_the_program_accepts_it(program: str, tls: bool, tmp_path: Path) -> None:
    file, _ = written(program, 8080, tmp_path, tls=tls)
    result = check(program, file, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    told = (result.stdout + result.stderr).lower()
    assert "warn" not in "".join(line for line in told.splitlines() if not any(each in line for each in FRAME))


@every
@paths
def test_a_token_is_not_held(program: str, path: str, tmp_path: Path) -> None:
    async def case() -> None:
        async with rig() as gate, running(program, gate.port, tmp_path) as port:
            reader = await opened(port, path, "sim/stall-after-1")
            await reader.head()
            await reader.until(b"Twice")
            assert len(gate.gateway.relay.registry) == 1, "the token came when the stream was over"
            await reader.close()

    run(case())


@every
@paths
@pytest.mark.parametrize("fault", ["cut-after-3", "half-event", "error-event"])
def test_an_error_event_is_whole(program: str, path: str, fault: str, tmp_path: Path) -> None:
    async def case() -> None:
        async with rig() as gate, running(program, gate.port, tmp_path) as port:
            direct = await ask(gate.port, path, question(f"sim/{fault}"))
            through = await ask(port, path, question(f"sim/{fault}"))
            assert through.whole
            assert through.error is not None
            assert direct.error is not None
            assert through.error["code"] == direct.error["code"]
            assert through.text == direct.text

    run(case())


@every
@pytest.mark.parametrize("phase", ["thinking", "streaming"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_cancel_reaches_the_upstream(program: str, phase: str, tls: bool, tmp_path: Path) -> None:
    """Over TLS it is curl with HTTP/2 that leaves."""

    async def case() -> None:
        ttft = 30.0 if phase == "thinking" else 0.01
        simulated = simulator_options(tps=50.0, tokens=5000, ttft=ttft)
        async with rig(simulated=simulated) as gate, running(program, gate.port, tmp_path, tls=tls) as port:
            if tls:
                await leave_by_curl(gate, port, phase)
            else:
                reader = await opened(port, "/v1/chat/completions", "sim/prose")
                await begun(gate, phase)
                await reader.close()
            assert (await gate.ended()).reason == "client_cancel"
            simulator = gate.simulator
            assert simulator is not None
            await until(lambda: simulator.stats()["aborted"] == 1)

    run(case())


async def begun(gate: Rig, phase: str) -> None:
    simulator = gate.simulator
    assert simulator is not None
    await until(lambda: bool(simulator.truths) and (phase == "thinking" or simulator.truths[0].tokens > 2))


async def leave_by_curl(gate: Rig, port: int, phase: str) -> None:
    url = f"https://localhost:{port}/v1/chat/completions"
    child = await asyncio.create_subprocess_exec(
        *("curl", "-skN", "--http2", "--noproxy", "*", url, "-d", json.dumps(question("sim/prose"))),
        *("-H", "content-type: application/json"),
        stdout=subprocess.DEVNULL,
    )
    await begun(gate, phase)
    child.kill()
    await child.wait()


@every
def test_http_2_carries_a_token_when_it_comes(program: str, tmp_path: Path) -> None:
    async def case() -> None:
        async with rig() as gate, running(program, gate.port, tmp_path, tls=True) as port:
            url = f"https://localhost:{port}/v1/chat/completions"
            child = await asyncio.create_subprocess_exec(
                *("curl", "-skvN", "--http2", "--noproxy", "*", url, "-d", json.dumps(question("sim/stall-after-1"))),
                *("-H", "content-type: application/json"),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            assert child.stdout is not None
            text = b""
            while b"Twice" not in text:
                line = await child.stdout.readline()
                assert line
                text += line
            assert len(gate.gateway.relay.registry) == 1
            child.kill()
            _, log = await child.communicate()
            assert b"< HTTP/2 200" in log
            if program == "caddy":
                assert b"alt-svc: h3=" in log.lower(), "HTTP/3 is offered"

    run(case())


@every
def test_nothing_is_compressed_twice(program: str, tmp_path: Path) -> None:
    async def case() -> None:
        async with rig() as gate, running(program, gate.port, tmp_path) as port:
            for headers, coding in (
                ({"accept-encoding": "gzip"}, None),
                ({"accept-encoding": "gzip", "save-data": "on"}, "gzip"),
            ):
                reader = await opened(port, "/v1/chat/completions", "sim/prose", headers)
                await reader.head()
                assert reader.headers.get("content-encoding") == coding
                await reader.rest()
                await reader.close()

    run(case())
