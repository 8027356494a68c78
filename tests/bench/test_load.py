"""bench/load.py: a load test of a real gateway before a real simulator."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.fakes.gateway import rig, run, simulator_options, until
from tidegate.bench.far_end import FarEnd
from tidegate.bench.load import LoadTest
from tidegate.bench.options import LoadOptions
from tidegate.bench.report import LoadReport
from tidegate.bench.target import target_of
from tidegate.errors import InvalidRequest

QUICK: dict[str, Any] = {"streams": 10, "requests": 40, "ramp": 0.05, "duration": 120.0, "cancel_after": 5}


async def loaded(port: int, far_end: str | None = None, **options: Any) -> LoadReport:
    view = FarEnd(far_end) if far_end is not None else None
    test = LoadTest(target_of(f"127.0.0.1:{port}"), LoadOptions(**{**QUICK, **options}), far_end=view)
    try:
        return await test.run()
    finally:
        if view is not None:
            await view.close()


def test_every_cancel_reaches_the_model() -> None:
    async def case() -> None:
        async with rig(simulated=simulator_options(tokens=5000)) as gate:
            assert gate.simulator is not None
            report = await loaded(gate.port, gate.simulator.url, cancel_share=1.0)
            assert (report.cancelled, report.failures, report.never_aborted) == (40, {}, 0)
            assert report.cancel is not None
            assert report.cancel["count"] == 40
            assert report.tokens >= 40 * 5
            assert gate.simulator.stats()["aborted"] == 40

    run(case())


def test_every_stream_and_token_is_accounted_for() -> None:
    async def case() -> None:
        async with rig(simulated=simulator_options(tokens=60)) as gate:
            assert gate.simulator is not None
            report = await loaded(gate.port, gate.simulator.url, cancel_share=0.0)
            assert (report.complete, report.failures, report.tokens) == (40, {}, 40 * 60)
            assert report.added_ttft is not None
            assert report.added_ttft["count"] == report.ttft["count"] == 40

    run(case())


def test_only_a_share_hangs_up() -> None:
    async def case() -> None:
        async with rig(simulated=simulator_options(tokens=60)) as gate:
            report = await loaded(gate.port, cancel_share=0.4)
            assert report.ended == 40
            assert 5 < report.cancelled < 35
            assert report.complete == 40 - report.cancelled

    run(case())


@pytest.mark.parametrize("framing", ["sse", "ndjson"])
@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("sim/cut-after-5", "error event upstream_cut"),
        ("sim/done-only", "error event upstream_cut"),
        ("sim/404", "HTTP 404"),
        ("sim/html", "HTTP 502"),
    ],
)
def test_failures_are_counted_by_kind_and_a_gateway_makes_them_honest(framing: Any, model: str, kind: str) -> None:
    async def case() -> None:
        async with rig() as gate:
            report = await loaded(gate.port, framing=framing, model=model, requests=10, cancel_share=0.0)
            assert report.failures == {kind: 10}
            assert report.dishonest == 0

    run(case())


@pytest.mark.parametrize("model", ["sim/done-only", "sim/no-finish", "sim/html"])
def test_a_model_server_alone_is_caught_lying(model: str) -> None:
    async def case() -> None:
        async with rig() as gate:
            assert gate.simulator is not None
            report = await loaded(gate.simulator.port, model=model, requests=5, cancel_share=0.0)
            assert (report.dishonest, report.complete) == (5, 0)

    run(case())


def test_silence_is_ended_and_its_connection_with_it() -> None:
    async def case() -> None:
        async with rig() as gate:
            assert gate.simulator is not None
            report = await loaded(gate.simulator.port, model="sim/stall-after-3", requests=4, idle_timeout=1.0)
            assert report.failures == {"silent too long, in the stream": 4}
            assert gate.simulator.stats()["running"] == 0

    run(case())


def test_fresh_connections_are_fresh() -> None:
    async def case() -> None:
        async with rig() as gate:
            assert gate.simulator is not None
            opened: set[int] = set()
            answer = gate.simulator.answer

            def noted(peer: Any, *request: Any) -> None:
                opened.add(id(peer))
                peers.append(peer)
                answer(peer, *request)

            peers: list[Any] = []
            gate.simulator.answer = noted  # type: ignore[method-assign,assignment]
            await loaded(gate.simulator.port, fresh=True, cancel_share=0.0, requests=20)
            assert len(opened) == 20

    run(case())


def test_nobody_listening_is_one_clear_error() -> None:
    async def case() -> None:
        with pytest.raises(InvalidRequest, match=r"http://127\.0\.0\.1:9/v1 cannot be reached: nothing listens there"):
            await loaded(9)

    run(case())


def test_a_name_without_address_is_said_to_have_none() -> None:
    async def case() -> None:
        test = LoadTest(target_of("http://no-such-host.invalid"), LoadOptions(**QUICK))
        with pytest.raises(InvalidRequest, match="its host has no address"):
            await test.run()

    run(case())


def test_it_can_be_stopped_and_says_so() -> None:
    async def case() -> None:
        async with rig(simulated=simulator_options(tokens=5000, tps=100.0)) as gate:
            test = LoadTest(
                target_of(f"127.0.0.1:{gate.port}"), LoadOptions(**{**QUICK, "requests": 0, "cancel_share": 0.0})
            )
            running = asyncio.create_task(test.run())
            await until(lambda: test.snapshot().tokens >= 50)
            assert test.snapshot().live == 10
            test.stop()
            report = await running
            assert report.stopped
            assert report.cancelled == 10

    run(case())


def test_it_ends_with_its_duration() -> None:
    async def case() -> None:
        async with rig() as gate:
            report = await loaded(gate.port, requests=0, duration=0.3, ramp=0.0)
            assert report.ended >= 10
            assert report.failures == {}

    run(case())
