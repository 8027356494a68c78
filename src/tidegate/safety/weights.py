"""Weights of a model as they stand in a data file: names, and a row of numbers for each.

A file is ``TGW1``, then three parts, each behind four bytes of length (big-endian): a JSON header (what it is, where it
comes from, under which licence), the names (zlib, UTF-8, one a line) and the numbers (zlib, little-endian doubles or
floats, row by row). ``scripts/weights_of_profanity.py`` and ``scripts/weights_of_injection.py`` write them.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

__all__ = ["Weights", "pack", "unpack"]

_MAGIC: Final = b"TGW1"
_TYPES: Final = frozenset("df")
_BIG_ENDIAN: Final = array("H", b"\x00\x01")[0] == 1


@dataclass(frozen=True, slots=True)
class Weights:
    """One file's."""

    header: Mapping[str, Any]
    names: tuple[str, ...]
    numbers: array[float]
    """``columns`` of the header for each name, in their order."""


def unpack(data: bytes) -> Weights:
    """What a file holds.

    :raises ValueError: it is none, or not whole.
    """
    if data[:4] != _MAGIC:
        raise ValueError("not a file of weights")
    parts, at = [], 4
    for _ in range(3):
        size = int.from_bytes(data[at : at + 4], "big")
        parts.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    if at != len(data):
        raise ValueError("a file of weights that is not whole")
    header = msgspec.json.decode(parts[0])
    names = tuple(zlib.decompress(parts[1]).decode().split("\n"))
    if header["type"] not in _TYPES:
        raise ValueError("a file of weights of a type that nobody knows")
    numbers = array(header["type"], zlib.decompress(parts[2]))
    if _BIG_ENDIAN:  # pragma: no cover # no such machine here
        numbers.byteswap()
    if len(numbers) != len(names) * header["columns"]:
        raise ValueError("a file of weights with numbers for other names")
    return Weights(header, names, numbers)


def pack(header: Mapping[str, Any], names: Sequence[str], rows: Sequence[Sequence[float]], kind: str) -> bytes:
    """The file.

    :param kind: ``d`` or ``f``.
    """
    numbers = array(kind, [number for row in rows for number in row])
    if _BIG_ENDIAN:  # pragma: no cover
        numbers.byteswap()
    whole = {**header, "type": kind, "columns": len(rows[0])}
    parts = [
        msgspec.json.encode(whole, order="sorted"),
        zlib.compress("\n".join(names).encode(), 9),
        zlib.compress(numbers.tobytes(), 9),
    ]
    return _MAGIC + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
