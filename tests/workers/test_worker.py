"""workers/worker.py: what a worker does at the word of its supervisor, and what it does without one."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.fakes.gateway import run, until
from tests.fakes.reader import ask
from tests.policy.limit_rules import ask as asking
from tests.policy.limit_rules import granted, refused, streams
from tidegate.errors import Overloaded
from tidegate.ledger.options import LedgerOptions
from tidegate.policy.limits import Refusal
from tidegate.policy.options import AuthOptions
from tidegate.server.options import GatewayOptions, ServerOptions
from tidegate.shared.limits import SharedLimits
from tidegate.shared.options import SharedOptions
from tidegate.shared.table import Table
from tidegate.upstream.options import UpstreamOptions
from tidegate.workers import worker as module
from tidegate.workers.link import Link
from tidegate.workers.listening import close, listening
from tidegate.workers.worker import LinkScript, Setup, work

pytestmark = pytest.mark.usefixtures("collector")


@pytest.fixture(autouse=True)
def own_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is logged in this process is the tests' business."""
    monkeypatch.setattr(module, "configure_logging", lambda *_: None)


class Above:
    """Plays the supervisor."""

    def __init__(self, port: int, descriptor: int) -> None:
        self.port = port
        self.descriptor = descriptor
        self.said: list[tuple[str, Any]] = []
        self.task: asyncio.Task[int]
        self.link: Link

    def hear(self, kind: str) -> Any:
        def heard(payload: Any) -> Any:
            self.said.append((kind, payload))
            return [b"everybody\n", "text/plain"] if kind == "scrape" else None

        return heard

    def heard(self, kind: str) -> list[Any]:
        return [payload for each, payload in self.said if each == kind]


@asynccontextmanager
async def above(options: GatewayOptions) -> AsyncIterator[Above]:
    """A worker in the test's own loop, which has been told its options."""
    groups = listening("127.0.0.1", 0, 1)
    own, other = socket.socketpair()
    found = Above(groups[0][0].getsockname()[1], os.dup(groups[0][0].fileno()))
    kinds = ("ready", "failed", "leaving", "samples", "scrape", "pass", "limits")
    found.link = await Link.over(own, {kind: found.hear(kind) for kind in kinds}, lambda: None)
    found.link.tell("setup", msgspec.msgpack.encode(Setup(options, "0123abcd", "worker 1")))
    found.task = asyncio.create_task(work(other.detach(), [[found.descriptor]], background=[simulated]))
    try:
        yield found
    finally:
        found.link.close()
        await asyncio.wait_for(found.task, 60)
        await found.link.closed()
        close(groups)


@asynccontextmanager
async def simulated() -> AsyncIterator[UpstreamOptions]:
    yield UpstreamOptions(name="simulated", base_url="http://127.0.0.1:9/v1", models=("only-here",), trust_env=False)


OPTIONS = GatewayOptions(server=ServerOptions(port=0, log_level="critical"), auth=AuthOptions(anonymous=True))


def test_it_serves_tells_what_it_counts_and_ends_at_the_supervisors_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TELL", 0.05)

    async def case() -> None:
        async with above(OPTIONS) as found:
            await until(lambda: found.heard("ready") == [None])
            found.link.tell("listen", [0])
            found.link.tell("others", {"0123abcd": "worker 1", "89abcdef": "worker 2"})
            models = await ask(found.port, "/v1/models", None, method="GET")
            assert [model["id"] for model in models.events()[0]["data"]] == ["only-here"]
            await until(lambda: len(found.heard("samples")) >= 2)
            named = {family[0] for family in found.heard("samples")[0]}
            assert {"tidegate_streams_live", "process_cpu_seconds"} <= named
            scraped = await ask(found.port, "/metrics", None, method="GET")
            assert (scraped.status, scraped.body) == (200, b"everybody\n")
            assert {family[0] for family in found.heard("scrape")[0]} == named
            assert {family[0] for family in await found.link.ask("samples", timeout=60)} == named
            listing = asyncio.ensure_future(ask(found.port, "/v1/streams", None, method="GET"))
            await until(lambda: len(found.heard("pass")) == 1)
            to, message = found.heard("pass")[0]
            assert to == ["89abcdef"]
            assert msgspec.json.decode(message)["operation"] == "list"
            found.link.tell("pass", b"not understood, and nothing comes of it")
            listing.cancel()
            found.link.tell("stop")
            told = len(found.heard("samples"))
            assert await found.task == 0
            await found.link.closed()
            assert len(found.heard("samples")) > told, "its last figures"

    run(case())


def test_without_the_figures_of_all_none_are_shown() -> None:
    """Those of one worker would look like counters that went down."""

    async def case() -> None:
        async with above(OPTIONS) as found:
            await until(lambda: found.heard("ready") == [None])
            found.link.tell("listen", [0])
            found.link._handlers = {}
            scraped = await ask(found.port, "/metrics", None, method="GET")
            assert scraped.status == 503
            found.link.tell("leave")
            assert await found.task == 0

    run(case())


def test_what_it_cannot_do_it_says_and_ends() -> None:
    async def case() -> None:
        options = GatewayOptions(server=OPTIONS.server, ledger=LedgerOptions(url="mysql://x", spool="/tmp/x"))
        async with above(options) as found:
            assert await found.task == 1
            await found.link.closed()
            assert found.heard("failed")[0].startswith("ledger.url names mysql")
            os.close(found.descriptor)  # the end of the process would do it

    run(case())


def test_it_ends_with_its_supervisor_also_while_it_starts(tmp_path: Path) -> None:
    async def case() -> None:
        async with above(OPTIONS) as found:
            await until(lambda: found.heard("ready") == [None])
            found.link.close()
            assert await asyncio.wait_for(found.task, 60) == 0
        # It hears what it shall do, and that nobody is there any more while it opens the ledger.
        ledger = LedgerOptions(url=f"sqlite:///{tmp_path}/x.db", spool=f"{tmp_path}/spool")
        async with above(replace(OPTIONS, ledger=ledger)) as found:
            found.link.close()
            assert await asyncio.wait_for(found.task, 60) == 0
        own, other = socket.socketpair()
        own.close()
        assert await work(other.detach(), []) == 1

    run(case())


@pytest.mark.parametrize("when_away", ["open", "closed"])
def test_limits_are_the_supervisors_and_without_it_as_without_redis(when_away: str) -> None:
    async def case() -> None:
        table = Table()

        def decide(asked: tuple[str, bytes]) -> list[int]:
            return table.decide(asked[0], msgspec.json.decode(asked[1]), 1_000_000)

        links, limits = [], []
        options = SharedOptions(when_away=when_away)  # type: ignore[arg-type]
        for _ in range(2):
            own, other = socket.socketpair()
            links.append(await Link.over(own, {"limits": decide}, lambda: None))
            mine = await Link.over(other, {}, lambda: None)
            links.append(mine)
            limits.append(SharedLimits(options, LinkScript(mine)))
        one, other_one = limits
        for each in limits:
            granted(await each.admit([streams(2)], asking()))
        refused(await one.admit([streams(2)], asking()))
        links[0].close()
        await links[1].closed()
        if when_away == "closed":
            with pytest.raises(Overloaded):
                await one.admit([streams(2)], asking())
        else:
            granted(await one.admit([streams(2)], asking()))
            assert isinstance(await one.admit([streams(2)], asking()), Refusal)
        assert one.away
        refused(await other_one.admit([streams(2)], asking()))
        for each in limits:
            await each.close()
        for link in links:
            link.close()
            await link.closed()

    run(case())
