"""PURE. Deflate blocks (RFC 1951) for events that say what the event before them said, but for one piece of text.

Nearly every event of a stream is ``prefix + text + suffix``. Behind another one of the same shape it is a match, the
text's literals and a match; where they stand follows from the lengths of the two texts alone. So everything around the
literals is made once for each pair of lengths, for all streams of the process, and an event is one shift, one ``or``
and one ``to_bytes`` of numbers: about a tenth of what zlib takes to find the same matches, without a window that has to
be kept for each stream.

A number stands for bits in the order in which deflate sends them: the first one is the lowest. Huffman codes are sent
from their highest bit on (§3.1.1), so they stand here reversed. The codes are the fixed ones (§3.2.6): a table of its
own would be longer than an event.

Behind an event its block ends and the next one begins: ten bits, and whole bytes of them leave with the event. What is
carried over to the next one is less than a byte of those ten, so the event is there as a whole, and they are always the
same, so how many there are is all that has to be known. zlib's ``Z_PARTIAL_FLUSH`` relies on the same, with ten more.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

__all__ = ["LEAST_AROUND", "MOST_AROUND", "MOST_TEXT", "Literals", "Place", "Row", "literals", "rows"]

MOST_TEXT: Final = 255
"""Bytes of a text; a longer one is worth a compressor."""

LEAST_AROUND: Final = 3
"""Bytes of a prefix or a suffix: deflate's shortest match."""

MOST_AROUND: Final = 4096 - MOST_TEXT
"""Bytes of prefix and suffix together. Deflate's window is 32 KiB; this much has to be kept of each stream."""

_LONGEST: Final = 258
_MOST_PLACES: Final = 4096
"""Pairs of lengths that are remembered for one length of prefix and suffix: a megabyte."""

_TAIL: Final = (0b010 << 7, 10)
"""The end of a block, and the beginning of the next: not the last one, fixed codes."""

_BEGINNING: Final = 3
"""Bits of the tail that are the beginning of a block."""

_CLOSED: Final = (0, 10)
"""The end of a block, and the beginning of a stored one; what is missing to a whole byte is 0 as well."""

_EMPTY: Final = b"\0\0\xff\xff"

Bits = tuple[int, int]
"""A number, and how many bits it has."""

Literals = tuple[int, int]
"""Of a text: its length and that of its bits, as one number; and the bits."""

Place = tuple[int, int, int, "Row"]
"""All that stands around the literals of one text behind another one, as one chunk of chunked framing: how many bits
stand before them, the bits before and behind them, the chunk's length in bytes, and the row for the event behind it.
"""


class Row(dict[int, Place]):
    """By the key of a text, its place behind a text of ``previous`` bytes, and behind which ``carry`` bits are left."""

    __slots__ = ("_all", "_carry", "_previous")

    def __init__(self, everywhere: _Rows, previous: int, carry: int) -> None:
        super().__init__()
        self._all = everywhere
        self._previous = previous
        self._carry = carry

    def __missing__(self, key: int) -> Place:
        place = self._all.place(self._previous, self._carry, key)
        if self._all.places < _MOST_PLACES:
            self._all.places += 1
            self[key] = place
        return place

    def close(self) -> bytes:
        """What has to be sent before anything else but an event: then it begins on a whole byte."""
        number, count = _joined(_carried(self._carry), _CLOSED)
        return number.to_bytes((count + 7) // 8, "little") + _EMPTY


class _Rows:
    """Of one length of prefix and suffix."""

    __slots__ = ("_after", "_before", "_rows", "places")

    def __init__(self, before: int, after: int) -> None:
        self._before = before
        self._after = after
        self._rows: dict[tuple[int, int], Row] = {}
        self.places = 0

    def row(self, previous: int, carry: int = _BEGINNING) -> Row:
        """Behind a text of so many bytes; by default where everything before ends on a whole byte."""
        row = self._rows.get((previous, carry))
        if row is None:
            row = self._rows[previous, carry] = Row(self, previous, carry)
        return row

    def place(self, previous: int, carry: int, key: int) -> Place:
        size, text = key & 0xFFF, key >> 12
        around = self._before + self._after
        first = _joined(_carried(carry), _run(self._before, around + previous))
        last = _joined(_run(self._after, around + size), _TAIL)
        length, left = divmod(first[1] + text + last[1], 8)
        line = b"%x\r\n" % length
        shift = 8 * len(line) + first[1]
        framed = len(line) + length + 2
        sent = last[0] & (1 << last[1] - left) - 1
        number = int.from_bytes(line, "little") | first[0] << 8 * len(line) | sent << shift + text
        number |= int.from_bytes(b"\r\n", "little") << 8 * (framed - 2)
        return shift, number, framed, self.row(size, left)


@lru_cache(64)
def rows(before: int, after: int) -> _Rows:
    """For a prefix and a suffix of so many bytes: at least :data:`LEAST_AROUND` each, :data:`MOST_AROUND` together."""
    return _Rows(before, after)


def literals(text: bytes) -> Literals:
    """Of at most :data:`MOST_TEXT` bytes."""
    if text.isascii():
        return len(text) << 15 | len(text), int.from_bytes(text.translate(_ASCII), "little")
    number = count = 0
    for byte in text:
        bits, width = _LITERALS[byte]
        number |= bits << count
        count += width
    return count << 12 | len(text), number


def _joined(*pieces: Bits) -> Bits:
    number = count = 0
    for bits, width in pieces:
        number |= bits << count
        count += width
    return number, count


def _carried(count: int) -> Bits:
    """The last bits of the tail."""
    return _TAIL[0] >> _TAIL[1] - count, count


def _code(code: int, width: int) -> Bits:
    return int(f"{code:0{width}b}"[::-1], 2), width


def _literal(byte: int) -> Bits:
    return _code(0x30 + byte, 8) if byte < 144 else _code(0x190 + byte - 144, 9)


_LITERALS: Final = tuple(map(_literal, range(256)))
_ASCII: Final = bytes(_LITERALS[byte][0] for byte in range(128)) + bytes(128)


def _run(length: int, distance: int) -> Bits:
    """Matches of ``length`` bytes in all."""
    pieces: list[Bits] = []
    while length:
        # What is left over has to be a match too.
        part = length if length <= _LONGEST else min(_LONGEST, length - LEAST_AROUND)
        pieces += _length(part), _distance(distance)
        length -= part
    return _joined(*pieces)


def _length(length: int) -> Bits:
    """A match's length: its code, of 257 to 285, and what stands behind it (§3.2.5)."""
    if length == _LONGEST:
        return _symbol(285)
    rest = length - LEAST_AROUND
    if rest < 8:
        return _symbol(257 + rest)
    extra = rest.bit_length() - 3
    code = 257 + 4 * extra + (rest >> extra)
    return _joined(_symbol(code), (rest & (1 << extra) - 1, extra))


def _symbol(code: int) -> Bits:
    return _code(code - 256, 7) if code < 280 else _code(0xC0 + code - 280, 8)


def _distance(distance: int) -> Bits:
    """A match's distance, of 5 at least: five bits, and what stands behind them."""
    rest = distance - 1
    extra = rest.bit_length() - 2
    return _joined(_code(2 * extra + (rest >> extra), 5), (rest & (1 << extra) - 1, extra))
