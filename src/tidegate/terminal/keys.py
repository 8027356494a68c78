"""PURE. What a terminal in raw mode sends, as names of keys."""

from __future__ import annotations

from typing import Final

__all__ = ["keys_of"]

_SEQUENCES: Final = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1bOA": "up",
    "\x1bOB": "down",
    "\x1b[5~": "page-up",
    "\x1b[6~": "page-down",
    "\x1b[H": "home",
    "\x1b[F": "end",
    "\x1b[1~": "home",
    "\x1b[4~": "end",
    "\x1bOH": "home",
    "\x1bOF": "end",
    "\r": "enter",
    "\n": "enter",
    "\x7f": "backspace",
    "\x08": "backspace",
}


def keys_of(data: str) -> list[str]:
    """The keys in one read. A sequence that nobody knows is dropped whole; a lonely escape is the key."""
    found = []
    at = 0
    while at < len(data):
        length = next((size for size in (4, 3, 1) if data[at : at + size] in _SEQUENCES), 0)
        if length:
            found.append(_SEQUENCES[data[at : at + length]])
            at += length
        elif data[at] != "\x1b":
            found.append(data[at])
            at += 1
        elif at + 1 == len(data):
            found.append("escape")
            at += 1
        else:
            at += _unknown(data, at)
    return found


def _unknown(data: str, at: int) -> int:
    """The length of an escape sequence that is not in the table (ECMA-48 §5.4: it ends with @ to ~)."""
    end = at + 2
    if data[at + 1] == "[":
        while end < len(data) and not "@" <= data[end] <= "~":
            end += 1
        end += 1
    return end - at
