"""PURE. Markdown cut into blocks while it arrives: what is settled, and what may still change.

A settled block is never looked at again, so it can be printed once and for all. Only the last block is open; it is
bounded, because it is drawn again and again: a long paragraph or table is settled in parts. The cost of a whole answer
is linear in its length.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["MAX_OPEN", "Block", "Blocks"]

MAX_OPEN: Final = 2000
"""Characters of an open block. About a screen of 80 x 24; drawing it must fit into a frame."""

MAX_LINE: Final = 4 * MAX_OPEN
"""Characters of an open line of code, which is cut there."""

Kind = Literal["text", "heading", "item", "table", "quote", "rule", "code"]

_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*([^`\n]*)$")
_HEADING: Final = re.compile(r" {0,3}#{1,6}(?:[ \t]|$)")
_RULE: Final = re.compile(r" {0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})$")
_ITEM: Final = re.compile(r" {0,3}(?:[-*+]|\d{1,9}[.)])(?:[ \t]|$)")
_ROW: Final = re.compile(r"[ \t]*\|")
_QUOTE: Final = re.compile(r" {0,3}>")
_MARKS: Final = re.compile(r"`+|\*+|_+|~+|[\[\]]")


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of markdown that stands by itself; of ``code`` one line, without its line end."""

    kind: Kind
    source: str
    language: str = ""
    joined: bool = False
    """It goes on where the block before it stopped: no blank line between."""


class Blocks:
    """Push text, take settled blocks; look at :attr:`open` for the last one."""

    def __init__(self) -> None:
        self._line = ""
        self._lines: list[str] = []
        self._size = 0
        self._kind: Kind | None = None
        self._joined = False
        self._fence = ""
        self._language = ""
        self._after: Kind | None = None
        self._blank = True

    @property
    def open(self) -> Block | None:
        """The block that may still change, as if it ended here."""
        if self._fence:
            return Block("code", self._line, self._language, self._joined) if self._line else None
        kind = self._kind or (_kind_of(self._line) if self._line.strip() else None)
        if kind is None or (not self._lines and _FENCE.match(self._line)):
            return None
        source = "\n".join([*self._lines, self._line] if self._line else self._lines)
        return Block(kind, source, joined=self._is_joined(kind))

    def feed(self, text: str) -> list[Block]:
        """The blocks that ``text`` settles."""
        settled: list[Block] = []
        first, *rest = text.split("\n")
        self._line += first
        for line in rest:
            self._end_line(settled)
            self._line = line
        self._bound(settled)
        return settled

    def close(self) -> list[Block]:
        """The text has ended: the last block is settled as it is, an open fence is closed."""
        settled: list[Block] = []
        if self._line:
            self._end_line(settled)
        self._settle(settled)
        self._fence = ""
        return settled

    def _end_line(self, settled: list[Block]) -> None:
        line, self._line = self._line.rstrip("\r"), ""
        if self._fence:
            self._code_line(line, settled)
            return
        if not line.strip():
            if self._kind == "item":
                self._blank = True  # its next paragraph may be indented
            else:
                self._settle(settled)
                self._blank = True
            return
        if (fence := _FENCE.match(line)) and not (self._kind == "item" and line[:1] == " "):
            self._settle(settled)
            self._fence, self._language = fence[1], fence[2].strip().split(" ")[0]
            self._joined = False
            return
        self._text_line(line, settled)
        self._blank = False

    def _text_line(self, line: str, settled: list[Block]) -> None:
        kind = _kind_of(line)
        if kind in ("heading", "rule"):
            self._settle(settled)
            self._add(kind, line)
            self._settle(settled)
            return
        inside = self._kind == "item" and (line[:1] in " \t" or (kind == "text" and not self._blank))
        lazy = self._kind in ("text", "quote") and kind in ("text", "table" if self._kind == "quote" else "text")
        if self._kind is not None and not inside and not lazy and (kind == "item" or kind != self._kind):
            self._settle(settled)
        if inside and self._blank and self._lines:
            self._lines.append("")
        self._add(self._kind or kind, line)

    def _add(self, kind: Kind, line: str) -> None:
        if self._kind is None:
            self._kind = kind
        self._lines.append(line)
        self._size += len(line) + 1

    def _code_line(self, line: str, settled: list[Block]) -> None:
        mark = line.strip()
        if mark and mark[0] == self._fence[0] and len(mark) >= len(self._fence) and not mark.strip(mark[0]):
            self._fence = ""
            self._after, self._joined, self._blank = "code", False, True
            return
        settled.append(Block("code", line, self._language, self._joined))
        self._joined = True

    def _settle(self, settled: list[Block]) -> None:
        if self._kind is None:
            return
        settled.append(Block(self._kind, "\n".join(self._lines), joined=self._is_joined(self._kind)))
        self._after = self._kind
        self._kind, self._lines, self._size, self._joined = None, [], 0, False

    def _is_joined(self, kind: Kind) -> bool:
        return self._joined or (kind == "item" and self._after == "item")

    def _bound(self, settled: list[Block]) -> None:
        """Settle the beginning of a block that has become too long to be drawn again and again."""
        if self._fence:
            while len(self._line) > MAX_LINE:
                settled.append(Block("code", self._line[:MAX_LINE], self._language, self._joined))
                self._line, self._joined = self._line[MAX_LINE:], True
            return
        while self._size + len(self._line) > MAX_OPEN:
            if self._kind == "table" and len(self._lines) > 3:
                head = self._lines[:2]
                self._settle(settled)
                self._kind, self._lines, self._joined = "table", head, True
                self._size = sum(map(len, head))
                return
            self._cut(settled)

    def _cut(self, settled: list[Block]) -> None:
        whole = "\n".join([*self._lines, self._line])
        at = _safe_place(whole, MAX_OPEN)
        kind: Kind = self._kind or _kind_of(whole)
        settled.append(Block(kind, whole[:at].rstrip(), joined=self._is_joined(kind)))
        rest = whole[at:].lstrip(" ")
        *self._lines, self._line = rest.split("\n")
        self._size = sum(len(line) + 1 for line in self._lines)
        self._kind, self._after, self._joined = "quote" if kind == "quote" else "text", kind, True


def _kind_of(line: str) -> Kind:
    if _HEADING.match(line):
        return "heading"
    if _RULE.match(line):
        return "rule"
    if _ITEM.match(line):
        return "item"
    if _QUOTE.match(line):
        return "quote"
    return "table" if _ROW.match(line) else "text"


def _safe_place(text: str, most: int) -> int:
    """Where to cut: after white space, where no emphasis, code or link is open; else anywhere."""
    # A run of marks opens something, and the next one like it closes it.
    opened: set[str] = set()
    best = at = 0
    for mark in _MARKS.finditer(text, 0, most):
        if not opened:
            best = max(best, text.rfind(" ", at, mark.start()) + 1)
        opened ^= {mark[0].replace("]", "[")}
        at = mark.end()
    if not opened:
        best = max(best, text.rfind(" ", at, most) + 1)
    fallback = text.rfind(" ", 0, most) + 1
    # A cut near the beginning would only come again at once.
    return best if best > most // 4 else fallback or most
