"""PURE. Text in terminal cells, without anything that could drive the terminal."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

__all__ = ["clean", "fit", "sparkline"]

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_BARS: Final = "▁▂▃▄▅▆▇█"


def clean(text: str) -> str:
    """Without control characters, tab and line end excepted: what a stranger says must not move the cursor."""
    return _CONTROL.sub("", text)


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Exactly ``width`` cells: cut with an ellipsis, or filled."""
    text = clean(text).replace("\n", " ").replace("\t", " ")
    if text.isascii() and len(text) <= width:
        return text.rjust(width) if right else text.ljust(width)
    cells = sum(map(_cells, text))
    if cells > width:
        text = _cut(text, width - 1) + "…"
        cells = sum(map(_cells, text))
    space = " " * (width - cells)
    return space + text if right else text + space


def sparkline(figures: Sequence[float], width: int) -> str:
    """The last ``width`` figures as bars, the highest one a whole cell; zero is a blank."""
    shown = figures[-width:]
    top = max(shown, default=0.0)
    bars = [" " if not top or figure <= 0 else _BARS[min(7, int(figure / top * 8))] for figure in shown]
    return "".join(bars).rjust(width)


def _cut(text: str, width: int) -> str:
    """The beginning of a text that is wider than ``width``."""
    end = 0
    while (width := width - _cells(text[end])) >= 0:
        end += 1
    return text[:end]


def _cells(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) == "Cf":
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
