"""The filter for JSON that arrives in fragments: arguments of a tool call.

What is filtered is what the text says, not how it is written: strings are unescaped, filtered one by one, and escaped
again. A number is held until it has ended; one that is redacted becomes a string, so that the JSON stays JSON.
Everything else passes as it came, also where it is not JSON at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final

from tidegate.safety.machine import Machine
from tidegate.safety.rules import Hit
from tidegate.safety.stream import TextFilter

__all__ = ["JsonFilter", "escaped"]

_LONGEST_NUMBER: Final = 64
"""Characters: a longer one passes. No card, account or telephone number has half as many."""

_UNESCAPED: Final = re.compile(r'[^"\\\x00-\x1f\ud800-\udfff]*')
"""What stands for itself in a JSON string."""

_PLAIN: Final = re.compile(r'[^"\\]+')
_STRUCTURE: Final = re.compile(r'[^"0-9-]+')
_NUMBER: Final = re.compile(r"[0-9+\-.eE]+")
_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def escaped(text: str) -> str:
    """As it stands between the quotes of a JSON string. Half a surrogate pair leaves as its escape."""
    if _UNESCAPED.fullmatch(text):
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(text)[1:-1]
    return json.dumps(text, ensure_ascii=False)[1:-1]


class JsonFilter:
    """``feed`` fragments, send what it returns, ``close`` at the end."""

    __slots__ = ("_blocked", "_key", "_machine", "_number", "_on_hit", "_pending", "_string")

    def __init__(self, machine: Machine, *, key: bytes, on_hit: Callable[[Hit], None] | None = None) -> None:
        self._machine = machine
        self._key = key
        self._on_hit = on_hit
        self._string: TextFilter | None = None
        self._number = ""
        # An escape that has begun, up to both halves of a surrogate pair: at most 12 characters.
        self._pending = ""
        self._blocked: Hit | None = None

    @property
    def blocked(self) -> Hit | None:
        """The hit of a rule that blocks: nothing leaves any more."""
        return self._blocked or (self._string.blocked if self._string is not None else None)

    @property
    def held(self) -> int:
        """Characters that wait."""
        return len(self._number) + len(self._pending) + (self._string.held if self._string is not None else 0)

    def feed(self, fragment: str) -> str:
        """What can leave now."""
        out: list[str] = []
        text, self._pending = self._pending + fragment, ""
        at = 0
        while at < len(text) and self.blocked is None:
            at = self._in_string(text, at, out) if self._string is not None else self._outside(text, at, out)
        return "".join(out)

    def close(self) -> str:
        """There is no more: the rest, escaped as far as it got."""
        if self.blocked is not None:
            return ""
        if self._string is None:
            return self._end_number()
        pending, self._pending = self._pending, ""
        out = escaped(self._string.close())
        return out + pending if self._string.blocked is None else out

    def _outside(self, text: str, at: int, out: list[str]) -> int:
        if self._number:
            more = _NUMBER.match(text, at)
            if more is not None:
                self._number += more[0]
                if len(self._number) > _LONGEST_NUMBER:
                    out.append(self._number)
                    self._number = ""
                return more.end()
            out.append(self._end_number())
            return at
        found = _STRUCTURE.match(text, at)
        if found is not None:
            out.append(found[0])
            return found.end()
        if text[at] == '"':
            out.append('"')
            self._string = self._new()
        else:
            self._number = text[at]
        return at + 1

    def _end_number(self) -> str:
        number, self._number = self._number, ""
        if not number:
            return ""
        one = self._new()
        seen = one.feed(number) + one.close()
        self._blocked = one.blocked
        if self._blocked is not None:
            return ""
        return number if seen == number else f'"{escaped(seen)}"'

    def _in_string(self, text: str, at: int, out: list[str]) -> int:
        string = self._string
        assert string is not None
        said: list[str] = []
        while at < len(text) and text[at] != '"':
            plain = _PLAIN.match(text, at)
            if plain is not None:
                said.append(plain[0])
                at = plain.end()
                continue
            char, size = _unescaped(text, at)
            if not size:
                self._pending = text[at:]
                at = len(text)
                break
            said.append(char)
            at += size
        out.append(escaped(string.feed("".join(said))))
        if at < len(text) and string.blocked is None:
            out.append(escaped(string.close()))
            if string.blocked is None:
                out.append('"')
                self._string = None
            at += 1
        return at

    def _new(self) -> TextFilter:
        return TextFilter(self._machine, key=self._key, on_hit=self._on_hit)


def _unescaped(text: str, at: int) -> tuple[str, int]:
    """The character of the escape at ``at`` and the size of that; size 0 when it has not ended yet."""
    sign = text[at + 1 : at + 2]
    if not sign:
        return "", 0
    if sign != "u":
        return _ESCAPES.get(sign, sign), 2
    code = _code(text, at)
    if code is None:
        return ("", 0) if len(text) < at + 6 else ("u", 2)  # no JSON; what it says is anybody's guess
    if not 0xD800 <= code < 0xDC00:
        return chr(code), 6
    rest = text[at + 6 : at + 12]
    low = _code(text, at + 6) if rest[:2] == "\\u" else None
    if low is not None and 0xDC00 <= low < 0xE000:
        return chr(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)), 12
    return ("", 0) if len(rest) < 6 and "\\u".startswith(rest[:2]) else (chr(code), 6)


def _code(text: str, at: int) -> int | None:
    digits = text[at + 2 : at + 6]
    return int(digits, 16) if re.fullmatch("[0-9A-Fa-f]{4}", digits) else None
