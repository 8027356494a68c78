"""The spool: entries on their way to the database, in files, so that neither a crash nor a database that is away loses
one.

Every entry passes through it. One thread appends, one reads on and says what has been written; usually that is all, and
the file is emptied. The latest entries are kept in memory too, so that the file is seldom read. A line is
``<CRC-32 in 8 hex digits> <JSON>``. One that a full disk or a power cut has left unfinished is skipped.
"""

from __future__ import annotations

import os
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Final

import msgspec

from tidegate.ledger.entries import Item, decode, encode

__all__ = ["Spool", "SpoolFull", "read"]

SEGMENT: Final = 8 * 1024 * 1024
"""Bytes after which another file is begun, so that those that are done with can go."""

READ: Final = 1024 * 1024
"""Bytes of one batch, about."""

FRESH: Final = 2 * READ
"""Bytes in the files whose entries are kept in memory as well."""

_SUFFIX: Final = ".spool"


class SpoolFull(Exception):
    """It holds as much as it may."""


class Spool:
    """The files of one gateway, in a folder of their own. :meth:`append` is for one thread, the rest for another.

    :param most: bytes that may wait.
    :raises OSError: the folder cannot be used.
    """

    def __init__(self, folder: Path, most: int) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._most = most
        self._lock = Lock()
        self._sizes = {path: path.stat().st_size for path in _segments(folder)}
        # Never on behind what a process before this one may have left unfinished.
        self._current = self._next_path()
        self._file: int | None = None
        self._peeked = self._done = 0
        """Bytes of the oldest file that are in the database."""
        self.rows = sum(1 for path in self._sizes for _ in read(path))
        """Entries that wait."""
        self._fresh: deque[tuple[Item, int]] | None = None if self._sizes else deque()
        """All entries that wait, each with its bytes in the file; ``None``: they have to be read."""

    @property
    def size(self) -> int:
        """Bytes that wait."""
        with self._lock:
            return sum(self._sizes.values()) - self._done

    def append(self, items: Sequence[Item]) -> None:
        """Put entries behind the others: all of them or none.

        :raises SpoolFull: there is no room for them.
        :raises OSError: they cannot be written.
        """
        lines = list(map(_line, items))
        data = b"".join(lines)
        with self._lock:
            if sum(self._sizes.values()) - self._done + len(data) > self._most:
                raise SpoolFull
            size = self._sizes.get(self._current, 0)
            if size >= SEGMENT:
                self._close_file()
                self._current, size = self._next_path(), 0
                self._fresh = None  # a batch is of one file
            if self._file is None:
                self._file = os.open(self._current, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
            try:
                _write_all(self._file, data)
            except OSError:
                os.ftruncate(self._file, size)
                raise
            self._sizes[self._current] = size + len(data)
            self.rows += len(items)
            if self._fresh is not None:
                self._fresh.extend(zip(items, map(len, lines), strict=True))
                if size + len(data) - self._done > FRESH:
                    self._fresh = None

    def peek(self) -> list[Item]:
        """The oldest entries that wait, not all of them at once; empty when nothing waits.

        :raises OSError: they cannot be read.
        """
        while True:
            with self._lock:
                path = next(iter(self._sizes), None)
                if path is None:
                    return []
                if self._fresh is not None:
                    return self._first(self._fresh)
                start, end = self._done, self._sizes[path]
            with path.open("rb") as file:
                file.seek(start)
                data = file.read(min(READ, end - start))
                if start + len(data) < end and not data.endswith(b"\n"):
                    data += file.readline()
            self._peeked = len(data)
            items = [item for line in data.split(b"\n") if (item := _item(line)) is not None]
            if items:
                return items
            self.forget(0)

    def _first(self, fresh: Iterable[tuple[Item, int]]) -> list[Item]:
        items, size = [], 0
        for item, length in fresh:
            items.append(item)
            size += length
            if size >= READ:
                break
        self._peeked = size
        return items

    def forget(self, rows: int) -> None:
        """What :meth:`peek` returned last, ``rows`` entries, is done with."""
        with self._lock:
            path = next(iter(self._sizes))
            self._done += self._peeked
            self.rows -= rows
            if self._fresh is not None:
                for _ in range(rows):
                    self._fresh.popleft()
            if self._done < self._sizes[path]:
                return
            self._done = 0
            if path != self._current:
                del self._sizes[path]
                path.unlink(missing_ok=True)
            elif self._file is not None:
                os.ftruncate(self._file, 0)
                del self._sizes[path]
            if not self._sizes and self._fresh is None:
                self._fresh = deque()

    def close(self) -> None:
        """Close the file; an empty one goes."""
        with self._lock:
            self._close_file()
            if self._current not in self._sizes:
                self._current.unlink(missing_ok=True)

    def _close_file(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _next_path(self) -> Path:
        last = max((int(path.stem) for path in self._folder.glob(f"*{_SUFFIX}")), default=0)
        return self._folder / f"{last + 1:08}{_SUFFIX}"


def read(path: Path) -> Iterator[Item]:
    """The entries of one file."""
    with path.open("rb") as file:
        for line in file:
            if (item := _item(line)) is not None:
                yield item


def _segments(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(f"*{_SUFFIX}") if path.stem.isdecimal())


def _line(item: Item) -> bytes:
    data = encode(item)
    return b"%08x %b\n" % (zlib.crc32(data), data)


def _item(line: bytes) -> Item | None:
    data = line.rstrip(b"\n")[9:]
    if line[:8] != b"%08x" % zlib.crc32(data):
        return None
    try:
        return decode(data)
    except msgspec.DecodeError:
        return None


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
