"""relay/coalesce.py: fewer writes, nothing lost, nothing out of order, no timer left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from tidegate.relay.coalesce import Coalescer


class Timer:
    def __init__(self, wait: float, callback: Callable[[], None]) -> None:
        self.wait, self.callback, self.cancelled = wait, callback, False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """Its timers go off when the test says so."""

    def __init__(self) -> None:
        self.timers: list[Timer] = []

    def call_later(self, wait: float, callback: Callable[[], None]) -> Timer:
        self.timers.append(Timer(wait, callback))
        return self.timers[-1]


class Desk:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, most: int = 50) -> None:
        self.now = 100.0
        monkeypatch.setattr("tidegate.relay.coalesce.monotonic", lambda: self.now)
        self.loop = Loop()
        self.written: list[bytes] = []
        self.coalescer = Coalescer(0.5, most, cast(Any, self.loop), self.written.append)

    def add(self, *parts: bytes) -> None:
        for part in parts:
            self.coalescer.add(part, self.now)

    @property
    def armed(self) -> list[Timer]:
        return [timer for timer in self.loop.timers if not timer.cancelled]


def test_what_comes_alone_leaves_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    for text in (b"a", b"b"):
        desk.add(text)
        desk.now += 0.5
    assert desk.written == [b"a", b"b"]
    assert desk.loop.timers == []


def test_what_comes_soon_after_leaves_together_when_the_interval_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """One timer for all of it, for what is left of the interval."""
    desk = Desk(monkeypatch)
    desk.add(b"a")
    desk.now += 0.2
    desk.add(b"b", b"c")
    assert desk.written == [b"a"]
    (timer,) = desk.armed
    assert timer.wait == pytest.approx(0.3)
    desk.now += 0.3
    timer.callback()
    assert desk.written == [b"a", b"bc"]
    assert desk.armed == []
    desk.now += 0.1
    desk.add(b"d")
    assert desk.written == [b"a", b"bc"], "the interval counts from the last write"


def test_so_many_parts_leave_whatever_the_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch, most=3)
    desk.add(b"a", b"b", b"c", b"d", b"e")
    assert desk.written == [b"a", b"bcd"]
    assert len(desk.armed) == 1


def test_what_is_taken_is_not_written_too(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    desk.add(b"a", b"b", b"c")
    assert desk.coalescer.take() == b"bc"
    assert desk.coalescer.take() == b""
    assert desk.armed == []
    assert desk.written == [b"a"]


def test_after_closing_no_timer_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    desk.add(b"a", b"b")
    desk.coalescer.close()
    desk.coalescer.close()
    assert desk.armed == []


def test_on_a_real_loop_the_rest_follows_by_itself() -> None:
    async def case() -> None:
        written: list[bytes] = []
        both = asyncio.Event()

        def write(data: bytes) -> None:
            written.append(data)
            if len(written) == 2:
                both.set()

        coalescer = Coalescer(0.02, 50, asyncio.get_running_loop(), write)
        for part in (b"a", b"b", b"c"):
            coalescer.add(part, asyncio.get_running_loop().time())
        await asyncio.wait_for(both.wait(), 60)
        assert b"".join(written) == b"abc"

    asyncio.run(case())
