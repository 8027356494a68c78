"""server/at_once.py: a ``send`` that has nothing to wait for is run, and what else it does is seen."""

from __future__ import annotations

import asyncio

import pytest

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
