"""server/at_once.py: a ``send`` that has nothing to wait for is run, and what else it does is seen."""

from __future__ import annotations

import asyncio
import time

import pytest

from tidegate.relay.deadlines import LATE
from tidegate.server.at_once import Awaited, ran


async def nothing() -> None:
    return None


async def waiting() -> None:
    await asyncio.sleep(1)


async def failing() -> None:
    raise ValueError("secret of the prompt")


def test_what_waits_or_fails_has_not_run(capfd: pytest.CaptureFixture[str]) -> None:
    assert [ran(nothing()), ran(failing())] == [True, False]
    out, err = capfd.readouterr()
    assert "server.send_failed" in out + err
    assert "secret" not in out + err

    async def case() -> bool:
        return ran(waiting())

    assert asyncio.run(case()) is False


def test_who_waits_for_an_end_that_was_goes_on_at_once() -> None:
    async def case() -> None:
        down = Awaited(60.0)
        waiter = asyncio.create_task(down.closed())
        await asyncio.sleep(0)
        assert not waiter.done()
        down._is_over()
        await asyncio.wait_for(waiter, 10)
        await down.closed()

    asyncio.run(case())


class Down(Awaited):
    """A response that has ended, of which some bytes have not left."""

    def __init__(self) -> None:
        super().__init__(0.01)
        self.left = 100
        self.given_up = asyncio.Event()

    def _unsent(self) -> int:
        return self.left

    def _give_up(self) -> None:
        self.given_up.set()


async def busy_beyond_the_stall() -> Down:
    down = Down()
    down._wait_for()
    time.sleep(0.01 + 2 * LATE)  # noqa: ASYNC251 - this is the case
    for _ in range(3):
        await asyncio.sleep(0)
    assert not down.given_up.is_set()
    return down


def test_who_was_busy_itself_looks_once_more_before_a_reader_counts_as_stalled() -> None:
    """What he took meanwhile is perhaps still to be heard of."""

    async def case() -> None:
        down = await busy_beyond_the_stall()
        down.left = 0
        await asyncio.sleep(3 * LATE)
        assert not down.given_up.is_set()

    asyncio.run(case())


def test_who_was_busy_does_not_wait_for_ever() -> None:
    async def case() -> None:
        await asyncio.wait_for((await busy_beyond_the_stall()).given_up.wait(), 60)

    asyncio.run(case())
