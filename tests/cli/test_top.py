"""``tidegate top`` at a real pseudo-terminal, against a running gateway; and for scripts."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.pseudo import terminal
from tests.cli.running import gateway
from tidegate.client import StreamClient, StreamResult, TidegateError


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with gateway() as (_, address):
        yield address


@contextmanager
def readers(url: str, *models: str) -> Iterator[list[StreamResult]]:
    """Readers of endless answers, each in a thread, ended at the end; yields what became of those that ended."""
    results: list[StreamResult] = []
    with StreamClient(endpoint=url, trust_env=False) as client:
        streams = [client.stream([{"role": "user", "content": "x"}], model=model) for model in models]

        def read(stream: Any) -> None:
            try:
                for _ in stream:
                    pass
            except TidegateError:
                pass
            results.append(stream.result)

        threads = [threading.Thread(target=read, args=(stream,)) for stream in streams]
        for stream, thread in zip(streams, threads, strict=True):
            stream.__enter__()
            thread.start()
        try:
            yield results
        finally:
            for stream in streams:
                stream.cancel()
            for thread in threads:
                thread.join(60)


def once(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tidegate", "top", "--url", url, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_once_for_scripts(url: str) -> None:
    with readers(url, "sim/prose?tokens=100000&tps=100"):
        table = json.loads(once(url, "--once", "--json").stdout)
        assert table["live"] == len(table["streams"]) == 1
        assert table["streams"][0]["state"] == "streaming"
        said = once(url, "--once").stdout
        assert "1 live" in said
        assert "sim/prose" in said
        assert "\x1b" not in said


def test_what_cannot_work_is_one_line(url: str) -> None:
    assert once("http://127.0.0.1:9", "--once").stderr == "tidegate: the gateway cannot be reached\n"
    assert once(url, "--json").returncode == 2
    assert "needs a terminal" in once(url).stderr
    refused = once(url, "--once", "--key", "tg-wrong")
    assert refused.returncode == 1
    assert "tg-wrong" not in refused.stderr


def test_a_live_table_that_stops_cancels_and_filters(url: str, tmp_path: Path) -> None:
    models = [f"sim/{name}?tokens=100000&tps=50" for name in ("prose", "cjk", "rtl")]
    with readers(url, *models) as results, terminal("top", "--url", url, home=tmp_path) as top:
        top.until("3 live")
        top.until(lambda: sum("streaming" in line for line in top.lines) == 3)
        top.until("tokens/s ")
        assert top.lines[23].startswith("↑↓ select")
        assert all(len(line) <= 80 for line in top.lines)
        top.type("\x1b[Bs")
        top.until("soft_stop")
        top.until("2 live")
        assert [result.reason for result in results] == ["soft_stop"]
        top.type("\x1b[Ax")
        top.until("client_cancel")
        top.until("1 live")
        top.type("/rtl\r")
        top.until("filter: rtl (1)")
        assert not any("sim/cjk" in line for line in top.lines)
        top.resize(100, 30)
        top.until(lambda: len(top.lines) == 30 and "select" in top.lines[29])
        top.type("q")
        assert top.ended() == 0
        assert top.raw.endswith(b"\x1b[?25h\x1b[?1049l")


def test_ctrl_c_leaves_and_puts_the_terminal_back(url: str, tmp_path: Path) -> None:
    with terminal("top", "--url", url, home=tmp_path) as top:
        top.until("no stream")
        top.type("\x03")
        assert top.ended() == 0
        assert b"\x1b[?1049l" in top.raw


def test_a_gateway_that_goes_away_is_waited_for(tmp_path: Path) -> None:
    with gateway() as (process, address), terminal("top", "--url", address, home=tmp_path) as top:
        top.until("no stream")
        process.terminate()
        top.until("trying again")
        top.type("q")
        assert top.ended() == 0
