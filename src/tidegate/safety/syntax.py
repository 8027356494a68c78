"""Regular expressions, the regular part of them: what can be matched in one pass, whatever the chunks.

::

    a  \\.  \\n \\t \\r \\x41 \\u00e9      characters
    .  \\d \\w \\s  \\D \\W \\S             any but a line end; digits; letters, digits and _; spaces; their opposites
    [a-z_]  [^"\\s]                    sets
    ab  a|b  (…)  (?:…)  (?i:…)        one after another, either, groups
    *  +  ?  {3}  {3,}  {3,6}          repetitions

``(?i)`` and ``(?s)`` at the start hold for all of it. A lazy ``?`` behind a repetition is allowed and changes nothing:
the longest match wins. What looks back, ahead or aside is refused, with what to write instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tidegate.safety.chars import ANY, DIGITS, NOTHING, SPACES, WORDS, Chars, char_range, chars, invisible

__all__ = ["Alternatives", "NotRegular", "One", "Repeat", "Sequence", "Syntax", "parse", "parse_set"]

MAX_REPEAT: Final = 1000
MAX_DEPTH: Final = 100


class NotRegular(ValueError):
    """The expression cannot be used. The message says which construct, where, and what to write instead."""


@dataclass(frozen=True, slots=True)
class One:
    """One character of a set."""

    of: Chars


@dataclass(frozen=True, slots=True)
class Sequence:
    """One after another."""

    items: tuple[Syntax, ...]


@dataclass(frozen=True, slots=True)
class Alternatives:
    """Any one of them."""

    items: tuple[Syntax, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """Between ``least`` and ``most`` times; ``None`` is without limit."""

    item: Syntax
    least: int
    most: int | None


Syntax = One | Sequence | Alternatives | Repeat

_LINE_END: Final = chars("\n")
_SETS: Final = {"d": DIGITS, "w": WORDS, "s": SPACES, "D": ~DIGITS, "W": ~WORDS, "S": ~SPACES}
_CONTROLS: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a", "0": "\0"}
_HEX: Final = {"x": 2, "u": 4, "U": 8}
_DIGITS: Final = frozenset("0123456789abcdefABCDEF")
_CONTEXT: Final = 'name what must not stand before or after the match in "left" and "right", such as left = "\\\\w"'
_REFUSED: Final = {
    "(?=": f"a lookahead; {_CONTEXT}",
    "(?!": f"a lookahead; {_CONTEXT}",
    "(?<=": f"a lookbehind; {_CONTEXT}",
    "(?<!": f"a lookbehind; {_CONTEXT}",
    "(?P=": "a reference to a group; write the alternatives out",
    "(?(": "a condition; write two alternatives with |",
    "(?>": "an atomic group; write (?:...), the longest match wins anyway",
    "(?#": "a comment; leave it out",
}


def parse(text: str, *, ignore_case: bool = False) -> Syntax:
    """The tree of an expression.

    :raises NotRegular: a construct that is unknown, not regular or too large.
    """
    return _Parser(text, ignore_case).whole()


def parse_set(text: str) -> Chars:
    """The characters that ``text`` names as the inside of ``[...]`` does; none for an empty text."""
    if not text:
        return NOTHING
    parser = _Parser(text + "]", False)
    found = parser.set_body()
    if parser.at != len(parser.text):
        raise NotRegular(f'"]" at {parser.at - 1} ends the set early; write "\\\\]"')
    return found


class _Parser:
    """Recursive descent; ``at`` is where it reads."""

    def __init__(self, text: str, ignore_case: bool) -> None:
        self.text = text
        self.at = 0
        self._ignore_case = ignore_case
        self._all = False
        self._depth = 0

    def whole(self) -> Syntax:
        while self.text.startswith("(?", self.at) and ")" in self.text:
            flags = self.text[self.at + 2 : self.text.index(")", self.at)]
            if not flags or not set(flags) <= set("is"):
                break
            self._set_flags(flags)
            self.at += len(flags) + 3
        found = self._alternatives()
        if self.at < len(self.text):
            raise self._wrong('a ")" without its "("; write "\\)" for the character')
        return found

    def _wrong(self, what: str, at: int | None = None) -> NotRegular:
        return NotRegular(f"at character {(self.at if at is None else at) + 1}: {what}")

    def _next(self) -> str:
        return self.text[self.at : self.at + 1]

    def _set_flags(self, flags: str) -> None:
        self._ignore_case = self._ignore_case or "i" in flags
        self._all = self._all or "s" in flags

    def _alternatives(self) -> Syntax:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._wrong(f"groups nested more than {MAX_DEPTH} deep; write it flatter")
        items = [self._sequence()]
        while self._next() == "|":
            self.at += 1
            items.append(self._sequence())
        self._depth -= 1
        return items[0] if len(items) == 1 else Alternatives(tuple(items))

    def _sequence(self) -> Syntax:
        items: list[Syntax] = []
        while self.at < len(self.text) and self._next() not in "|)":
            items.append(self._repeated(self._item()))
        return items[0] if len(items) == 1 else Sequence(tuple(items))

    def _repeated(self, item: Syntax) -> Syntax:
        begin = self.at
        sign = self._next()
        bounds = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(sign)
        if bounds is not None:
            self.at += 1
        elif sign == "{":
            bounds = self._bounds()
        if bounds is None:
            return item
        if self._next() == "?":
            self.at += 1  # lazy: the same texts match
        elif self._next() and self._next() in "+*{":
            raise self._wrong("a repetition of a repetition; put the inner one into (?:...)")
        least, most = bounds
        if max(least, most or 0) > MAX_REPEAT:
            raise self._wrong(f"a repetition of more than {MAX_REPEAT}; write {{{min(least, MAX_REPEAT)},}}", begin)
        return Repeat(item, least, most)

    def _bounds(self) -> tuple[int, int | None]:
        begin = self.at
        end = self.text.find("}", begin)
        low, comma, high = self.text[begin + 1 : max(end, 0)].partition(",")
        digits = all(part.isascii() and part.isdigit() for part in (low, high) if part)
        if end < 0 or not digits or not (low or high) or len(low) > 6 or len(high) > 6:
            raise self._wrong('a "{" that is no repetition; write "\\{" for the character')
        self.at = end + 1
        least = int(low or 0)
        most = (int(high) if high else None) if comma else least
        if most is not None and most < least:
            raise self._wrong("a repetition whose most is below its least", begin)
        return least, most

    def _item(self) -> Syntax:
        char = self._next()
        if char == "(":
            return self._group()
        if char == "[":
            self.at += 1
            return self._one(self.set_body())
        if char == "\\":
            return self._one(self._escape())
        if char in "*+?":
            raise self._wrong(f'a "{char}" with nothing to repeat; write "\\{char}" for the character')
        if char in "^$":
            raise self._wrong(f'"{char}"; a stream has no lines to anchor to; {_CONTEXT}')
        if char == "{":
            raise self._wrong('a "{" with nothing to repeat; write "\\{" for the character')
        self.at += 1
        if char == ".":
            return One(ANY if self._all else ~_LINE_END)
        # What has no width is ignored in the text too.
        return Sequence(()) if invisible(char) else self._one(_exactly(char))

    def _one(self, of: Chars) -> One:
        return One(of.without_case() if self._ignore_case else of)

    def _group(self) -> Syntax:
        begin = self.at
        for sign, why in _REFUSED.items():
            if self.text.startswith(sign, begin):
                raise self._wrong(why)
        before = self._ignore_case, self._all
        self.at += 1
        if self._next() == "?":
            self._group_head(begin)
        inner = self._alternatives()
        if self._next() != ")":
            raise self._wrong('a "(" without its ")"; write "\\(" for the character', begin)
        self.at += 1
        self._ignore_case, self._all = before
        return inner

    def _group_head(self, begin: int) -> None:
        """``?:``, ``?i:``, ``?P<name>``."""
        if self.text.startswith("?P<", self.at) and ">" in self.text[self.at :]:
            self.at = self.text.index(">", self.at) + 1
            return
        colon = self.text.find(":", self.at)
        flags = self.text[self.at + 1 : colon] if colon >= 0 else "-"
        if not set(flags) <= set("is"):
            raise self._wrong("a group of a kind that is not known; write (?:...), (?i:...) or (?s:...)", begin)
        self._set_flags(flags)
        self.at = colon + 1

    def _escape(self) -> Chars:
        begin = self.at
        char = self.text[begin + 1 : begin + 2]
        self.at += 2
        if char in _SETS:
            return _SETS[char]
        if char and char in "bBAZz":
            raise self._wrong(f'"\\{char}", which looks at what stands around; {_CONTEXT}', begin)
        if char in _CONTROLS:
            return chars(_CONTROLS[char])
        if char in _HEX:
            digits = self.text[self.at : self.at + _HEX[char]]
            self.at += _HEX[char]
            if len(digits) != _HEX[char] or not set(digits) <= _DIGITS or int(digits, 16) > 0x10FFFF:
                raise self._wrong(f'"\\{char}" without {_HEX[char]} hexadecimal digits of a character', begin)
            return _exactly(chr(int(digits, 16)))
        if char.isdigit():
            raise self._wrong("a reference to a group; write the alternatives out", begin)
        if not char or char.isalpha():
            raise self._wrong(f'"\\{char}", which is not known; write the characters out', begin)
        return _exactly(char)

    def set_body(self) -> Chars:
        """What stands behind a ``[``, its ``]`` included."""
        begin = self.at
        negated = self._next() == "^"
        self.at += negated
        found = NOTHING
        first = True
        while first or self._next() != "]":
            if self.at >= len(self.text):
                raise self._wrong('a "[" without its "]"; write "\\[" for the character', begin - 1)
            first = False
            found |= self._set_item()
        self.at += 1
        if self._ignore_case:
            found = found.without_case()
        found = ~found if negated else found
        if found == NOTHING:
            raise self._wrong("a set that no character is in", begin)
        return found

    def _set_item(self) -> Chars:
        low = self._set_char()
        if self._next() != "-" or self.text[self.at + 1 : self.at + 2] in ("]", ""):
            return low
        begin = self.at
        self.at += 1
        high = self._set_char()
        bounds = _only(low), _only(high)
        if bounds[0] is None or bounds[1] is None or bounds[0] > bounds[1]:
            raise self._wrong('a "-" between what is no range; write "\\-" for the character', begin)
        return char_range(bounds[0], bounds[1]).with_look_alikes()

    def _set_char(self) -> Chars:
        if self._next() == "\\":
            if self.text[self.at + 1 : self.at + 2] == "b":
                raise self._wrong('"\\b" in a set; write "\\x08" for the character')
            return self._escape()
        self.at += 1
        return _exactly(self.text[self.at - 1])


def _exactly(char: str) -> Chars:
    return chars(char).with_look_alikes()


def _only(of: Chars) -> str | None:
    """The one character of a set that has one."""
    ranges = of.alnum + of.other
    if of.ascii and of.ascii & (of.ascii - 1) == 0 and not ranges:
        return chr(of.ascii.bit_length() - 1)
    if not of.ascii and len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return chr(ranges[0][0])
    return None
