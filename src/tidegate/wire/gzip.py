"""PURE. gzip (RFC 1952) that holds nothing back: what was written can be decoded the moment it comes.

zlib does it, with a small window, since an event repeats the ones just before it and memory is paid for every live
stream: 24 KB. Once it is known what the events of a stream look like (:meth:`Gzip.learn`), they are coded by
:mod:`tidegate.wire.deflate` and zlib's state is let go. For what is not like them there is a new one, which has the
last event for its dictionary.
"""

from __future__ import annotations

import zlib
from struct import pack
from typing import Any, Final

from tidegate.wire.deflate import LEAST_AROUND, MOST_AROUND, MOST_TEXT, Row, literals, rows

__all__ = ["LEVEL", "MEMORY", "WINDOW", "Gzip"]

LEVEL: Final = 3
WINDOW: Final = 12
"""Bits: 4 KiB, a dozen events."""

MEMORY: Final = 4
"""zlib's memLevel: 4 KiB of hash heads."""

_HEAD: Final = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_MOST_KEPT: Final = 1 << WINDOW


class Gzip:
    """One body. Who writes events of the shape that was learnt past :meth:`write` says so in ``texts`` and ``row``."""

    __slots__ = (
        *("_after", "_before", "_between", "_crc", "_last", "_owed", "_prefix", "_size", "_suffix", "_zlib"),
        *("row", "texts"),
    )

    name: Final = b"gzip"

    def __init__(self) -> None:
        self._zlib: Any = None
        self._owed = _HEAD
        self._prefix = self._suffix = self._between = b""
        self._before = self._after = 0
        self._crc = 0
        self._size = 0
        # The end of what was written: at least the last event, when that is of the shape.
        self._last = b""
        self.row: Row | None = None
        """Where the next event of the shape has its place; ``None``: it has to be written."""
        self.texts: list[bytes] = []
        """Of the events that were written past this, the latest last, until they are settled: a checksum of many costs
        less than that of each.
        """

    def settle(self) -> None:
        """Count what ``texts`` says."""
        event = self._prefix + self._between.join(self.texts) + self._suffix
        self._last = event[-_MOST_KEPT:]
        self._count(event)
        self.texts.clear()

    def say(self, text: bytes) -> bytes:
        """Write an event of the shape."""
        return self.write(self._prefix + text + self._suffix)

    def write(self, data: bytes) -> bytes:
        """The coded bytes, all that it takes to decode ``data``."""
        if self.texts:
            self.settle()
        self._count(data)
        coded: bytes | None = self._alike(data) if self._prefix else None
        if coded is None:
            made = self._compressor()
            # The empty block of a partial flush is shorter than that of a sync flush, and does as well.
            coded = made.compress(data) + made.flush(zlib.Z_PARTIAL_FLUSH)
        self._last = data[-_MOST_KEPT:]
        owed, self._owed = self._owed, b""
        return owed + coded if owed else coded

    def finish(self, data: bytes) -> bytes:
        """The last of them."""
        if self.texts:
            self.settle()
        self._count(data)
        made = self._compressor()
        coded: bytes = made.compress(data) + made.flush()
        self._zlib = None
        return self._owed + coded + pack("<LL", self._crc, self._size & 0xFFFFFFFF)

    def learn(self, prefix: bytes, suffix: bytes) -> bool:
        """From now on events of this shape are to come. ``False``: they are too short or too long to gain by it."""
        before, after = len(prefix), len(suffix)
        if min(before, after) < LEAST_AROUND or before + after > MOST_AROUND:
            return False
        if self.texts:
            self.settle()
        self._close()
        self._prefix, self._suffix, self._between = prefix, suffix, suffix + prefix
        self._before, self._after = before, after
        return True

    def _count(self, data: bytes) -> None:
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)

    def _compressor(self) -> Any:
        self._close()
        if self._zlib is None:
            self._zlib = _deflate(self._last)
        return self._zlib

    def _close(self) -> None:
        """No event is behind the next one."""
        if self.row is not None:
            self._owed += self.row.close()
            self.row = None

    def _alike(self, data: bytes) -> bytes | None:
        """One or more events of the shape, behind one of them."""
        if len(data) < self._before + self._after or not (
            data.startswith(self._prefix) and data.endswith(self._suffix)
        ):
            return None
        texts = data[self._before : len(data) - self._after].split(self._between)
        row = self._behind() if self.row is None else self.row
        if row is None or max(map(len, texts)) > MOST_TEXT:
            return None
        if self._zlib is not None:
            self._owed += self._zlib.flush(zlib.Z_SYNC_FLUSH)
            self._zlib = None
        coded = []
        for text in texts:
            key, bits = literals(text)
            shift, around, length, row = row[key]
            framed = (bits << shift | around).to_bytes(length, "little")
            coded.append(framed[framed.index(b"\n") + 1 : -2])
        self.row = row
        return b"".join(coded)

    def _behind(self) -> Row | None:
        """The row behind what was written last, if that is an event of the shape."""
        last = self._last
        if not last.endswith(self._suffix):
            return None
        at = last.rfind(self._prefix, 0, len(last) - self._after)
        size = len(last) - self._after - at - self._before
        return None if at < 0 or size > MOST_TEXT else rows(self._before, self._after).row(size)


def _deflate(before: bytes) -> Any:
    """Bare deflate (RFC 1951).

    :param before: the end of what the reader has already.
    """
    if not before:
        return zlib.compressobj(LEVEL, zlib.DEFLATED, -WINDOW, MEMORY)
    return zlib.compressobj(LEVEL, zlib.DEFLATED, -WINDOW, MEMORY, zdict=before)
