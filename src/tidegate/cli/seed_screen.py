"""The terminal that a reader of ``tidegate bench seed`` sits at: drawn by what draws ``tidegate chat``."""

from __future__ import annotations

import re
from time import monotonic
from typing import Final

from tidegate.terminal.view import AnswerView, Painter

__all__ = ["TerminalScreen"]

WIDTH, HEIGHT = 80, 24
_ESCAPES: Final = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")


class TerminalScreen:
    """A :class:`tidegate.bench.visible.Screen` in memory, 80 x 24. Needs a running event loop.

    It draws until something of the answer is to be seen, and no further: the drawing of fifty whole answers at once
    would be in the figures. A terminal's own time, from the write to the glass, is not in them.
    """

    def __init__(self) -> None:
        self.visible_at: float | None = None
        self._view = AnswerView(self._write, WIDTH, HEIGHT)
        self._painter = Painter(self._view)
        self._asked = False
        self._view.wait()
        self._asked = True

    def show(self, text: str, now: float) -> None:
        """Draw it, as soon as ``tidegate chat`` would."""
        if self.visible_at is None:
            self._painter.feed(text)

    def close(self) -> None:
        """Draw what is left."""
        self._painter.close()
        if self.visible_at is None:
            self._view.close()

    def _write(self, text: str) -> None:
        # What is drawn before anything was said is the mark of waiting.
        if self._asked and self.visible_at is None and _ESCAPES.sub("", text).strip():
            self.visible_at = monotonic()
