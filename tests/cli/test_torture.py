"""cli/torture.py: the suite as a real process against a real gateway."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.conftest import Command
from tests.cli.running import gateway
from tests.cli.servers import start, tidegate
from tests.fakes.ports import unused_port
from tidegate.torture.cases import CASES

CHOSEN = ("--only", "good", "--only", "cut-*", "--only", "no-finish", "--only", "json")


def test_our_own_gateway_is_honest_and_every_report_says_so() -> None:
    port = unused_port()
    with gateway("--upstream", f"http://127.0.0.1:{port}/v1") as (_, url):
        files = ("--junit", "t.xml", "--markdown", "t.md", "--json", "t.json")
        result = tidegate("torture", url, "--upstream-port", str(port), *CHOSEN, *files)
        assert result.returncode == 0, result.stderr
        assert result.stdout == "6 of 6 cases ended honestly\n"
        assert "ok   cut-in-chunk             an error event" in result.stderr
        assert ElementTree.parse("t.xml").getroot()[0].get("failures") == "0"
        assert len(Path("t.md").read_text().splitlines()) == 8
        assert json.loads(Path("t.json").read_text())["honest"] == 6
        out = tidegate("torture", url, "--upstream-port", str(port), "--only", "good", "--json", "-")
        assert json.loads(out.stdout)["cases"] == 1
        assert out.stderr.endswith("1 of 1 cases ended honestly\n")


def test_a_gateway_that_lies_is_exit_1() -> None:
    """A simulator is no gateway: whatever it is asked, it answers well, so every failure looks like a success."""
    port = unused_port()
    process = start("simulate", "--port", "0", "--tokens", "20")
    assert process.stdout is not None
    url = process.stdout.readline().split()[-1]
    try:
        result = tidegate("torture", url, "--upstream-port", str(port), "--only", "cut-after-5", "--recovery", "0.3")
        assert result.returncode == 1
        assert "it never asked this model server" in result.stderr or "LIE  cut-after-5" in result.stderr
    finally:
        process.kill()
        process.communicate()


def test_the_list_names_every_case(command: Command) -> None:
    result = command("torture", "--list")
    assert result.exit_code == 0
    for case in CASES:
        assert case.name in result.stdout
        assert case.wanted in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "Missing argument 'URL'"),
        (("h", "--only", "zebra"), 2, "no case matches zebra; see --list"),
        (("ftp://h",), 1, "ftp://h is not an http or https URL"),
        (("h", "--api-key", "env:NOT_SET"), 2, "NOT_SET"),
    ],
)
def test_what_is_typed_wrongly_is_one_line(
    command: Command, arguments: tuple[str, ...], code: int, message: str
) -> None:
    result = command("torture", *arguments, "--upstream-port", "0")
    assert result.exit_code == code
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_port_in_use_is_said_to_be_so(command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        result = command("torture", "h", "--upstream-port", str(port))
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert "the port is in use" in result.stderr


def test_a_gateway_that_does_not_ask_us_is_told_how_far_it_came() -> None:
    result = tidegate("torture", "http://127.0.0.1:9", "--upstream-port", "0", "--recovery", "0.3")
    assert result.returncode == 1
    assert "it never asked this model server" in result.stderr.splitlines()[-1]


def test_ctrl_c_ends_it() -> None:
    process = start("torture", "http://127.0.0.1:9", "--upstream-port", "0", "--recovery", "40")
    assert process.stderr is not None
    assert "is ready" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert (process.returncode, "Traceback" in err) == (130, False)
