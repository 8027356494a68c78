"""Resident memory of a process and those that it started, over time. Read from /proc, so on Linux only."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Final

from tidegate.errors import InvalidRequest

__all__ = ["MemoryWatch", "rss_bytes", "tree"]

_PROC: Final = Path("/proc")


def tree(root: int) -> list[int]:
    """``root`` and every process below it, as of now; empty when it is gone."""
    parents: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            try:
                # Behind the name, which may hold anything: state, parent.
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue  # it ended meanwhile
            parents.setdefault(parent, []).append(int(entry.name))
    if not (_PROC / str(root)).exists():
        return []
    found = [root]
    for pid in found:
        found += parents.get(pid, [])
    return found


def rss_bytes(pids: list[int]) -> int:
    """Resident bytes, added up: pages that two of them share count twice."""
    page, total = os.sysconf("SC_PAGE_SIZE"), 0
    for pid in pids:
        try:
            total += int((_PROC / str(pid) / "statm").read_text().split()[1]) * page
        except (OSError, IndexError):
            continue
    return total


class MemoryWatch:
    """Samples a process tree while a block runs: ``async with MemoryWatch(pid) as watch``.

    :raises InvalidRequest: there is no such process, or no /proc.
    """

    def __init__(self, pid: int, *, interval: float = 0.1) -> None:
        if not _PROC.is_dir():
            raise InvalidRequest("Memory is read from /proc, which this system does not have.")
        if not tree(pid):
            raise InvalidRequest(f"There is no process {pid}.")
        self.samples: list[tuple[float, int]] = []
        """``(time.monotonic, bytes)``."""
        self._pid = pid
        self._interval = interval
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> MemoryWatch:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        try:
            await self._task
        except asyncio.CancelledError:
            pass

    async def _run(self) -> None:
        pids = tree(self._pid)
        for turn in range(1, 1 << 62):
            if used := rss_bytes(pids):
                self.samples.append((monotonic(), used))
            if len(self.samples) > 20_000:  # half of them are as good, for any length of test
                self.samples[:] = self.samples[::2]
                self._interval *= 2
            await asyncio.sleep(self._interval)
            if turn % 20 == 0:
                pids = tree(self._pid)

    @property
    def now(self) -> int:
        """The last sample in bytes; 0 when there is none."""
        return self.samples[-1][1] if self.samples else 0

    @property
    def peak(self) -> int:
        """The highest sample in bytes; 0 when there is none."""
        return max((used for _, used in self.samples), default=0)

    def growth(self, begin: float, end: float) -> tuple[int, int] | None:
        """Medians of the first and the last quarter between two moments; ``None`` when there are too few samples.

        A single sample would tell more about the moment than about the process.
        """
        within = [used for at, used in self.samples if begin <= at <= end]
        quarter = len(within) // 4
        if quarter < 3:
            return None
        return int(median(within[:quarter])), int(median(within[-quarter:]))
