"""An upstream that is odd, or fails and then does not, is still a success: over real sockets, on all four faces."""

from __future__ import annotations

import pytest

from tests.e2e.faces import SSE, assert_success, face, question, the_answer
from tests.fakes.gateway import rig, run, simulator_options, until
from tests.fakes.reader import ask
from tidegate.simulator.script import asked_of, deltas
from tidegate.simulator.texts import ANSWERS

GOOD = ["garbage", "invalid-utf8", "no-done", "crlf", "cr", "comments", "ids", "no-role", "gzip", "http10"]
GOOD += ["length-framed", "keepalive-close", "slow-head", "429-then-ok", "500-then-ok", "503-then-ok", "json"]


@face
@pytest.mark.parametrize("fault", GOOD)
def test_an_odd_upstream_is_still_a_success(fast: bool, path: str, fault: str) -> None:
    """Twice over, so that the second request meets a kept connection."""

    async def case() -> None:
        async with rig(fast=fast) as gate:
            for _ in range(2):
                reader = await ask(gate.port, path, question(f"sim/{fault}"))
                assert_success(reader, path)
                first = reader.events()[0]["choices"][0]["delta"]
                assert first["role"] == "assistant"
            malformed = sum(record.malformed for record in gate.records)
            assert malformed == (2 if fault in ("garbage", "invalid-utf8") else 0)
            assert all(record.reason in ("stop", "length") for record in gate.records)
            if fault.endswith("-then-ok"):
                assert [record.retries for record in gate.records] == [1, 1]

    run(case())


@face
def test_text_cut_inside_its_characters_arrives(fast: bool, path: str) -> None:
    """Emoji families in chunks of three bytes."""

    async def case() -> None:
        async with rig(fast=fast, simulated=simulator_options(tokens=0, tps=0.0)) as gate:
            reader = await ask(gate.port, path, question("sim/split-utf8"))
            assert_success(reader, path, ANSWERS["emoji"])

    run(case())


@face
def test_a_response_dribbled_byte_by_byte_arrives(fast: bool, path: str) -> None:
    """Each byte a read of its own."""

    async def case() -> None:
        async with rig(fast=fast) as gate:
            reader = await ask(gate.port, path, question("sim/dribble?tokens=8"))
            assert_success(reader, path, the_answer(8))

    run(case())


@face
def test_a_finish_without_an_end_is_a_success_after_a_grace(fast: bool, path: str) -> None:
    """The upstream neither says [DONE] nor closes; its connection is given up."""

    async def case() -> None:
        async with rig(fast=fast, idle_timeout=0.5) as gate:
            reader = await ask(gate.port, path, question("sim/finish-then-hang"))
            assert_success(reader, path)
            assert gate.simulator is not None
            await until(lambda: gate.simulator is not None and gate.simulator.stats()["aborted"] == 1)

    run(case())


@face
def test_equal_neighbours_arrive_each(fast: bool, path: str) -> None:
    """s-t-r-a-w-b-e-r-r-y."""

    async def case() -> None:
        async with rig(fast=fast) as gate:
            reader = await ask(gate.port, path, question("sim/strawberry"))
            assert_success(reader, path, "-s-t-r-a-w-b-e-r-r-y")

    run(case())


@face
@pytest.mark.parametrize(
    "model", ["markdown", "code", "tables", "emoji", "cjk", "rtl", "reasoning", "refusal", "tools"]
)
def test_every_kind_of_answer_arrives_as_it_was_sent(fast: bool, path: str, model: str) -> None:
    """Each delta, in order."""

    async def case() -> None:
        async with rig(fast=fast, simulated=simulator_options(tokens=0, tps=0.0)) as gate:
            reader = await ask(gate.port, path, question(f"sim/{model}", stream_options={"include_usage": True}))
            assert reader.error is None
            assert reader.finish == ("tool_calls" if model == "tools" else "stop")
            sent = [each["choices"][0]["delta"] for each in reader.events() if each != "[DONE]" and each["choices"]]
            meant = deltas(asked_of({"model": f"sim/{model}"}, simulator_options(tokens=0)))
            assert sent[1:-1] == meant
            record = await gate.ended()
            assert record.tokens == len(meant)
            assert record.usage is not None
            assert record.usage.output_tokens == len(meant)

    run(case())


@face
def test_an_event_of_2_mib_passes(fast: bool, path: str) -> None:
    async def case() -> None:
        async with rig(fast=fast) as gate:
            reader = await ask(gate.port, path, question("sim/big-event-2"))
            assert reader.finish is not None
            assert reader.error is None
            assert len(reader.text) > 2_000_000

    run(case())


def test_a_stale_pooled_connection_costs_no_try() -> None:
    """The upstream closed it between two requests; a fresh one is used at once."""

    async def case() -> None:
        async with rig(retry_attempts=0) as gate:
            for _ in range(5):
                assert_success(await ask(gate.port, SSE, question("sim/keepalive-close")), SSE)
            assert [record.retries for record in gate.records] == [0] * 5

    run(case())
