"""Frames: many readers woken by one timer."""

from __future__ import annotations

import asyncio

__all__ = ["FrameClock"]


class FrameClock:
    """Ticks at whole multiples of ``interval`` seconds while somebody waits, and rests otherwise.

    One timer serves all streams of a client: 50 streams at 60 frames a second are 60 timers a second, not 3,000.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._waiting: list[asyncio.Future[None]] = []
        self._at = 0.0

    def frame(self) -> asyncio.Future[None]:
        """Done at the next frame."""
        loop = asyncio.get_running_loop()
        # A future each: cancelling one reader must not cancel the others.
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiting.append(waiter)
        if len(self._waiting) == 1:
            # A timer may fire a little before its time; the next frame is a whole one all the same.
            now = loop.time()
            behind = now - self._at
            self._at = self._at + self._interval if self._interval - behind >= 0.0 else now + self._interval
            loop.call_at(self._at, self._tick)
        return waiter

    def _tick(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)
