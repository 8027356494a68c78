"""Markdown cut into blocks while it comes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.simulator.texts import ANSWERS
from tidegate.terminal.blocks import MAX_LINE, MAX_OPEN, Block, Blocks


def blocks(text: str, step: int = 0) -> list[Block]:
    found = Blocks()
    settled = []
    for at in range(0, len(text), step or len(text) or 1):
        settled += found.feed(text[at : at + (step or len(text))])
    settled += found.close()
    assert found.open is None
    return settled


def kinds(text: str) -> list[tuple[str, str]]:
    return [(block.kind, block.source) for block in blocks(text)]


def test_each_kind_of_block() -> None:
    text = "# Title\nSome *text*\nin two lines.\n\n- one\n  more\n- two\n\n> said\n\n"
    assert kinds(text + "| a | b |\n|---|---|\n| 1 | 2 |\n\n---\nend") == [
        ("heading", "# Title"),
        ("text", "Some *text*\nin two lines."),
        ("item", "- one\n  more"),
        ("item", "- two"),
        ("quote", "> said"),
        ("table", "| a | b |\n|---|---|\n| 1 | 2 |"),
        ("rule", "---"),
        ("text", "end"),
    ]


def test_code_is_settled_line_by_line_and_closed_at_the_end() -> None:
    found = Blocks()
    assert found.feed("```python\nx = 1\ny") == [Block("code", "x = 1", "python")]
    assert found.open == Block("code", "y", "python", joined=True)
    assert found.close() == [Block("code", "y", "python", joined=True)]
    assert kinds("~~~~\n~~~\n# no title\n~~~~\nafter") == [("code", "~~~"), ("code", "# no title"), ("text", "after")]


def test_a_fence_that_has_just_begun_shows_nothing() -> None:
    found = Blocks()
    assert found.feed("```pyth") == []
    assert found.open is None


def test_items_of_one_list_stand_together_and_keep_their_paragraphs() -> None:
    found = blocks("1. one\n\n   still one\n2. two\nlazy\n\nafter")
    assert [(block.kind, block.source, block.joined) for block in found] == [
        ("item", "1. one\n\n   still one", False),
        ("item", "2. two\nlazy", True),
        ("text", "after", False),
    ]


@pytest.mark.parametrize("name", ["markdown", "tables", "code", "emoji", "rtl"])
@pytest.mark.parametrize("step", [1, 2, 7, 100])
def test_where_the_text_was_cut_never_shows(name: str, step: int) -> None:
    assert blocks(ANSWERS[name], step) == blocks(ANSWERS[name])


marks = st.lists(
    st.sampled_from(
        ["# ", "- ", "1. ", "> ", "| a |", "```", "~~~", "\n", "\n\n", "  ", "word ", "**", "`", "---", "\r\n"]
    )
).map("".join)


@settings(deadline=None, max_examples=40)
@given(marks, st.integers(1, 9))
def test_anything_is_the_same_however_it_is_cut(text: str, step: int) -> None:
    assert blocks(text, step) == blocks(text)


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(["word ", "**bold words** ", "x", "| cell ", "- item\n", "> quote ", "`"]), st.integers(500, 4000)
)
def test_the_open_block_is_bounded(piece: str, count: int) -> None:
    found = Blocks()
    for _ in range(count):
        found.feed(piece)
        assert found.open is None or len(found.open.source) <= MAX_OPEN + 200


def test_no_word_of_a_long_paragraph_is_lost() -> None:
    words = [f"w{number}" for number in range(5000)]
    assert " ".join(block.source for block in blocks(" ".join(words), 13)).split() == words
    assert all(block.joined for block in blocks(" ".join(words))[1:])


def test_a_long_paragraph_is_not_cut_inside_its_emphasis() -> None:
    text = ("plain words " * 10 + "**bold words that go on** ") * 40
    for block in blocks(text, 50):
        assert block.source.count("**") % 2 == 0


def test_a_long_paragraph_whose_emphasis_never_ends_is_cut_all_the_same() -> None:
    words = ["**begun", *["and"] * 1500]
    assert " ".join(block.source for block in blocks(" ".join(words), 50)).split() == words


def test_a_long_table_goes_on_under_its_head() -> None:
    head = "| port | metres |\n|---|---|\n"
    rows = [f"| port {number} | {number} |" for number in range(300)]
    found = blocks(head + "\n".join(rows), 40)
    assert len(found) > 2
    assert all(block.source.startswith(head) for block in found)
    assert [row for block in found for row in block.source.split("\n")[2:]] == rows


def test_a_line_of_code_without_end_is_cut() -> None:
    found = Blocks()
    found.feed("```\n")
    settled = found.feed("x" * (3 * MAX_LINE + 5))
    assert [len(block.source) for block in settled] == [MAX_LINE] * 3
