"""A gateway as its own process, and what is left of processes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["alive", "children", "gateway", "gone", "stream"]


@contextmanager
def gateway(*arguments: str, python: str | Path = sys.executable) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``tidegate serve`` on a free port; its process and URL, once it is ready. Killed at the end if it still lives."""
    process = subprocess.Popen(
        [str(python), "-m", "tidegate", "serve", "--port", "0", "--log-format", "json", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            ready = re.fullmatch(r"Tidegate is ready: (http://\S+)\n", line)
            if ready:
                yield process, ready[1]
                return
        raise AssertionError(f"the gateway did not start: {''.join(said)}")
    finally:
        process.kill()
        process.wait(60)
        process.stdout.close()


def stream(url: str, body: dict[str, Any]) -> list[str]:
    """The lines of an answer, as curl gets them."""
    command = ["curl", "-sN", "--fail-with-body", f"{url}/v1/chat/completions", "-d", json.dumps(body)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return [line for line in result.stdout.splitlines() if line]


def children(pid: int) -> list[int]:
    """The processes that ``pid`` started and that still live."""
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdecimal() and _parent(int(entry.name)) == pid
    ]


def _parent(pid: int) -> int | None:
    try:
        # After the name, which may hold anything: state, parent.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return None


def alive(pid: int) -> bool:
    """Whether the process runs; one that only waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def gone(pid: int, seconds: float = 60.0) -> bool:
    """Whether the process ends within ``seconds``."""
    deadline = time.monotonic() + seconds
    while alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
