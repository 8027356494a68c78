"""A phone's link, of the kernel's own: a network namespace, and devices that ``tc`` slows down. Linux and root.

Whoever speaks from inside has a socket that was made there (:meth:`Link.socket`); nothing else of the process moves.
Addresses are of 198.18.0.0/15, which is set aside for benchmarks (RFC 2544).
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["DELAY", "RATE", "Link", "NoLink", "links"]

RATE: Final = 400
"""Kilobits a second, towards the phone."""

DELAY: Final = 150
"""Milliseconds, towards the phone."""

_NET: Final = 0x40000000  # CLONE_NEWNET, of linux/sched.h
_SPACES: Final = Path("/run/netns")
_PATIENCE: Final = 20.0


class NoLink(Exception):
    """There cannot be one here; the message says why."""


@dataclass(frozen=True, slots=True)
class Link:
    """One phone's: ``outside`` is the address of this end, ``shaped`` what the kernel does to what it sends."""

    space: str
    device: str
    outside: str
    shaped: str

    @property
    def sent(self) -> int:
        """Bytes to the phone so far, with all their headers."""
        return int(Path(f"/sys/class/net/{self.device}/statistics/tx_bytes").read_text())

    def socket(self) -> socket.socket:
        """A TCP socket of the phone's."""
        made: list[socket.socket] = []
        failed: list[OSError] = []

        def enter() -> None:
            # Only this thread goes there, and it ends at once.
            try:
                libc = ctypes.CDLL(None, use_errno=True)
                with (_SPACES / self.space).open("rb") as space:
                    if libc.setns(space.fileno(), _NET):
                        number = ctypes.get_errno()
                        raise OSError(number, os.strerror(number))
                made.append(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            except OSError as error:
                failed.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if not made:
            raise NoLink(f"No socket in a network namespace: {failed[0]}.")
        return made[0]


@contextmanager
def links(count: int) -> Iterator[list[Link]]:
    """So many of them, all gone with the block. Every one reaches the ``outside`` of the first.

    :raises NoLink: the kernel or the user may not.
    """
    for program in ("ip", "tc"):
        if shutil.which(program) is None:
            raise NoLink(f"There is no program `{program}` (Debian's package iproute2).")
    with ExitStack() as stack:
        made: list[Link] = []
        for number in range(count):
            made.append(stack.enter_context(_link(number, made[0].outside if made else "")))
        yield made


@contextmanager
def _link(number: int, first: str) -> Iterator[Link]:
    space = f"tidegate-{os.getpid()}-{number}"
    device, inner = f"tg{os.getpid() % 1000000}o{number}", f"tg{os.getpid() % 1000000}i{number}"
    outside, inside = f"198.18.{number}.1", f"198.18.{number}.2"
    _do("ip", "netns", "add", space)
    try:
        _do("ip", "link", "add", device, "type", "veth", "peer", "name", inner, "netns", space)
        _do("ip", "address", "add", f"{outside}/30", "dev", device)
        _do("ip", "link", "set", device, "up")
        _do("ip", "-n", space, "address", "add", f"{inside}/30", "dev", inner)
        _do("ip", "-n", space, "link", "set", inner, "up")
        if first:
            _do("ip", "-n", space, "route", "add", first, "via", outside)
        yield Link(space, device, outside, _shape(device))
    finally:
        # The devices go with the namespace, once its last socket is closed; here they go at once.
        _try("ip", "link", "delete", device)
        _try("ip", "netns", "delete", space)


def _shape(device: str) -> str:
    """Have the kernel slow the device down; what it does, in words."""
    root = ("tc", "qdisc", "add", "dev", device, "root")
    if not _try(*root, "netem", "rate", f"{RATE}kbit", "delay", f"{DELAY}ms"):
        return f"{RATE} kbit/s, {DELAY} ms"
    problem = _try(*root, "tbf", "rate", f"{RATE}kbit", "burst", "2kb", "latency", "2s")
    if problem:
        raise NoLink(f"This kernel shapes no link: it has neither netem nor tbf ({problem}).")
    return f"{RATE} kbit/s and no delay: this kernel has no netem"


def _do(*command: str) -> None:
    problem = _try(*command)
    if problem:
        raise NoLink(f"`{' '.join(command)}` failed: {problem}. It takes Linux, and root.")


def _try(*command: str) -> str:
    """What went wrong; nothing, when nothing did."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)  # noqa: S603 - ours
    said: Sequence[str] = done.stderr.strip().splitlines()
    return "" if done.returncode == 0 else said[-1].rstrip(".") if said else f"exit {done.returncode}"
