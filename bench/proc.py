"""CPU and memory of a process tree, from /proc and the processes' own CPU clocks."""

from __future__ import annotations

import os
import time
from pathlib import Path

__all__ = ["cpu_seconds", "parse_stat", "rss_bytes", "stat_cpu_seconds", "tree"]

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def parse_stat(text: str) -> tuple[int, int, int]:
    """``(ppid, utime, stime)`` of a /proc/<pid>/stat line. The name in brackets may hold spaces and brackets."""
    fields = text[text.rindex(")") + 2 :].split()
    return int(fields[1]), int(fields[11]), int(fields[12])


def tree(root: int) -> list[int]:
    """``root`` and all processes below it, as of now."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parent = parse_stat(Path(f"/proc/{entry}/stat").read_text())[0]
            except OSError:
                continue  # it ended meanwhile
            children.setdefault(parent, []).append(int(entry))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def cpu_seconds(pids: list[int]) -> float:
    """User + system seconds of these processes, all threads, ended threads included.

    Read from each process's CPU clock, because the ticks of /proc/<pid>/stat are 10 ms: the same figure, but 50
    streams of 100 tokens would be a dozen ticks.
    """
    total = 0.0
    for pid in pids:
        try:
            total += time.clock_gettime((~pid << 3) | 2)  # CPUCLOCK_SCHED of another process: clock_getcpuclockid(3)
        except OSError:
            total += stat_cpu_seconds(pid)
    return total


def stat_cpu_seconds(pid: int) -> float:
    """User + system seconds of one process from /proc/<pid>/stat; 0 when it is gone."""
    try:
        _, user, system = parse_stat(Path(f"/proc/{pid}/stat").read_text())
    except OSError:
        return 0.0
    return (user + system) / TICK


def rss_bytes(pids: list[int]) -> int:
    """Resident bytes of these processes, added up (pages that several share count once for each)."""
    total = 0
    for pid in pids:
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
        except OSError:
            continue
    return total
