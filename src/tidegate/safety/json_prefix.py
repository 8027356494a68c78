"""Whether a text that is still being written can become valid JSON: the first character that makes it impossible.

The language is RFC 8259 to the letter: no comments, no trailing commas, no ``NaN``, no raw control characters in
strings. One step per structural character, one match per run of plain text; memory is one character per open bracket.
The answer is the same however the text is cut.
"""

from __future__ import annotations

import re
from typing import Final, Literal

__all__ = ["MAX_DEPTH", "JsonPrefix", "Root"]

MAX_DEPTH: Final = 512
"""Open brackets. Readers differ in what they take (Python's own about a thousand); no answer is near it."""

Root = Literal["any", "object"]

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_PLAIN: Final = re.compile(r'[^"\\\x00-\x1f]*')
_WORDS: Final = {"t": "rue", "f": "alse", "n": "ull"}
_HEX: Final = frozenset("0123456789abcdefABCDEF")
_DIGITS: Final = "0123456789"

_VALUE, _FIRST, _KEY, _FIRST_KEY, _COLON, _AFTER, _STRING, _ESCAPE, _HEXES, _NUMBER, _WORD = range(11)
"""What is expected: a value; a value or ``]``; a key; a key or ``}``; a colon; a comma, a closing bracket or (outside
of all of them) the end; more of a string, an escape, four digits, a number, a word."""

_NUMBERS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "-": (("0", "0"), (_DIGITS[1:], "1")),
    "0": ((".", "."), ("eE", "e")),
    "1": ((_DIGITS, "1"), (".", "."), ("eE", "e")),
    ".": ((_DIGITS, "5"),),
    "5": ((_DIGITS, "5"), ("eE", "e")),
    "e": ((_DIGITS, "9"), ("+-", "+")),
    "+": ((_DIGITS, "9"),),
    "9": ((_DIGITS, "9"),),
}
"""A number's states, each named by what was read last: what may come, and the state after it."""
_NUMBER_ENDS: Final = frozenset("0159")


class JsonPrefix:
    """Feed it a text in pieces.

    :param root: what the whole may be. ``object`` is what ``{"type": "json_object"}`` promises.
    """

    __slots__ = ("_digits", "_expects", "_is_key", "_number", "_root", "_stack", "_word", "bad_at", "size")

    def __init__(self, root: Root = "any") -> None:
        self._root = root
        self._stack: list[str] = []
        self._expects = _VALUE
        self._is_key = False
        self._digits = 0
        self._number = ""
        self._word = ""
        self.size = 0
        """Characters so far, up to the first bad one."""
        self.bad_at: int | None = None
        """Where the first character stands that nothing can make good."""

    @property
    def complete(self) -> bool:
        """The text so far is a whole value."""
        if self.bad_at is not None or self._stack:
            return False
        return self._expects == _AFTER or (self._expects == _NUMBER and self._number in _NUMBER_ENDS)

    def feed(self, text: str) -> int | None:
        """Where in ``text`` its first bad character stands; ``None`` when there is none. After one, nothing is read."""
        if self.bad_at is not None:
            return 0 if text else None
        at, size = 0, len(text)
        while at < size:
            after = self._step(text, at)
            if after < 0:
                at = ~after
                self.bad_at = self.size = self.size + at
                return at
            at = after
        self.size += size
        return None

    def _step(self, text: str, at: int) -> int:
        """Reads something at ``at``; returns where to go on, or ``~at`` of a bad character."""
        expects = self._expects
        if expects == _STRING:
            return self._in_string(text, at)
        char = text[at]
        if expects == _NUMBER:
            return self._in_number(text, at, char)
        if expects == _WORD:
            if char != self._word[0]:
                return ~at
            self._word = self._word[1:]
            if not self._word:
                self._expects = _AFTER
            return at + 1
        if expects == _ESCAPE:
            return self._in_escape(at, char)
        if expects == _HEXES:
            self._digits -= 1
            if not self._digits:
                self._expects = _STRING
            return at + 1 if char in _HEX else ~at
        if char in " \t\n\r":
            space = _SPACE.match(text, at)
            assert space is not None
            return space.end()
        return at + 1 if self._structure(char) else ~at

    def _in_string(self, text: str, at: int) -> int:
        plain = _PLAIN.match(text, at)
        assert plain is not None
        at = plain.end()
        if at == len(text):
            return at
        if text[at] == "\\":
            self._expects = _ESCAPE
        elif text[at] == '"':
            self._expects = _COLON if self._is_key else _AFTER
        else:
            return ~at  # not where the run began
        return at + 1

    def _in_escape(self, at: int, char: str) -> int:
        if char == "u":
            self._expects, self._digits = _HEXES, 4
        elif char in '"\\/bfnrt':
            self._expects = _STRING
        else:
            return ~at
        return at + 1

    def _in_number(self, text: str, at: int, char: str) -> int:
        for chars, state in _NUMBERS[self._number]:
            if char in chars:
                self._number = state
                return at + 1
        if self._number not in _NUMBER_ENDS:
            return ~at
        self._expects = _AFTER
        return self._step(text, at)

    def _structure(self, char: str) -> bool:
        expects = self._expects
        if expects in (_VALUE, _FIRST):
            if char == "]" and expects == _FIRST:
                return self._close()
            return self._value(char)
        if expects in (_KEY, _FIRST_KEY):
            if char == "}" and expects == _FIRST_KEY:
                return self._close()
            self._expects, self._is_key = _STRING, True
            return char == '"'
        if expects == _COLON:
            self._expects = _VALUE
            return char == ":"
        if not self._stack:
            return False  # the value has ended
        if char == ",":
            self._expects = _KEY if self._stack[-1] == "}" else _VALUE
            return True
        return char == self._stack[-1] and self._close()

    def _value(self, char: str) -> bool:
        if not self._stack and self._root == "object" and char != "{":
            return False
        if char == "{":
            return self._open("}", _FIRST_KEY)
        if char == "[":
            return self._open("]", _FIRST)
        if char == '"':
            self._expects, self._is_key = _STRING, False
        elif char in _WORDS:
            self._expects, self._word = _WORD, _WORDS[char]
        elif char == "-" or char in _DIGITS:
            self._expects, self._number = _NUMBER, char if char in "-0" else "1"
        else:
            return False
        return True

    def _open(self, closing: str, expects: int) -> bool:
        self._stack.append(closing)
        self._expects = expects
        return len(self._stack) <= MAX_DEPTH

    def _close(self) -> bool:
        self._stack.pop()
        self._expects = _AFTER
        return True
