"""docs/how-to/behind-a-proxy.md: each configuration in the real program, with a stream through it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.docs.blocks import blocks_of
from tests.fakes.child import end
from tests.fakes.gateway import Rig, rig, run, simulator_options, until
from tests.fakes.ports import unused_port
from tests.fakes.reader import Reader, ask, request_bytes

PAGE = "docs/how-to/behind-a-proxy.md"


@dataclass(frozen=True)
class Proxy:
    """How a program is told to use the page's block, to check it and to run it."""

    language: str
    program: str
    whole: Callable[[str, int, Path], str]
    """The page's block with the port to listen on, as a whole configuration."""
    check: tuple[str, ...]
    serve: tuple[str, ...]


def _nginx(block: str, port: int, folder: Path) -> str:
    assert "listen 80;" in block
    paths = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    block = block.replace("listen 80;", f"listen 127.0.0.1:{port};")
    head = f"pid {folder}/pid; error_log {folder}/log; events {{}} worker_processes 1;"
    return f"{head} http {{ access_log off; {paths}\n{block}\n}}\n"


def _caddy(block: str, port: int, _: Path) -> str:
    assert block.startswith("llm.example.com {")
    block = block.replace("llm.example.com {", f"http://:{port} {{\n    bind 127.0.0.1", 1)
    return f"{{\n    admin off\n    auto_https off\n}}\n{block}"


def _haproxy(block: str, port: int, _: Path) -> str:
    assert "bind :80\n" in block
    return block.replace("bind :80\n", f"bind 127.0.0.1:{port}\n")


FILE = "{file}"
PROXIES = [
    Proxy("nginx", "nginx", _nginx, ("-t", "-c", FILE), ("-c", FILE, "-g", "daemon off;")),
    Proxy(
        "caddyfile", "caddy", _caddy,
        ("validate", "--adapter", "caddyfile", "--config", FILE), ("run", "--adapter", "caddyfile", "--config", FILE),
    ),
    Proxy("haproxy", "haproxy", _haproxy, ("-c", "-f", FILE), ("-db", "-f", FILE)),
]  # fmt: skip
every = pytest.mark.parametrize("proxy", PROXIES, ids=lambda proxy: proxy.program)


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    assert found, f"{name} is not installed: scripts/debian-packages nginx-light haproxy caddy"
    return found


def _environment(folder: Path) -> dict[str, str]:
    return {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "PATH": "/usr/bin:/bin"}


def _write(proxy: Proxy, folder: Path, gateway_port: int) -> tuple[Path, int]:
    (block,) = [block.text for block in blocks_of(PAGE) if block.language == proxy.language]
    for shown in ("127.0.0.1:8080", "127.0.0.1:8081"):
        block = block.replace(shown, f"127.0.0.1:{gateway_port}")
    port, file = unused_port(), folder / "configuration"
    file.write_text(proxy.whole(block, port, folder))
    return file, port


@asynccontextmanager
async def running(proxy: Proxy, folder: Path, gate: Rig) -> AsyncIterator[int]:
    """The program in front of the gateway; its port, once it listens and believes that the gateway is there."""
    file, port = _write(proxy, folder, gate.port)
    arguments = [each.replace(FILE, str(file)) for each in proxy.serve]
    with (folder / "output").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            _program(proxy.program), *arguments, cwd=folder, env=_environment(folder), stdout=output, stderr=output
        )
    try:
        for _ in range(4000):
            assert process.returncode is None, (folder / "output").read_text()
            try:
                reader = await ask(port, "/healthz", None, method="GET")
            except OSError:
                await asyncio.sleep(0.025)
                continue
            if reader.status == 200:
                break
            await asyncio.sleep(0.025)
        yield port
    finally:
        await end(process)


@every
def test_the_program_accepts_the_configuration(proxy: Proxy, tmp_path: Path) -> None:
    file, _ = _write(proxy, tmp_path, 8080)
    command = [_program(proxy.program), *(each.replace(FILE, str(file)) for each in proxy.check)]
    result = subprocess.run(
        command, cwd=tmp_path, env=_environment(tmp_path), capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr + result.stdout


async def check_first_token(proxy: Proxy, path: str, folder: Path, *, idle_timeout: float = 60.0) -> None:
    """A single token passes while the stream lives and nothing follows it."""
    async with rig(idle_timeout=idle_timeout) as gate, running(proxy, folder, gate) as port:
        reader = await Reader.connect(port)
        try:
            reader.send(question(path, "sim/stall-after-1"))
            await reader.head()
            await reader.until(b"Twice")
            assert len(gate.gateway.relay.registry) == 1, "the token came when the stream was over"
        finally:
            await reader.close()


@every
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/v1/chat/stream"])
def test_a_token_passes_when_it_comes(proxy: Proxy, path: str, tmp_path: Path) -> None:
    run(check_first_token(proxy, path, tmp_path))


def test_a_proxy_that_buffers_is_noticed(tmp_path: Path) -> None:
    """The check above can fail: the page's HAProxy, told to wait for the body."""

    def whole(block: str, port: int, folder: Path) -> str:
        return _haproxy(f"{block}    http-response wait-for-body time 20s\n", port, folder)

    buffering = replace(next(proxy for proxy in PROXIES if proxy.program == "haproxy"), whole=whole)
    with pytest.raises(AssertionError, match="when the stream was over"):
        run(check_first_token(buffering, "/api/v1/chat/stream", tmp_path, idle_timeout=1.0))


@every
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/v1/chat/stream"])
def test_the_answer_is_whole(proxy: Proxy, path: str, tmp_path: Path) -> None:
    async def case() -> None:
        async with rig() as gate, running(proxy, tmp_path, gate) as port:
            direct, through = await Reader.connect(gate.port), await Reader.connect(port)
            for reader in (direct, through):
                reader.send(question(path))
                assert await reader.head() == 200
                await reader.rest()
                await reader.close()
            assert (through.body, through.whole) == (direct.body, True)

    run(case())


@every
@pytest.mark.parametrize("phase", ["thinking", "streaming"])
def test_a_reader_that_leaves_stops_the_model(proxy: Proxy, phase: str, tmp_path: Path) -> None:
    async def case() -> None:
        ttft = 30.0 if phase == "thinking" else 0.01
        simulated = simulator_options(tps=50.0, tokens=5000, ttft=ttft)
        async with (
            rig(simulated=simulated, first_token_timeout=60.0) as gate,
            running(proxy, tmp_path, gate) as port,
        ):
            reader = await Reader.connect(port)
            reader.send(question("/v1/chat/completions"))
            if phase == "streaming":
                await reader.head()
                await reader.until(b'"content":')
            else:
                await until(lambda: gate.simulator is not None and gate.simulator.stats()["running"] == 1)
            await reader.close()
            record = await gate.ended()
            assert record.reason == "client_cancel"
            assert gate.simulator is not None
            await until(lambda: gate.simulator is not None and gate.simulator.stats()["aborted"] == 1)

    run(case())


def question(path: str, model: str = "sim/prose") -> bytes:
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "Why?"}]}
    return request_bytes(path, json.dumps(body).encode(), {"content-type": "application/json"})
