"""Every Python block of the client's guide runs against a gateway as it stands there, and its settings are all told."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import gateway
from tidegate.client import StreamConfig

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCKS = re.findall(r"```python\n(.*?)```", (DOCS / "how-to-client.md").read_text(), re.DOTALL)
EXPECTED = ["Twice a day", "Twice a day", "[cut: upstream_cut, 19 characters came", "Usage("]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with gateway() as (_, address):
        yield address


@pytest.mark.parametrize(("block", "expected"), list(zip(BLOCKS, EXPECTED, strict=True)))
def test_a_block_of_the_guide_runs(url: str, block: str, expected: str) -> None:
    program = block.replace("http://127.0.0.1:8080", url)
    assert program != block
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert expected in done.stdout


def test_every_setting_is_in_the_reference() -> None:
    reference = (DOCS / "reference" / "client.md").read_text()
    for field in dataclasses.fields(StreamConfig):
        assert f"| `{field.name}` |" in reference, field.name
