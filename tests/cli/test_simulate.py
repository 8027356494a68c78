"""cli/simulate.py: flags from the simulator's own options, and a server until it is told to stop."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import urllib.request

import pytest

from tests.cli.conftest import Command
from tidegate.cli.simulate import _first_line, _serve
from tidegate.config.schema import keys_of
from tidegate.errors import GatewayFault
from tidegate.simulator.faults import TABLE
from tidegate.simulator.options import SimulatorOptions


def test_every_plain_option_of_the_simulator_is_a_flag(command: Command) -> None:
    text = command("simulate", "--help").stdout
    for key in keys_of(SimulatorOptions).values():
        if key.hint in (int, float, str):
            assert f"--{key.name.replace('_', '-')} " in text


def test_the_flags_of_the_examples_exist(command: Command) -> None:
    text = command("simulate", "--help").stdout.partition("Options:")[2]
    assert "--ttft " in text
    assert "--tps " in text


def test_the_list_names_every_fault(command: Command) -> None:
    result = command("simulate", "--list")
    assert (result.exit_code, result.stderr) == (0, "")
    for name in TABLE:
        assert name in result.stdout


def test_a_fault_is_described_by_its_own_words() -> None:
    assert _first_line("cuts\nthe stream") == "cuts"
    assert _first_line(_first_line) == ""


def test_a_wrong_value_is_one_line(command: Command) -> None:
    result = command("simulate", "--port", "99999")
    assert result.exit_code == 2
    assert result.stderr.startswith("tidegate: Invalid value for '--port'")
    assert result.stderr.count("\n") == 1


def test_a_port_in_use_is_said_to_be_so() -> None:
    class Taken:
        async def start(self, host: str, port: int) -> None:
            raise OSError(98, "Address already in use")

    with pytest.raises(GatewayFault, match=r"cannot listen on 127\.0\.0\.1:80: the port is in use"):
        asyncio.run(_serve(Taken(), "127.0.0.1", 80))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_told_to_stop(number: signal.Signals) -> None:
    arguments = [sys.executable, "-m", "tidegate", "simulate", "--port", "0"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first.startswith("The simulated model server is ready: http://127.0.0.1:")
        url = first.split()[-1]
        with urllib.request.urlopen(f"{url}/models") as answer:
            assert json.load(answer)["object"] == "list"
        process.send_signal(number)
        _, errors = process.communicate(timeout=120)
        assert (process.returncode, errors) == (0, "0 generations: 0 completed, 0 aborted\n")
