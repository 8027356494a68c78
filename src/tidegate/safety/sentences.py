"""A text in sentences while it comes: what a classifier is asked about.

A sentence ends behind ``.``, ``!``, ``?`` or ``…`` (and the quotes and brackets that follow) at the next white space;
behind ``。``, ``！`` or ``？`` at once; at a line's end; and after so many characters. The white space is its last
character, so that joined sentences are the text. Every decision hangs on the text alone, never on how it was cut.

It is a cut for size, not grammar: "Dr. Smith" is two.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["LONGEST", "Sentences"]

LONGEST: Final = 1000
"""Characters of one sentence; a longer one is cut there."""

_PIECES: Final = re.compile(r"""[.!?…]+|["'”’»)\]}*_`]+|[。！？]|\s|[^.!?…"'”’»)\]}*_`。！？\s]+""")
_ENDS: Final = frozenset(".!?…")
_AT_ONCE: Final = frozenset("。！？")
_CLOSING: Final = frozenset("\"'”’»)]}*_`")


class Sentences:
    """One text. ``feed`` what comes, ``close`` at its end; both give the sentences that have ended.

    :param longest: characters of a sentence at most.
    """

    __slots__ = ("_armed", "_longest", "_parts", "_said", "size")

    def __init__(self, longest: int = LONGEST) -> None:
        self._longest = longest
        self._parts: list[str] = []
        self.size = 0
        """Characters of the sentence that has not ended."""
        self._said = False
        self._armed = False

    def feed(self, text: str) -> list[str]:
        """The sentences that end in ``text``."""
        ended: list[str] = []
        for match in _PIECES.finditer(text):
            piece = match[0]
            while self.size + len(piece) >= self._longest:
                room = self._longest - self.size
                self._add(piece[:room])
                ended.append(self._cut())
                piece = piece[room:]
            if piece and self._add(piece):
                ended.append(self._cut())
        return ended

    def close(self) -> list[str]:
        """The text has ended."""
        return [self._cut()] if self._said else []

    def _add(self, piece: str) -> bool:
        """Whether the sentence ends behind it."""
        self._parts.append(piece)
        self.size += len(piece)
        first = piece[:1]
        if first.isspace():
            return self._said and (self._armed or first == "\n")
        self._said = True
        if first in _ENDS:
            self._armed = True
        elif first not in _CLOSING:
            self._armed = False
        return first in _AT_ONCE

    def _cut(self) -> str:
        sentence = "".join(self._parts)
        self._parts.clear()
        self.size = 0
        self._said = self._armed = False
        return sentence
