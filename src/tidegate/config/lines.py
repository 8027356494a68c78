"""On which line of a TOML text each key is.

``tomllib`` gives values without places. This walks the same text again and notes lines only, so it may trust it:
call it after ``tomllib`` has accepted the text. One pass, linear time.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["Path", "locate"]

Path: TypeAlias = tuple[str | int, ...]
"""Keys from the root; an array's elements by their index."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r'"(?:\\.|[^"\\])*"|\'[^\']*\'|[A-Za-z0-9_-]+')
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}' "|'''.*?'{3,5}" r'|"(?:\\.|[^"\\])*"' "|'[^']*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]*")


def locate(text: str) -> dict[Path, int]:
    """Line numbers, from 1, of every table header and key of a valid TOML text. Of a repeated header, the first."""
    return _Walk(text).lines


class _Walk:
    def __init__(self, text: str) -> None:
        self._text = text.replace("\r\n", "\n")
        self._at = 0
        self._seen = 0
        self._line = 1
        self._counts: dict[Path, int] = {}
        self.lines: dict[Path, int] = {}
        self._document()

    def _document(self) -> None:
        table: Path = ()
        while self._next():
            if self._text.startswith("[[", self._at):
                table = self._header(2)
            elif self._text.startswith("[", self._at):
                table = self._header(1)
            else:
                self._pair(table)

    def _next(self) -> str:
        """The next character that is not blank or comment; "" at the end."""
        self._skip(_BLANK)
        return self._text[self._at : self._at + 1]

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        assert match is not None, "the text is valid TOML"
        self._at = match.end()
        return match[0]

    def _note(self, path: Path) -> None:
        self._line += self._text.count("\n", self._seen, self._at)
        self._seen = self._at
        self.lines.setdefault(path, self._line)

    def _header(self, brackets: int) -> Path:
        self._at += brackets
        keys = self._keys()
        path = self._absolute(keys[:-1])
        if brackets == 2:
            array = (*path, keys[-1])
            index = self._counts[array] = self._counts.get(array, -1) + 1
            self._note(array)
            path = (*array, index)
        else:
            path = (*path, keys[-1])
        self._note(path)
        self._at += brackets
        return path

    def _absolute(self, keys: list[str]) -> Path:
        """The path of a header's parents; a parent that is an array of tables means its last element."""
        path: Path = ()
        for key in keys:
            path = (*path, key)
            if path in self._counts:
                path = (*path, self._counts[path])
        return path

    def _keys(self) -> list[str]:
        """A dotted key, up to the character after it."""
        keys = []
        while True:
            self._next()
            token = self._skip(_KEY)
            keys.append(next(iter(tomllib.loads(f"{token} = 0"))))
            if self._next() != ".":
                return keys
            self._at += 1

    def _pair(self, table: Path) -> None:
        self._next()
        start = self._at
        keys = self._keys()
        end, self._at = self._at, start
        for depth in range(1, len(keys) + 1):
            self._note((*table, *keys[:depth]))
        self._at = end + 1  # the "="
        self._value((*table, *keys))

    def _value(self, path: Path) -> None:
        opening = self._next()
        if opening == "{":
            self._group(lambda _: self._pair(path), "}")
        elif opening == "[":
            self._group(lambda index: self._element((*path, index)), "]")
        else:
            self._skip(_STRING if opening in "\"'" else _SCALAR)

    def _element(self, path: Path) -> None:
        self._next()
        self._note(path)
        self._value(path)

    def _group(self, item: Callable[[int], None], closing: str) -> None:
        self._at += 1
        index = 0
        while self._next() != closing:
            if self._text[self._at] == ",":
                self._at += 1
                continue
            item(index)
            index += 1
        self._at += 1
