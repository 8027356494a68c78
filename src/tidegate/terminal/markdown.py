"""Blocks of markdown as lines for a terminal, by rich: markdown-it for the grammar, Pygments for code.

Code is highlighted line by line with the lines before it as context, so that a long listing costs its length, not its
square. A string or comment that spans more than the context may lose its colour.
"""

from __future__ import annotations

import io
import re
from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from rich.console import Console
from rich.markdown import Markdown
from rich.syntax import Syntax
from rich.text import Text

from tidegate.terminal.blocks import Block
from tidegate.terminal.cells import clean

__all__ = ["MarkdownLines"]

CONTEXT: Final = 25
"""Lines of code before a line that its highlighter sees."""

_THEME: Final = "ansi_dark"


class MarkdownLines:
    """Renders one answer's blocks, in order.

    :param width: of the terminal, in cells.
    """

    def __init__(self, width: int) -> None:
        self.width = max(20, width)
        self.rendered = 0
        """Characters of source that were rendered: what drawing costs."""
        self._context: deque[str] = deque(maxlen=CONTEXT)
        self._first = True

    def settle(self, blocks: Sequence[Block]) -> list[str]:
        """The lines of blocks that will not change, with a blank line before each that stands apart."""
        found: list[str] = []
        at = 0
        while at < len(blocks):
            # The lines of one listing together: its highlighter then reads its context once for all of them.
            end = at + 1
            while blocks[at].kind == "code" and end < len(blocks) and blocks[end].kind == "code" and blocks[end].joined:
                end += 1
            found += self._gap(blocks[at])
            found += self._lines(blocks[at:end], keep=True)
            self._first = False
            at = end
        return found

    def draw(self, block: Block) -> list[str]:
        """The lines of a block that may still change."""
        return self._gap(block) + self._lines([block], keep=False)

    def _gap(self, block: Block) -> list[str]:
        return [] if block.joined or self._first else [""]

    def _lines(self, blocks: Sequence[Block], *, keep: bool) -> list[str]:
        self.rendered += sum(len(block.source) for block in blocks)
        if blocks[0].kind == "code":
            return self._code(blocks, keep=keep)
        source = clean(blocks[0].source)
        if blocks[0].kind == "table" and source.count("\n") == 0:
            return self._plain(source)  # a table is one only with its second line
        return _trimmed(self._print(Markdown(source, code_theme=_THEME, hyperlinks=False)))

    def _code(self, blocks: Sequence[Block], *, keep: bool) -> list[str]:
        if not blocks[0].joined:
            self._context.clear()
        lines = [clean(block.source).expandtabs(4) for block in blocks]
        coloured = _highlighted([*self._context, *lines], blocks[0].language)[-len(lines) :]
        if keep:
            self._context.extend(lines)
        return self._print(Text("\n").join([Text("  ") + line for line in coloured])).split("\n")[:-1]

    def _plain(self, source: str) -> list[str]:
        return self._print(Text(source)).splitlines()

    def _print(self, what: Markdown | Text) -> str:
        console = _console(self.width)
        file = console.file
        assert isinstance(file, io.StringIO)
        file.seek(0)
        file.truncate()
        console.print(what, soft_wrap=False)
        return file.getvalue()


def _highlighted(lines: list[str], language: str) -> list[Text]:
    """Lines of code in colours; plain where the highlighter does not give back what it got."""
    plain = [Text(line) for line in lines]
    if not language or not any(line.strip() for line in lines):
        return plain
    coloured = _syntax(language).highlight("\n".join(lines)).split("\n", allow_blank=True)[: len(lines)]
    return [new if new.plain == old.plain else old for new, old in zip(coloured, plain, strict=False)] + plain[
        len(coloured) :
    ]


@lru_cache(maxsize=16)
def _syntax(language: str) -> Syntax:
    return Syntax("", language, theme=_THEME, background_color="default")


@lru_cache(maxsize=4)
def _console(width: int) -> Console:
    return Console(
        file=io.StringIO(), width=width, force_terminal=True, color_system="standard", legacy_windows=False, emoji=False
    )


def _trimmed(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.splitlines()]
    while lines and not _bare(lines[0]):
        lines.pop(0)
    while lines and not _bare(lines[-1]):
        lines.pop()
    return lines


_ANSI: Final = re.compile(r"\x1b\[[0-9;]*m")


def _bare(line: str) -> str:
    return _ANSI.sub("", line).strip()
