"""cli/seed_screen.py: what it says is to be seen is on an emulated terminal with that write, and not before."""

from __future__ import annotations

import asyncio
from time import monotonic

import pytest

from tests.terminal.test_region import Screen as Emulated
from tidegate.bench.visible import Screen
from tidegate.cli.seed_screen import TerminalScreen
from tidegate.simulator.texts import ANSWERS, tokens_of
from tidegate.terminal import view


class Watched(TerminalScreen):
    """Holds every write against a terminal."""

    def __init__(self) -> None:
        self.emulated = Emulated(80, 24)
        self.writes = 0
        self.seen = asyncio.Event()
        super().__init__()

    def _write(self, text: str) -> None:
        self.emulated.write(text)
        super()._write(text)
        self.writes += 1
        if self.visible_at is not None:
            self.seen.set()
        assert (self.visible_at is not None) == (any(self.emulated.lines) and self.emulated.lines != ["…"])


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_the_first_token_that_draws_something_is_when_it_is_seen(name: str) -> None:
    async def case() -> None:
        screen = Watched()
        for token in tokens_of(ANSWERS[name])[:200]:
            screen.show(token, monotonic())
        screen.close()
        assert screen.visible_at is not None

    asyncio.run(case())


def test_it_draws_no_further_than_that() -> None:
    async def case() -> None:
        screen = Watched()
        before = monotonic()
        screen.show("The tide", before)
        assert screen.visible_at is not None
        assert before <= screen.visible_at <= monotonic()
        found = (screen.visible_at, screen.writes)
        screen.show(" rises.\n\nTwice a day.", monotonic())
        screen.close()
        assert (screen.visible_at, screen.writes) == found

    asyncio.run(case())


def test_white_space_the_mark_of_waiting_and_a_fence_are_nothing_to_be_seen() -> None:
    async def case() -> None:
        screen: Screen = Watched()
        for text in ("\n", "  \n", "```python", "\n"):
            screen.show(text, monotonic())
        assert screen.visible_at is None
        screen.close()
        assert screen.visible_at is None

    asyncio.run(case())


def test_what_comes_within_a_frame_is_seen_a_frame_later_or_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "FRAME", 0.5)

    async def case() -> None:
        waiting, ended = Watched(), Watched()
        for screen in (waiting, ended):
            screen.show("\n", monotonic())
            screen.show("tide", monotonic())
            assert screen.visible_at is None
        ended.close()
        assert ended.visible_at is not None
        await asyncio.wait_for(waiting.seen.wait(), 60)
        assert waiting.visible_at is not None

    asyncio.run(case())
