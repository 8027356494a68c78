"""Which gateway this is, and which ones of this machine have died.

The gateways of a machine share a folder with a sub-folder, a slot, for each that runs. A lock on it ends with the
process, however it ends: whoever can take the lock of a slot knows that its gateway is dead, and takes over what it
left. Gateways of other machines are known by their leases (``book.py``).
"""

from __future__ import annotations

import fcntl
import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["Slot", "dead_slots", "take_slot"]

MOST: Final = 256
"""Gateways of one machine with one ledger."""

_LOCK: Final = "lock"
_NAMES: Final = "instances"


class Slot:
    """A locked sub-folder. Hold it for as long as the gateway runs."""

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder = folder
        self._lock = lock

    def enlist(self) -> str:
        """A new name for this run of the gateway, kept here until :meth:`strike`."""
        name = f"{socket.gethostname()[:24]}-{uuid.uuid4().hex[:12]}"
        with (self.folder / _NAMES).open("a") as file:
            file.write(f"{name}\n")
        return name

    def names(self) -> list[str]:
        """Runs whose streams are not all known to have been closed, oldest first."""
        try:
            return (self.folder / _NAMES).read_text().split()
        except FileNotFoundError:
            return []

    def strike(self, names: list[str]) -> None:
        """The streams of these runs have been closed."""
        left = [name for name in self.names() if name not in names]
        fresh = self.folder / f"{_NAMES}.new"
        fresh.write_text("".join(f"{name}\n" for name in left))
        fresh.replace(self.folder / _NAMES)

    def release(self) -> None:
        """Somebody else may have it."""
        os.close(self._lock)


def take_slot(folder: Path) -> Slot:
    """The first slot that is free.

    :raises OSError: the folder cannot be used, or every slot is taken.
    """
    for number in range(MOST):
        slot = _lock(folder / str(number))
        if slot is not None:
            return slot
    raise OSError(f"{MOST} gateways use {folder}")


def dead_slots(folder: Path) -> Iterator[Slot]:
    """Slots whose gateways have died and left something, each locked; release it."""
    for path in sorted(folder.iterdir()):
        if not path.name.isdecimal() or not _left_something(path):
            continue
        slot = _lock(path)
        if slot is not None:
            if _left_something(path):
                yield slot
            else:
                slot.release()


def _left_something(path: Path) -> bool:
    names = path / _NAMES
    return any(path.glob("*.spool")) or (names.is_file() and names.stat().st_size > 0)


def _lock(path: Path) -> Slot | None:
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return Slot(path, descriptor)
