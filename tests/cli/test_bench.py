"""cli/bench.py: measurements by name, imported when they run."""

from __future__ import annotations

from tests.cli.conftest import Command
from tidegate.cli.bench import MEASUREMENTS


def test_the_help_names_every_measurement(command: Command) -> None:
    result = command("bench", "--help")
    assert result.exit_code == 0
    for name, (_, text) in MEASUREMENTS.items():
        assert name in result.stdout
        assert text in result.stdout


def test_each_measurement_teaches_its_use(command: Command) -> None:
    for name in MEASUREMENTS:
        text = command("bench", name, "--help").stdout
        assert f"tidegate bench {name} " in text


def test_an_unknown_measurement_is_one_line(command: Command) -> None:
    result = command("bench", "zebra")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
