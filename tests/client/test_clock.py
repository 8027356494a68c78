"""Frames."""

from __future__ import annotations

import asyncio

from tests.fakes.gateway import run
from tidegate.client.clock import FrameClock


def test_all_who_wait_are_woken_by_one_timer() -> None:
    async def case() -> None:
        clock = FrameClock(0.01)
        frames = [clock.frame() for _ in range(50)]
        done, waiting = await asyncio.wait(frames, return_when=asyncio.FIRST_COMPLETED)
        assert len(done) == 50
        assert not waiting

    run(case())


def test_a_reader_that_is_cancelled_leaves_the_others_waiting() -> None:
    async def case() -> None:
        clock = FrameClock(0.01)
        first, second = clock.frame(), clock.frame()
        first.cancel()
        await second
        assert second.done()

    run(case())


def test_frames_are_an_interval_apart() -> None:
    """Also where the loop's clock is coarse and its timers early."""

    async def case() -> None:
        loop = asyncio.get_running_loop()
        clock = FrameClock(0.016)
        begun = loop.time()
        for _ in range(10):
            await clock.frame()
        assert loop.time() - begun >= 9 * 0.016 - 0.002

    run(case())
