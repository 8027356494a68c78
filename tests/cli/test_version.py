"""cli/version.py."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError

import pytest

from tests.cli.conftest import Command
from tidegate import __version__


def test_it_prints_the_version(command: Command) -> None:
    result = command("version")
    assert (result.exit_code, result.stdout) == (0, f"tidegate {__version__}\n")


def test_verbose_prints_what_a_bug_report_needs(command: Command) -> None:
    lines = command("version", "-v").stdout.splitlines()
    assert lines[0] == f"tidegate {__version__}"
    assert platform.python_version() in lines[1]
    assert any(line.startswith("uvicorn ") for line in lines)


def test_a_part_that_is_not_installed_is_said_to_be_so(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(part: str) -> str:
        raise PackageNotFoundError(part)

    monkeypatch.setattr("tidegate.cli.version.installed", missing)
    assert "uvloop not installed" in command("version", "-v").stdout
