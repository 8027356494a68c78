"""An answer on an emulated terminal, while it comes."""

from __future__ import annotations

import asyncio

import pytest

from tests.terminal.test_region import Screen
from tidegate.simulator.texts import ANSWERS, tokens_of
from tidegate.terminal import view as view_module
from tidegate.terminal.view import AnswerView, Painter


def shown(pieces: list[str], height: int = 24, *, paint: bool = True) -> tuple[list[str], AnswerView, int]:
    screen = Screen(80, height)
    written = 0

    def write(text: str) -> None:
        nonlocal written
        written += len(text)
        screen.write(text)

    view = AnswerView(write, 80, height)
    for piece in pieces:
        view.feed(piece)
        if paint:
            view.paint()
    view.close()
    return screen.lines, view, written


@pytest.mark.parametrize("name", ["markdown", "tables", "code", "prose"])
@pytest.mark.parametrize("height", [24, 8])
def test_token_by_token_ends_as_the_whole_would(name: str, height: int) -> None:
    """Nothing is left of the drawings between, also where the open block is higher than the screen."""
    tokens = tokens_of(ANSWERS[name])
    assert shown(tokens, height)[0] == shown(["".join(tokens)], height)[0]


def test_what_was_settled_is_never_written_again() -> None:
    """Each paragraph's own word goes to the terminal once for each of its drawings, and never after it is settled."""
    out: list[str] = []
    view = AnswerView(out.append, 80, 24)
    for number in range(20):
        view.feed(f"paragraph{number} is here.\n\n")
        view.paint()
        before = len("".join(out))
        view.feed(f"next{number}")
        view.paint()
        assert f"paragraph{number} " not in "".join(out)[before:]
        view.feed("\n\n")
    view.close()
    assert all("".join(out).count(f"paragraph{number} ") == 1 for number in range(20))


def test_code_is_shown_as_code_while_its_fence_is_open() -> None:
    screen = Screen(80, 24)
    view = AnswerView(screen.write, 80, 24)
    view.feed("```python\nx = 1\ny = 2")
    view.paint()
    assert screen.lines == ["  x = 1", "  y = 2"]
    view.close()
    assert screen.lines == ["  x = 1", "  y = 2"]


KINDS = {
    "prose": "The sea comes up the harbour steps. ",
    "paragraphs": "The sea comes up the harbour steps.\n\n",
    "code": "x = height(low, high)  # metres\n",
    "table": "| Saint-Malo | 8.0 m |\n",
    "list": "- the sea comes up\n",
    "one line": "abcdefgh",
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_work_is_linear_in_the_length(kind: str) -> None:
    """Characters rendered and written, drawn once for each 50 characters as at 1,000 tokens a second."""
    head = {"code": "```python\n", "table": "| port | range |\n|---|---|\n"}.get(kind, "")

    def work(length: int) -> tuple[int, int]:
        text = head + KINDS[kind] * (length // len(KINDS[kind]))
        _, view, written = shown([text[at : at + 200] for at in range(0, len(text), 200)])
        return view.lines.rendered, written

    (once, wrote), (twice, wrote_twice) = work(10_000), work(20_000)
    assert twice <= 2.3 * once + 4000
    assert wrote_twice <= 2.3 * wrote + 4000


def test_waiting_leaves_nothing_behind() -> None:
    screen = Screen(80, 24)
    view = AnswerView(screen.write, 80, 24)
    view.wait()
    assert screen.lines == ["…"]
    view.feed("Now.")
    view.paint()
    view.paint()
    assert screen.lines == ["Now."]
    empty = Screen(80, 24)
    silent = AnswerView(empty.write, 80, 24)
    silent.wait()
    silent.close()
    assert empty.lines == []


def test_a_resize_in_the_middle_loses_no_text() -> None:
    screen = Screen(80, 24)
    view = AnswerView(screen.write, 80, 24)
    view.feed("# Title\n\nOne two three")
    view.paint()
    view.resize(60, 20)
    view.feed(" four.")
    view.close()
    assert screen.lines[-1] == "One two three four."


def test_the_first_text_is_painted_at_once_and_more_of_it_a_frame_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_module, "FRAME", 1.0)

    async def case() -> None:
        screen, written = Screen(80, 24), asyncio.Event()

        def write(text: str) -> None:
            screen.write(text)
            written.set()

        painter = Painter(AnswerView(write, 80, 24))
        painter.feed("One")
        assert screen.lines == ["One"]
        written.clear()
        for piece in (" two", " three"):
            painter.feed(piece)
            assert screen.lines == ["One"]
        await asyncio.wait_for(written.wait(), 60)
        assert screen.lines == ["One two three"]

    asyncio.run(case())


def test_a_closed_painter_paints_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_module, "FRAME", 0.05)

    async def case() -> None:
        screen = Screen(80, 24)
        view = AnswerView(screen.write, 80, 24)
        painter = Painter(view)
        painter.feed("One")
        painter.feed(" two")
        painter.close()
        await asyncio.sleep(0.2)
        assert screen.lines == ["One"]
        view.close()
        assert screen.lines == ["One two"]

    asyncio.run(case())
