"""Sets of characters, and the alphabet: the few classes of characters that a set of rules can tell apart.

ASCII is told apart one by one. Beyond it a set holds ranges of letters and digits (``str.isalnum``) and ranges of
everything else, because ``\\w`` cuts Unicode into 700 pieces that no rule but ``\\w`` itself cares about.

Two things are settled here for every rule at once. **Look-alikes** count as what they look like: fullwidth forms,
the many dashes and spaces, digits of other scripts, Cyrillic and Greek letters drawn as Latin ones. **Characters
without width** (zero-width spaces and joiners, soft hyphens, direction marks) are not there, up to
:data:`MAX_INVISIBLE` of them in a row: they neither end a match nor hide one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = [
    "ANY",
    "DIGITS",
    "MAX_INVISIBLE",
    "NOTHING",
    "SPACES",
    "WORDS",
    "Alphabet",
    "Chars",
    "char_range",
    "chars",
    "folded",
    "invisible",
]

MAX_INVISIBLE: Final = 8
"""Characters without width in a row that are ignored; a longer run is text like any other, and bounded so."""

_TOP: Final = 0x10FFFF
_ASCII: Final = (1 << 128) - 1
Ranges = tuple[tuple[int, int], ...]
_BEYOND: Final[Ranges] = ((128, _TOP),)


def _union(ranges: Ranges) -> Ranges:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return tuple(merged)


def _inverted(ranges: Ranges) -> Ranges:
    gaps = []
    at = 128
    for low, high in ranges:
        if at < low:
            gaps.append((at, low - 1))
        at = high + 1
    if at <= _TOP:
        gaps.append((at, _TOP))
    return tuple(gaps)


@dataclass(frozen=True, slots=True)
class Chars:
    """A set of characters: a mask over ASCII; inclusive ranges of letters and digits, and of the rest, beyond it."""

    ascii: int = 0
    alnum: Ranges = ()
    other: Ranges = ()

    def __or__(self, more: Chars) -> Chars:
        return Chars(self.ascii | more.ascii, _union(self.alnum + more.alnum), _union(self.other + more.other))

    def __invert__(self) -> Chars:
        return Chars(_ASCII & ~self.ascii, _inverted(self.alnum), _inverted(self.other))

    def __contains__(self, char: str) -> bool:
        code = ord(char)
        if code < 128:
            return bool(self.ascii >> code & 1)
        return any(low <= code <= high for low, high in (self.alnum if char.isalnum() else self.other))

    def without_case(self) -> Chars:
        """With the other case of every letter that stands alone or in a range of fewer than 1,000."""
        found = self
        for code in range(65, 91):
            if (self.ascii >> code | self.ascii >> (code + 32)) & 1:
                found |= Chars(1 << code | 1 << (code + 32))
        for low, high in self.alnum:
            if high - low < 1000:
                twins = {twin for code in range(low, high + 1) for twin in (chr(code).lower(), chr(code).upper())}
                found |= chars(twin for twin in twins if len(twin) == 1)
        return found

    def with_look_alikes(self) -> Chars:
        """With what its look-alikes are folded to: a text never shows the look-alike itself."""
        if not self.alnum and not self.other:
            return self
        plain = {image for code, image in _FOLD.items() if chr(code) in self}
        return self | chars(plain)


def chars(of: Iterable[str]) -> Chars:
    """The set of these characters."""
    ascii_mask = 0
    alnum: list[tuple[int, int]] = []
    other: list[tuple[int, int]] = []
    for char in of:
        code = ord(char)
        if code < 128:
            ascii_mask |= 1 << code
        else:
            (alnum if char.isalnum() else other).append((code, code))
    return Chars(ascii_mask, _union(tuple(alnum)), _union(tuple(other)))


def char_range(low: str, high: str) -> Chars:
    """From ``low`` to ``high``, both included."""
    first, last = ord(low), ord(high)
    mask = sum(1 << code for code in range(first, min(last, 127) + 1))
    beyond: Ranges = ((max(first, 128), last),) if last >= 128 else ()
    return Chars(mask, beyond, beyond)


NOTHING: Final = Chars()
ANY: Final = Chars(_ASCII, _BEYOND, _BEYOND)
DIGITS: Final = char_range("0", "9")
WORDS: Final = DIGITS | char_range("a", "z") | char_range("A", "Z") | chars("_") | Chars(0, _BEYOND)
SPACES: Final = chars(" \t\n\r\f\v\x1c\x1d\x1e\x1f\x85\u2028\u2029")
"""Other spaces are look-alikes of the plain one."""


def _look_alikes() -> dict[int, str]:
    table = {0xFF01 + code: chr(0x21 + code) for code in range(94)}  # fullwidth forms
    for first in (0x0660, 0x06F0, 0x0966, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6):
        table |= {first + digit: str(digit) for digit in range(10)}
    alike = {
        " ": "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000",
        "-": "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63",
        ".": "\u2024\u3002\ufe52\uff61",
        "@": "\ufe6b",
        "'": "\u2018\u2019",
        "a": "а\u0251", "c": "с", "d": "ԁ", "e": "е", "h": "һ", "i": "і", "j": "ј", "k": "\u212a", "o": "оο", "p": "рρ",
        "q": "ԛ", "s": "ѕ\u017f", "u": "υ", "v": "ν", "w": "ԝ", "x": "х", "y": "у",
        "A": "АΑ", "B": "ВΒ", "C": "С", "E": "ЕΕ", "H": "НΗ", "I": "ІΙ", "J": "Ј", "K": "КΚ", "M": "МΜ", "N": "Ν",
        "O": "ОΟ", "P": "РΡ", "S": "Ѕ", "T": "ТΤ", "X": "ХΧ", "Y": "Υ", "Z": "Ζ",
    }  # fmt: skip
    return table | {ord(char): plain for plain, drawn in alike.items() for char in drawn}


_FOLD: Final = _look_alikes()
_INVISIBLE: Final = frozenset(
    "\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufe00\ufe01\ufe0e\ufe0f\ufeff"
) | frozenset(map(chr, range(0xE0000, 0xE0080)))


def folded(text: str) -> str:
    """``text`` with every look-alike as what it looks like; as long as before."""
    return text if text.isascii() else text.translate(_FOLD)


def invisible(char: str) -> bool:
    """Whether the character has no width of its own."""
    return char in _INVISIBLE


class Alphabet:
    """Characters to class numbers, for the sets that the rules use.

    Two characters are of one class when every set has both or neither. Numbers run from 0; :attr:`skip` is the class of
    what is invisible, and :attr:`end` that of the end of the text, which no character has.
    """

    def __init__(self, sets: Iterable[Chars]) -> None:
        self._sets = tuple(dict.fromkeys(sets))
        self._edges = sorted(
            {edge for each in self._sets for low, high in each.alnum + each.other for edge in (low, high + 1)} | {128}
        )
        numbers: dict[int, int] = {}
        ascii_classes = [numbers.setdefault(self._ascii_sign(code), len(numbers)) for code in range(128)]
        # A class for each stretch between two edges, once for its letters and once for the rest.
        self._alnum = self._beyond(numbers, [each.alnum for each in self._sets])
        self._other = self._beyond(numbers, [each.other for each in self._sets])
        self.size: int = len(numbers)
        self.skip: int = self.size
        self.end: int = self.size + 1
        self._masks = {
            each: sum(1 << number for sign, number in numbers.items() if sign >> at & 1)
            for at, each in enumerate(self._sets)
        }
        self._ascii = bytes(ascii_classes) + bytes(128)
        self._known = _Known(self)

    def mask(self, of: Chars) -> int:
        """The classes that make up a set, as bits."""
        return self._masks[of]

    def codes(self, text: str) -> Sequence[int]:
        """The class of each character."""
        if text.isascii():
            return text.encode("ascii").translate(self._ascii)
        known = self._known
        return [known[char] for char in text]

    def of(self, char: str) -> int:
        """The class of one character."""
        if char in _INVISIBLE:
            return self.skip
        return self.visible(char)

    def visible(self, char: str) -> int:
        """The class of one character that is there, whatever its width."""
        code = ord(_FOLD.get(ord(char), char))
        if code < 128:
            return self._ascii[code]
        stretch = bisect_right(self._edges, code) - 1
        return (self._alnum if char.isalnum() else self._other)[stretch]

    def _ascii_sign(self, code: int) -> int:
        return sum(1 << at for at, each in enumerate(self._sets) if each.ascii >> code & 1)

    def _beyond(self, numbers: dict[int, int], ranges: list[Ranges]) -> list[int]:
        found = []
        for edge in self._edges:
            sign = sum(1 << at for at, each in enumerate(ranges) if any(low <= edge <= high for low, high in each))
            found.append(numbers.setdefault(sign, len(numbers)))
        return found


class _Known(dict[str, int]):
    """Classes that were looked up; forgotten when there are too many."""

    def __init__(self, alphabet: Alphabet) -> None:
        super().__init__()
        self._alphabet = alphabet

    def __missing__(self, char: str) -> int:
        if len(self) > 8192:
            self.clear()
        number = self[char] = self._alphabet.of(char)
        return number
