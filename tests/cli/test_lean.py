"""cli/lean.py: what a gateway need not carry."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("lean.import_structlog(); print('structlog' in sys.modules, 'rich' in sys.modules)", "True False"),
        ("lean.import_structlog(); import rich.console; print(rich.console.Console.__name__)", "Console"),
        ("import rich; lean.import_structlog(); print(sys.modules['rich'] is rich)", "True"),
        ("import structlog; lean.import_structlog(); print('structlog' in sys.modules)", "True"),
    ],
)
def test_structlog_comes_without_rich(program: str, said: str) -> None:
    """And rich is there for whoever wants it."""
    argv = [sys.executable, "-c", f"import sys; from tidegate.cli import lean; {program}"]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip() == said


def test_the_gateways_command_does_not_import_what_it_does_not_need() -> None:
    """Neither before it runs, nor as it begins."""
    program = """
import sys
from tidegate.cli.serve import serve
print("structlog" in sys.modules)
try:
    serve(["--upstream", "http://127.0.0.1:9/v1", "--port", "0", "--config", "/nowhere"], standalone_mode=False)
except Exception as error:
    print(type(error).__name__)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "ConfigError"]
