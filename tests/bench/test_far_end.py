"""bench/far_end.py: both ends of the streams, held against each other."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes.gateway import rig, run
from tidegate.bench.far_end import FarEnd, Seen, compare
from tidegate.errors import InvalidRequest
from tidegate.simulator.server import Simulator


def truth(tag: str, **more: object) -> dict[str, object]:
    return {"tag": tag, "request_at": 1.0, "first_token_at": 1.2, "ended_at": 5.0, "aborted": False, **more}


def test_cancel_latency_is_from_hanging_up_to_the_abort() -> None:
    seen = [Seen("a", 0.9, 1.25, 2.0, 9), Seen("b", 0.9, 1.25, 2.0, 9), Seen("c", 0.9, 1.25, 4.9, 9)]
    truths = [truth("a", ended_at=2.5, aborted=True), truth("b"), truth("c"), truth("d")]
    found = compare(seen, truths)
    assert (found.cancel.count, found.cancel.maximum) == (1, 0.5)
    assert found.never_aborted == 1, "b ran on; c was over before it could be stopped"


def test_a_generation_that_still_runs_was_never_aborted() -> None:
    assert compare([Seen("a", 0.9, None, 2.0, 0)], [truth("a", ended_at=None)]).never_aborted == 1


def test_added_ttft_is_what_the_model_did_not_take() -> None:
    found = compare([Seen("a", 0.9, 1.25, None, 9), Seen("b", 1.0, None, None, 0)], [truth("a"), truth("b")])
    assert found.added_ttft.count == 1
    assert found.added_ttft.maximum == pytest.approx(0.15)


def test_a_real_simulator_tells_its_truths() -> None:
    async def case() -> None:
        simulator = Simulator()
        await simulator.start()
        far_end = FarEnd(simulator.url.removeprefix("http://"))
        try:
            assert (await far_end.stats())["started"] == 0
            assert await far_end.settled({"x"}) == []
        finally:
            await far_end.close()
            await simulator.close()

    run(case())


def test_what_is_no_simulator_is_said_to_be_none() -> None:
    async def case() -> None:
        async with rig() as gate:
            far_end = FarEnd(f"http://127.0.0.1:{gate.port}")
            with pytest.raises(InvalidRequest, match=r"does not answer as a simulator|is not a simulator"):
                await far_end.stats()
            await far_end.close()
            nobody = FarEnd("http://127.0.0.1:9")
            with pytest.raises(InvalidRequest, match="does not answer as a simulator"):
                await nobody.stats()
            await nobody.close()

    run(case())


def test_what_still_runs_is_waited_for_only_so_long() -> None:
    class Stuck(FarEnd):
        async def stats(self) -> dict[str, object]:
            return {"truths": [truth("a", ended_at=None)]}

    async def case() -> None:
        stuck = Stuck("http://127.0.0.1:9")
        assert len(await stuck.settled({"a"}, 0.15)) == 1
        await stuck.close()

    asyncio.run(case())
