"""Commands as processes of their own, before real servers."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["simulator", "start", "tidegate"]


def start(*arguments: str) -> subprocess.Popen[str]:
    """``tidegate …``, running."""
    command = [sys.executable, "-m", "tidegate", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def tidegate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """``tidegate …``, to its end. There is never a traceback, whatever was wrong."""
    with start(*arguments) as process:
        out, err = process.communicate(timeout=120)
    assert "Traceback" not in err
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


@contextmanager
def simulator(*arguments: str) -> Iterator[str]:
    """``tidegate simulate``; its address without ``/v1``."""
    process = start("simulate", "--port", "0", "--ttft", "0.02", "--tps", "300", *arguments)
    assert process.stdout is not None
    try:
        found = re.search(r"http://[\d.]+:\d+", process.stdout.readline())
        assert found
        yield found[0]
    finally:
        process.kill()
        process.communicate()
