"""A line on stderr that says how far a long command is: rewritten in place on a terminal, now and then elsewhere."""

from __future__ import annotations

import shutil
import sys
from time import monotonic
from typing import Final, TextIO

__all__ = ["ProgressLine", "ms"]

_ON_TERMINAL: Final = 0.25
_ELSEWHERE: Final = 5.0
"""Seconds between two lines: a log file needs fewer."""


class ProgressLine:
    """``tell`` as often as you like; ``close`` before anything else is printed."""

    def __init__(self, *, quiet: bool = False, file: TextIO | None = None) -> None:
        self._file = file if file is not None else sys.stderr
        self._terminal = self._file.isatty()
        self._quiet = quiet
        self._pause = _ON_TERMINAL if self._terminal else _ELSEWHERE
        self._next = monotonic() + self._pause
        self._shown = False

    @property
    def due(self) -> bool:
        """Whether a line would be shown now."""
        return not self._quiet and monotonic() >= self._next

    def tell(self, text: str, *, now: bool = False) -> None:
        """Show ``text``, if it is time or ``now``."""
        if self._quiet or not (now or self.due):
            return
        self._next = monotonic() + self._pause
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            self._file.write(f"\r\x1b[K{text[:width]}")
            self._shown = True
        else:
            self._file.write(text + "\n")
        self._file.flush()

    def close(self) -> None:
        """Take the line away."""
        if self._shown:
            self._file.write("\r\x1b[K")
            self._file.flush()
            self._shown = False


def ms(seconds: float | None) -> str:
    """Milliseconds, or a dash."""
    return "–" if seconds is None else f"{seconds * 1e3:,.0f} ms"
