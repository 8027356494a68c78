"""PURE. Text in pieces that a reader can be shown: never half an emoji, flag, accent or surrogate pair.

The last user-perceived character of what has come (an extended grapheme cluster, UAX #29) is held back until the next
delta shows that it is whole: after ``e`` there may follow an accent, after a flag's first half the second one.
"""

from __future__ import annotations

from typing import Final

import regex

__all__ = ["Graphemes"]

MAX_HELD: Final = 256
"""Code points of one cluster. Real ones have at most 20 (stream-safe text format, UAX #15: 30 marks); a stream of
combining marks without end must not be held for ever."""

_CLUSTER: Final = regex.compile(r"\X")


class Graphemes:
    """Push text, take whole clusters."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = ""

    @property
    def held(self) -> str:
        """What waits for its other half."""
        return self._held

    def feed(self, text: str) -> str:
        """The clusters that are certainly whole."""
        if not text:
            return ""
        text = self._held + text
        if text.isascii():
            # In ASCII every character is its own cluster but CR LF. Nothing joins a line end.
            last = text[-1]
            if last == "\n":
                self._held = ""
                return text
            self._held = last
            return text[:-1]
        return self._split(text)

    def close(self) -> str:
        """The text has ended: the rest."""
        rest, self._held = _repaired(self._held), ""
        return rest

    def _split(self, text: str) -> str:
        cut = len(text)
        if "\ud800" <= text[-1] <= "\udbff":
            cut -= 1  # the first half of a surrogate pair, which is no character yet
        whole = _repaired(text[:cut])
        at = _last_border(whole)
        if len(whole) - at > MAX_HELD:
            at = len(whole)
        self._held = whole[at:] + text[cut:]
        return whole[:at]


def _last_border(text: str) -> int:
    """Where the last cluster of ``text`` begins.

    Clusters are counted from the last line end or plain letter before the end, after which one begins for certain,
    so that a long text costs no more than its tail.
    """
    start = max(0, len(text) - 2 * MAX_HELD)
    while start > 0 and not (text[start - 1].isascii() and text[start].isascii() and text[start].isalnum()):
        start -= 1
    at = start
    for match in _CLUSTER.finditer(text, start):
        at = match.start()
    return at


def _repaired(text: str) -> str:
    """Surrogate halves that met made whole, lonely ones replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
