"""The fenced blocks of the documentation, and the commands in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "Block", "Command", "blocks_of", "commands_of", "matches", "pages"]

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: str
    """Relative to the project."""
    line: int
    """Of its first line, counted from 1."""
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A command of a console block, with the output that is shown below it."""

    place: str
    text: str
    """Without a remark (two spaces, ``#``) at its end."""
    output: str


def pages() -> list[str]:
    """README and every page that was written by hand."""
    return ["README.md", *sorted(file.relative_to(ROOT).as_posix() for file in (ROOT / "docs").rglob("*.md"))]


def blocks_of(page: str, text: str | None = None) -> Iterator[Block]:
    """Every fenced block of a page, in order; a fence may be indented, in a list say."""
    text = (ROOT / page).read_text() if text is None else text
    fence = re.compile(r"(?ms)^(?P<indent> *)```(?P<language>[^\n]*)\n(?P<text>.*?)^(?P=indent)```\s*?$")
    for found in fence.finditer(text):
        indent = found["indent"]
        inner = re.sub(rf"(?m)^{indent}", "", found["text"])
        yield Block(page, text.count("\n", 0, found.start("text")) + 1, found["language"].strip(), inner)


def commands_of(block: Block) -> Iterator[Command]:
    """What follows each ``$``: a command, over as many lines as end in a backslash or open a quote; then its output."""
    lines = block.text.splitlines()
    at = 0
    while at < len(lines):
        start = at
        assert lines[at].startswith("$ "), f"{block.place}: a console block begins with a command"
        command = [lines[at][2:]]
        at += 1
        while at < len(lines) and (command[-1].endswith("\\") or "\n".join(command).count("'") % 2):
            command.append(lines[at])
            at += 1
        output = []
        while at < len(lines) and not lines[at].startswith("$ "):
            output.append(lines[at])
            at += 1
        place = f"{block.page}:{block.line + start}"
        text = re.sub(r"\s{2,}# .*$", "", "\n".join(command))
        yield Command(place, text, "\n".join(output).strip("\n"))


def matches(shown: str, real: str) -> bool:
    """The output is the one shown; ``…`` in it stands for anything."""
    pattern = ".*".join(re.escape(part) for part in shown.split("…"))
    return re.fullmatch(pattern, real.strip("\n"), re.DOTALL) is not None
