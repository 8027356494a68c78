"""batch/engine.py: real requests to a real simulator, some of which fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.gateway import run, simulator_options, until
from tidegate.batch.engine import Batch, Price
from tidegate.batch.files import Input
from tidegate.batch.journal import Journal
from tidegate.batch.options import BatchOptions
from tidegate.simulator.server import Simulator
from tidegate.upstream.client import UpstreamClient
from tidegate.upstream.options import UpstreamOptions


class Bench:
    """A simulator, a journal, and a client."""

    def __init__(self, folder: Path, simulator: Simulator, client: UpstreamClient) -> None:
        self.folder = folder
        self.simulator = simulator
        self.client = client

    async def batch(
        self,
        models: list[str],
        during: Callable[[Batch], Any] | None = None,
        price: Price | None = None,
        **options: Any,
    ) -> tuple[Batch, dict[str, Any]]:
        """Answer one request for each model; the lines of the journal by custom id."""
        source = self.folder / "in.jsonl"
        body = {"messages": [{"role": "user", "content": "Why?"}]}
        lines = [
            {"custom_id": str(number), "url": "/v1/chat/completions", "body": {"model": model, **body}}
            for number, model in enumerate(models)
        ]
        source.write_text("".join(json.dumps(line) + "\n" for line in lines))
        requests = Input(source)
        async with Journal(self.folder / "journal") as journal:
            todo = [request for request in requests.requests if not journal.is_good(request)]
            work = Batch(
                todo,
                total=len(todo),
                body=requests.body,
                client=self.client,
                journal=journal,
                options=BatchOptions(**{"retry_delay": 0.01, **options}),
                price=price,
            )
            running = asyncio.create_task(work.run())
            if during is not None:
                await during(work)
            await running
            found = {request.custom_id: journal.line(request) for request in requests.requests}
        requests.close()
        return work, {custom_id: json.loads(line[0]) for custom_id, line in found.items() if line is not None}


@asynccontextmanager
async def bench(folder: Path, **options: Any) -> AsyncIterator[Bench]:
    simulator = Simulator(simulator_options(**options))
    await simulator.start()
    base = simulator.url.removesuffix("/v1")
    client = UpstreamClient(UpstreamOptions(name="sim", base_url=base, trust_env=False, connect_timeout=30.0))
    try:
        yield Bench(folder, simulator, client)
    finally:
        await client.close()
        await simulator.close()


def test_every_request_has_its_own_answer(tmp_path: Path) -> None:
    async def case() -> None:
        async with bench(tmp_path) as here:
            work, found = await here.batch([f"sim/default?tokens={5 + number}" for number in range(60)])
            assert [found[str(n)]["response"]["body"]["usage"]["completion_tokens"] for n in range(60)] == list(
                range(5, 65)
            )
            assert (work.progress.good, work.progress.failed) == (60, 0)
            assert work.progress.output_tokens == sum(range(5, 65))
            assert work.progress.limit > 4, "it grew while it went well"

    run(case())


def test_failures_that_may_pass_come_back_and_others_do_not(tmp_path: Path) -> None:
    async def case() -> None:
        async with bench(tmp_path) as here:
            models = ["sim/429-then-ok", "sim/500-then-ok", "sim/404", "sim/html", "sim/default"]
            work, found = await here.batch(models)
            assert {each: found[each]["error"] and found[each]["error"]["code"] for each in found} == {
                "0": None,
                "1": None,
                "2": "http_404",
                "3": "not_json",
                "4": None,
            }
            assert (work.progress.retries, work.progress.refusals) == (2, 1)
            assert here.simulator.stats()["started"] == 7, "an answer that came is not asked for again"

    run(case())


def test_what_never_passes_fails_after_its_retries(tmp_path: Path) -> None:
    async def case() -> None:
        async with bench(tmp_path) as here:
            work, found = await here.batch(["sim/503", "sim/short-json"], retries=2)
            assert [found[str(number)]["error"]["code"] for number in range(2)] == ["http_503", "lost"]
            assert work.progress.retries == 4
            assert here.simulator.stats()["running"] == 0


def test_silence_fails_after_its_retries(tmp_path: Path) -> None:
    async def case() -> None:
        async with bench(tmp_path) as here:
            work, found = await here.batch(["sim/stall"], retries=2, timeout=0.2)
            assert found["0"]["error"]["code"] == "timeout"
            assert work.progress.retries == 2
            assert here.simulator.stats()["running"] == 0

    run(case())


def test_nobody_listening_is_a_failure_of_each_request(tmp_path: Path) -> None:
    async def case() -> None:
        async with bench(tmp_path) as here:
            here.client = UpstreamClient(UpstreamOptions(name="none", base_url="http://127.0.0.1:9", trust_env=False))
            work, found = await here.batch(["m"] * 3, retries=1)
            assert {line["error"]["code"] for line in found.values()} == {"lost"}
            assert work.progress.failed == 3
            await here.client.close()

    run(case())


def test_a_refusal_halves_the_limit_and_its_retry_after_is_kept(tmp_path: Path) -> None:
    async def case() -> None:
        async with bench(tmp_path) as here:
            began = asyncio.get_running_loop().time()
            work, _ = await here.batch(["sim/429"], retries=0, start=8)
            assert work.progress.refusals == 1
            assert work._pace.limit == 4
            assert work._pace.resumes > began + 29, "the simulator asked for 30 s"

    run(case())


def test_stop_waits_for_what_was_sent_and_the_next_run_sends_only_the_rest(tmp_path: Path) -> None:
    async def case() -> None:
        async with bench(tmp_path, tokens=20, tps=100.0) as here:

            async def during(work: Batch) -> None:
                await until(lambda: work.progress.good >= 3)
                work.stop()

            first, found = await here.batch(["sim/default"] * 40, during, start=4, most=4)
            assert 3 <= first.progress.good < 40
            assert len(found) == first.progress.good
            assert here.simulator.stats()["aborted"] == 0, "what is paid for is waited for"
            second, found = await here.batch(["sim/default"] * 40)
            assert first.progress.good + second.progress.good == 40
            assert here.simulator.stats()["started"] == 40, "nothing was asked for twice"
            assert len(found) == 40

    run(case())


def test_connections_are_kept_unless_fresh_ones_are_asked_for(tmp_path: Path) -> None:
    async def case() -> None:
        for fresh in (False, True):
            folder = tmp_path / str(fresh)
            folder.mkdir()
            async with bench(folder) as here:
                peers: list[Any] = []
                answer = here.simulator.answer

                def noted(peer: Any, *request: Any, peers: Any = peers, answer: Any = answer) -> None:
                    peers.append(peer)
                    answer(peer, *request)

                here.simulator.answer = noted  # type: ignore[method-assign,assignment]
                await here.batch(["sim/default"] * 20, fresh=fresh, most=4)
                assert len(set(peers)) == (20 if fresh else 4)

    run(case())


def test_the_cost_is_told_when_there_is_a_price(tmp_path: Path) -> None:
    async def case() -> None:
        async with bench(tmp_path) as here:

            def price(model: str, prompt: int, output: int) -> float | None:
                return 0.5 * output if "priced" in model else None

            work, _ = await here.batch(["sim/default?tokens=10", "sim/default?tokens=10&priced"], price=price)
            assert work.progress.cost is None or work.progress.cost == pytest.approx(5.0)
            assert work.progress.output_tokens == 20

    run(case())


def test_a_full_disk_ends_the_run_with_its_error(tmp_path: Path) -> None:
    async def case() -> None:
        async with bench(tmp_path) as here:

            async def during(work: Batch) -> None:
                def full(*_: object) -> None:
                    raise OSError(28, "No space left on device")

                work._journal.answered = full  # type: ignore[method-assign,assignment]

            with pytest.raises(OSError, match="No space left"):
                await here.batch(["sim/default"] * 10, during)

    run(case())
