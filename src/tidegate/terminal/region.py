"""PURE. A region at the bottom of the terminal that is drawn again, below text that never is.

What is printed above the region is printed once. A redraw writes only the lines that differ, inside a synchronized
update (terminals that do not know it ignore it), so that nothing flickers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["Region"]

BEGIN: Final = "\x1b[?2026h"
END: Final = "\x1b[?2026l"
CLEAR_LINE: Final = "\x1b[K"
CLEAR_BELOW: Final = "\x1b[J"
PLAIN: Final = "\x1b[0m"


class Region:
    """Each method returns what to write. Lines must fit the width; they may carry colours.

    Between two calls the cursor stands at the beginning of the line below the region.
    """

    def __init__(self, height: int) -> None:
        self._height = height
        self._shown: list[str] = []

    def resize(self, height: int) -> str:
        """The window has another size: the region begins anew below what is there."""
        self._height = height
        self._shown = []
        return ""

    def draw(self, lines: Sequence[str]) -> str:
        """Show ``lines`` in the region: their tail, where they are more than the screen."""
        shown = list(lines[-max(1, self._height - 1) :])
        if shown == self._shown:
            return ""
        same = 0
        while same < min(len(shown), len(self._shown)) and shown[same] == self._shown[same]:
            same += 1
        out = [BEGIN, _up(len(self._shown) - same)]
        out += [f"{line}{PLAIN}{CLEAR_LINE}\r\n" for line in shown[same:]]
        if len(shown) < len(self._shown):
            out.append(CLEAR_BELOW)
        out.append(END)
        self._shown = shown
        return "".join(out)

    def settle(self, lines: Sequence[str]) -> str:
        """Print ``lines`` for good, in the region's place; the region is empty then."""
        out = [BEGIN, _up(len(self._shown))]
        out += [f"{line}{PLAIN}{CLEAR_LINE}\r\n" for line in lines]
        if len(self._shown):
            out.append(CLEAR_BELOW)
        out.append(END)
        self._shown = []
        return "".join(out) if lines or len(out) > 3 else ""


def _up(lines: int) -> str:
    return f"\x1b[{lines}A\r" if lines > 0 else "\r"
