"""``tidegate edge``: the gateway's own settings are in it, and nothing that would break out of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tidegate.cli import cli

CONFIG = """
[server]
host = "0.0.0.0"
port = 9000
max_request_bytes = 1048576
[stream]
heartbeat = 40.0
total_timeout = 100.0
[auth]
anonymous = true
[[upstream]]
name = "main"
base_url = "http://127.0.0.1:1/v1"
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["edge", *arguments])
    return result.exit_code, result.output


@pytest.mark.parametrize("program", ["nginx", "haproxy", "caddy"])
def test_it_takes_over_what_the_configuration_says(program: str, here: Path) -> None:
    (here / "tidegate.toml").write_text(CONFIG)
    code, text = run(program)
    assert code == 0
    assert "127.0.0.1:9000" in text
    assert "160s" in text, "four heartbeats"
    assert {"nginx": "1m;", "haproxy": "1048576", "caddy": "1MB"}[program] in text


@pytest.mark.parametrize("program", ["nginx", "haproxy", "caddy"])
def test_without_a_file_there_is_the_usual_gateway(program: str) -> None:
    code, text = run(program, "--domain", "llm.example.com")
    assert code == 0
    assert "127.0.0.1:8080" in text
    assert "llm.example.com" in text
    code, text = run(program, "--gateway", "10.0.0.7:8080", "--gateway", "[::1]:81")
    assert "10.0.0.7:8080" in text
    assert "[::1]:81" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ("--domain", "x; return 200"),
        ("--domain", "-a.example"),
        ("--gateway", "host"),
        ("--gateway", "host:80;"),
        ("--listen", "80 default_server"),
        ("--cert", "/a b"),
        ("--key", "/k.pem"),
    ],
)
def test_what_would_not_work_is_refused(arguments: tuple[str, str]) -> None:
    code, text = run("nginx", *arguments)
    assert code == 2
    assert arguments[0] in text


def test_another_program_is_not_known() -> None:
    assert run("apache")[0] == 2
