"""bench/memory.py: the memory of processes that really run."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from tests.fakes.gateway import until
from tidegate.bench.memory import MemoryWatch, rss_bytes, tree
from tidegate.errors import InvalidRequest


def test_children_belong_to_the_tree() -> None:
    child = "import time; print(1, flush=True); time.sleep(60)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        found = tree(parent.pid)
        assert len(found) == 2
        assert rss_bytes(found) > rss_bytes([parent.pid]) > 1_000_000
        os.killpg(parent.pid, 9)


def test_a_process_that_is_not_there_is_refused() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    assert tree(gone.pid) == []
    assert rss_bytes([gone.pid]) == 0
    with pytest.raises(InvalidRequest, match=f"There is no process {gone.pid}"):
        MemoryWatch(gone.pid)


def test_it_watches_while_its_block_runs() -> None:
    async def case() -> None:
        async with MemoryWatch(os.getpid(), interval=0.005) as watch:
            await until(lambda: len(watch.samples) >= 30)
        count = len(watch.samples)
        assert watch.peak >= watch.now > 1_000_000
        await asyncio.sleep(0.03)
        assert len(watch.samples) == count

    asyncio.run(case())


def test_growth_compares_quarters_and_needs_enough_of_them() -> None:
    watch = MemoryWatch(os.getpid())
    assert (watch.now, watch.peak) == (0, 0)
    watch.samples[:] = [(float(at), 100 + at) for at in range(20)]
    assert watch.growth(0.0, 19.0) == (102, 117)
    assert watch.growth(0.0, 5.0) is None
