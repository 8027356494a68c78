"""An answer on the terminal while it comes: settled blocks printed once, the open one redrawn below them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from tidegate.terminal.blocks import Block, Blocks
from tidegate.terminal.markdown import MarkdownLines
from tidegate.terminal.region import Region

__all__ = ["FRAME", "AnswerView", "Painter"]

FRAME: Final = 0.05
"""Seconds between two drawings of an answer."""

WAITING: Final = "\x1b[2m…"


class AnswerView:
    """One answer.

    :param write: to the terminal.
    :param width: in cells, and ``height`` in lines.
    """

    def __init__(self, write: Callable[[str], None], width: int, height: int) -> None:
        self._write = write
        self._blocks = Blocks()
        # One cell free: a full line would wrap by itself on some terminals.
        self.lines = MarkdownLines(width - 1)
        self._region = Region(height)
        self._settled: list[Block] = []
        self._dirty = False

    def wait(self) -> None:
        """Show that an answer is waited for; the first text takes its place."""
        self._write(self._region.draw([WAITING]))

    def feed(self, text: str) -> None:
        """More of the answer; it shows at the next :meth:`paint`."""
        self._settled += self._blocks.feed(text)
        self._dirty = True

    def paint(self) -> None:
        """Print what has been settled since the last time, and draw the open block again if it has changed."""
        if not self._dirty:
            return
        self._dirty = False
        self._settle()
        block = self._blocks.open
        drawn = self._region.draw(self.lines.draw(block) if block is not None else [])
        if drawn:
            self._write(drawn)

    def resize(self, width: int, height: int) -> None:
        """The window has another size."""
        self.lines.width = max(20, width - 1)
        self._region.resize(height)
        self._dirty = True

    def close(self) -> None:
        """The answer has ended, however it did."""
        self._settled += self._blocks.close()
        self._settle()
        last = self._region.draw([])
        if last:
            self._write(last)

    def _settle(self) -> None:
        if self._settled:
            self._write(self._region.settle(self.lines.settle(self._settled)))
            self._settled.clear()


class Painter:
    """Paints a view while text comes: the first at once, then once a frame. Needs a running event loop.

    ``close`` before the view is closed.
    """

    def __init__(self, view: AnswerView) -> None:
        self._view = view
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def feed(self, text: str) -> None:
        """More of the answer; it is on the terminal within a frame."""
        self._view.feed(text)
        if self._timer is not None:
            return
        loop = asyncio.get_running_loop()
        if loop.time() >= self._due:
            self._paint()
        else:
            self._timer = loop.call_at(self._due, self._paint)

    def close(self) -> None:
        """Paint no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _paint(self) -> None:
        self._timer = None
        self._view.paint()
        # After the drawing, whatever it took: a slow terminal must not take all the time there is.
        self._due = asyncio.get_running_loop().time() + FRAME
