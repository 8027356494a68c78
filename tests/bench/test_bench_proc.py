"""Reading /proc."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from bench.proc import cpu_seconds, parse_stat, rss_bytes, stat_cpu_seconds, tree

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")

WAITS = "import sys; sys.stdin.read()"


def test_a_process_name_may_hold_spaces_and_brackets() -> None:
    """The fields are counted from the last bracket."""
    line = "42 (a (b) c) S 7 42 42 0 -1 4194560 1 2 3 4 150 30 0 0 20 0 1 0 9 8 7"
    assert parse_stat(line) == (7, 150, 30)


def test_the_tree_holds_children_of_children() -> None:
    """A launcher's workers are the relay too."""
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {WAITS!r}])"
    child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE)
    try:
        found: list[int] = []
        while len(found) < 2 and child.poll() is None:
            found = tree(child.pid)
        assert found[0] == child.pid
        assert len(found) == 2
    finally:
        child.communicate(timeout=120)


def test_cpu_time_agrees_with_the_ticks_of_proc() -> None:
    """The fine clock is the same figure as utime + stime."""
    script = f"[number * number for number in range(3_000_000)]; print('done', flush=True); {WAITS}"
    child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        fine, ticks = cpu_seconds([child.pid]), stat_cpu_seconds(child.pid)
        assert fine > 0.02
        assert abs(fine - ticks) < 0.05
    finally:
        child.communicate(timeout=120)


def test_this_process_has_memory_and_a_gone_one_has_none() -> None:
    """A process that ended is zero, not an error."""
    assert rss_bytes([os.getpid()]) > 1_000_000
    assert rss_bytes([2**22 + 1]) == 0
