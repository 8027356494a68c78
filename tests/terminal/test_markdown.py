"""Blocks as lines."""

from __future__ import annotations

import re

import pytest

from tidegate.terminal.blocks import Block
from tidegate.terminal.markdown import MarkdownLines

ANSI = re.compile(r"\x1b\[[0-9;]*m")


def bare(lines: list[str]) -> list[str]:
    return [ANSI.sub("", line).rstrip() for line in lines]


def test_blocks_stand_apart_unless_they_go_on() -> None:
    lines = MarkdownLines(40)
    assert bare(lines.settle([Block("text", "one")])) == ["one"]
    assert bare(lines.settle([Block("text", "two")])) == ["", "two"]
    assert bare(lines.settle([Block("item", "- a")])) == ["", " • a"]
    assert bare(lines.settle([Block("item", "- b", joined=True)])) == [" • b"]


def test_drawing_an_open_block_settles_nothing() -> None:
    lines = MarkdownLines(40)
    for _ in range(3):
        assert bare(lines.draw(Block("text", "on"))) == ["on"]


def test_code_has_colours_and_keeps_its_indent() -> None:
    lines = MarkdownLines(40)
    first = lines.settle([Block("code", "def f():", "python")])
    second = lines.settle([Block("code", "\treturn 1", "python", joined=True)])
    assert bare(first + second) == ["  def f():", "      return 1"]
    assert "\x1b[" in first[0]
    assert bare(lines.settle([Block("code", "", "python", joined=True)])) == [""]


def test_a_string_over_several_lines_is_one_to_the_highlighter() -> None:
    lines = MarkdownLines(60)
    lines.settle([Block("code", 's = """', "python")])
    inside = lines.settle([Block("code", "def not_a_function", "python", joined=True)])
    alone = MarkdownLines(60).settle([Block("code", "def not_a_function", "python")])
    assert bare(inside) == bare(alone)
    assert inside != alone


def test_a_language_that_nobody_knows_is_plain() -> None:
    assert bare(MarkdownLines(40).settle([Block("code", "x <- y", "no-such")])) == ["  x <- y"]


def test_the_first_line_of_a_table_is_text_until_its_second() -> None:
    lines = MarkdownLines(40)
    assert bare(lines.draw(Block("table", "| a | b |"))) == ["| a | b |"]
    table = bare(lines.draw(Block("table", "| a | b |\n|---|---|\n| 1 | 2 |")))
    assert [line.split() for line in table if "─" not in line] == [["a", "b"], ["1", "2"]]


@pytest.mark.parametrize("kind", ["text", "code"])
def test_what_a_model_says_cannot_drive_the_terminal(kind: str) -> None:
    block = Block(kind, "a\x1b]0;title\x07\x1b[2Jb\x9b2Kc")  # type: ignore[arg-type]
    drawn = "".join(MarkdownLines(60).settle([block]))
    assert bare([drawn.strip()]) == ["a]0;title[2Jb2Kc"]


def test_lines_fit_the_width() -> None:
    lines = MarkdownLines(30)
    text = "word " * 40 + "\n\n" + "x" * 100
    for line in bare(lines.settle([Block("text", text)])):
        assert len(line) <= 30
    for line in bare(lines.settle([Block("code", "y" * 100, "python")])):
        assert len(line) <= 30
