"""workers/supervisor.py: workers that die, fail, hang or leave, and configurations that come and go. The workers are
processes that do what a test says; tests/e2e/test_workers.py has real ones."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.cli.running import alive, children
from tests.fakes.gateway import run, until
from tidegate.errors import ConfigError, GatewayFault
from tidegate.server.options import GatewayOptions, ServerOptions
from tidegate.upstream.options import UpstreamOptions
from tidegate.workers import child, plan, supervisor
from tidegate.workers.link import Link
from tidegate.workers.listening import SPREADS, cores
from tidegate.workers.supervisor import Supervisor, count_of


def options(workers: int = 2, **server: Any) -> GatewayOptions:
    upstream = UpstreamOptions(name="up", base_url="http://127.0.0.1:9/v1")
    return GatewayOptions(server=ServerOptions(port=0, workers=workers, **server), upstreams=(upstream,))


class Stage:
    """A supervisor in the test's own loop, and its workers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.next: Callable[[], GatewayOptions] = options
        program = [sys.executable, "-m", "tests.fakes.worker", str(folder)]
        self.supervisor = Supervisor(options(), program=program, reload=lambda: self.next())
        self.task: asyncio.Task[None] | None = None
        self.url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.logs: list[Any] = []

    def do(self, what: str) -> None:
        """What workers that start from now on do."""
        (self.folder / "do").write_text(what)

    def begin(self) -> asyncio.Task[None]:
        self.task = asyncio.create_task(self.supervisor.serve(on_ready=self.url.set_result))
        return self.task

    async def ready(self) -> None:
        self.begin()
        await asyncio.wait_for(self.url, 60)

    @property
    def pids(self) -> list[int]:
        return sorted(each.pid for each in self.supervisor._serving.values())

    def heard(self, pid: int) -> list[str]:
        file = self.folder / f"heard-{pid}"
        return file.read_text().splitlines() if file.exists() else []

    def said(self, event: str) -> list[Any]:
        return [line for line in self.logs if line["event"] == event]

    async def stop(self) -> None:
        assert self.task is not None
        self.supervisor.stop()
        await asyncio.wait_for(self.task, 60)


@asynccontextmanager
async def stage(do: str = "serve") -> AsyncIterator[Stage]:
    """Nothing is left of it."""
    folder = Path(tempfile.mkdtemp(prefix="tg-stage-"))
    found = Stage(folder)
    found.do(do)
    before = set(children(os.getpid()))
    try:
        with capture_logs() as found.logs:
            yield found
    finally:
        if found.task is not None:
            found.task.cancel()
            with suppress(asyncio.CancelledError, GatewayFault):
                await found.task
        shutil.rmtree(folder)
        assert not [pid for pid in set(children(os.getpid())) - before if alive(pid)], "a worker was left"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "PAUSES", (0.0, 0.01, 0.02, 0.03))


@pytest.mark.parametrize("plain_loop", [False, True], ids=["uvloop", "asyncio"])
def test_it_serves_until_it_is_told_to_stop(plain_loop: bool) -> None:
    async def case() -> None:
        async with stage() as found:
            await found.ready()
            pids = found.pids
            assert len(pids) == 2
            places = [["listen [0]", "listen [1]"], ["listen [0]", "listen [0]"]][not SPREADS]
            await until(lambda: sorted(line for pid in pids for line in found.heard(pid)[1:]) == places)
            os.kill(os.getpid(), signal.SIGTERM)
            assert found.task is not None
            await asyncio.wait_for(found.task, 60)
            assert all("stop None" in found.heard(pid) for pid in pids)
            assert found.said("workers.died") == []

    run(case(), plain_loop=plain_loop)


def test_a_worker_that_dies_is_started_again_and_others_take_its_connections_meanwhile() -> None:
    async def case() -> None:
        async with stage() as found:
            await found.ready()
            one, other = (found.supervisor._serving[number].pid for number in (0, 1))
            found.do("wait")
            os.kill(one, signal.SIGKILL)
            await until(lambda: "listen [0, 1]" in found.heard(other))
            assert found.said("workers.died")[0]["how"] == "SIGKILL"
            found.do("serve")
            await until(lambda: len(found.supervisor._children) == 2)
            next(each for each in found.supervisor._children if each.pid != other).kill()
            await until(lambda: len(found.pids) == 2)
            await until(lambda: found.heard(other)[-1] == "listen [1]")
            assert found.said("workers.start_failed")[0]["error"] == "A worker ended while it started: SIGKILL."
            assert len(found.said("workers.started")) == 1
            await found.stop()

    run(case())


def test_workers_that_die_again_and_again_are_started_less_and_less_often() -> None:
    async def case() -> None:
        async with stage() as found:
            await found.ready()
            found.do("die 3")
            for pid in found.pids:
                os.kill(pid, signal.SIGKILL)
            await until(lambda: len(found.said("workers.died")) >= 10)
            first = [line["again_in"] for line in found.said("workers.died") if line["worker"] == 1]
            assert first[:4] == [0.0, 0.01, 0.02, 0.03]
            assert {line["how"] for line in found.said("workers.died")} == {"SIGKILL", "exit code 3"}
            await found.stop()
            assert found.supervisor._figures.deaths == len(found.said("workers.died"))

    run(case())


@pytest.mark.parametrize(
    ("do", "kind", "message"),
    [
        ("fail No such secret.", ConfigError, "No such secret."),
        ("exit 3", GatewayFault, "A worker ended while it started: exit code 3."),
        ("wait", GatewayFault, "A worker was not ready within 0.5 s."),
    ],
)
def test_what_cannot_serve_is_an_error_and_leaves_nothing(
    do: str, kind: type[GatewayFault], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "START", 0.5 if do == "wait" else 60.0)

    async def case() -> None:
        async with stage(do) as found:
            with pytest.raises(GatewayFault) as caught:
                await found.begin()
            assert (type(caught.value), caught.value.message) == (kind, message)

    run(case())


def test_without_the_program_it_says_so() -> None:
    async def case() -> None:
        nobody = Supervisor(options(), program=["/nowhere/to/be/found"])
        with pytest.raises(GatewayFault, match="No worker can be started: No such file"):
            await nobody.serve()

    run(case())


def test_who_does_not_want_to_wait_for_the_start_need_not() -> None:
    async def case() -> None:
        async with stage("wait") as found:
            task = found.begin()
            await until(lambda: len(found.supervisor._children) == 2)
            found.supervisor.stop()
            await asyncio.wait_for(task, 60)
            assert not found.url.done()

    run(case())


def test_a_reload_replaces_every_worker_once_all_new_ones_are_ready() -> None:
    async def case() -> None:
        async with stage() as found:
            await found.ready()
            old = found.pids
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: len(found.said("server.reloaded")) > 0)
            await until(lambda: not any(map(alive, old)))
            assert all("leave None" in found.heard(pid) for pid in old)
            assert len(found.pids) == 2
            assert found.said("workers.died") == []
            await until(lambda: found.supervisor._reloading is None)
            await found.stop()

    run(case())


def test_one_that_comes_while_a_reload_is_under_way_is_done_after_it() -> None:
    async def case() -> None:
        async with stage() as found:
            await found.ready()
            found.supervisor.reload()
            found.supervisor.reload()
            found.supervisor.reload()
            await until(lambda: len(found.said("server.reloaded")) == 2)
            await until(lambda: found.supervisor._reloading is None)
            await found.stop()
            found.supervisor.reload()
            assert found.supervisor._reloading is None, "one that has stopped reads nothing"

    run(case())


@pytest.mark.parametrize("wrong", ["config", "worker", "bug"])
def test_a_reload_that_cannot_be_changes_nothing(wrong: str) -> None:
    async def case() -> None:
        async with stage() as found:
            await found.ready()
            old = found.pids
            if wrong == "worker":
                found.do("fail No such secret.")
            else:
                found.next = _raising(ConfigError("No such secret.") if wrong == "config" else ZeroDivisionError())
            found.supervisor.reload()
            event = "workers.reload_bug" if wrong == "bug" else "server.reload_failed"
            await until(lambda: len(found.said(event)) == 1)
            await until(lambda: len(found.supervisor._children) == 2)
            assert found.pids == old
            assert found.said(event)[0].get("error", "No such secret.") == "No such secret."
            found.do("serve")
            found.next = options
            found.supervisor.reload()
            await until(lambda: found.pids != old)
            await found.stop()

    run(case())


def _raising(error: Exception) -> Callable[[], GatewayOptions]:
    def read() -> GatewayOptions:
        raise error

    return read


def test_a_reload_may_change_how_many_there_are_and_no_socket_is_given_up() -> None:
    async def case() -> None:
        async with stage() as found:
            await found.ready()
            for count in (4, 1, 3):
                found.next = lambda count=count: options(count)  # type: ignore[misc] # bound as it is now
                done = len(found.said("server.reloaded"))
                found.supervisor.reload()
                await until(lambda done=done: len(found.said("server.reloaded")) > done)  # type: ignore[misc]
                assert len(found.pids) == count
                assert len(found.supervisor._groups) == (max(2, 4) if SPREADS else 1)
                ports = {sock.getsockname() for group in found.supervisor._groups for sock in group}
                assert len(ports) == 1
            await found.stop()

    run(case())


def test_reloads_do_not_pile_up_workers_that_finish_their_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "GENERATIONS", 2)

    async def case() -> None:
        async with stage("stay") as found:
            await found.ready()
            first = found.pids
            for _ in range(2):
                found.supervisor.reload()
            await until(lambda: len(found.said("server.reloaded")) == 1)
            await asyncio.sleep(0.05)
            assert len(found.supervisor._children) == 4, "the second one waits"
            found.do("serve")
            for pid in first:
                os.kill(pid, signal.SIGKILL)
            await until(lambda: len(found.said("server.reloaded")) == 2)
            assert found.said("workers.died") == [], "they had been told to go"
            for each in list(found.supervisor._children):
                if each.told_to_go:
                    each.kill()
            await found.stop()

    run(case())


def test_a_worker_that_does_not_end_in_time_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "LATE", 0.05)
    monkeypatch.setattr(child, "GOODBYE", 0.0)

    async def case() -> None:
        async with stage("stay") as found:
            found.supervisor._options = options(drain_timeout=0.05)
            await found.ready()
            await found.stop()
            assert len(found.said("workers.killed")) == 2

    run(case())


def test_a_worker_that_stands_still_is_killed_and_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "LOOK", 0.02)
    latest: dict[Link, float] = {}
    ask = Link.ask

    async def noted(self: Link, kind: str, payload: Any = None, *, timeout: float) -> Any:
        if kind == "alive":
            latest[self] = timeout
        return await ask(self, kind, payload, timeout=timeout)

    monkeypatch.setattr(Link, "ask", noted)

    async def case() -> None:
        async with stage() as found:
            await found.ready()
            still = found.pids[0]
            await asyncio.sleep(0.2)  # looked after, and well
            assert found.said("workers.killed") == []
            monkeypatch.setattr(child, "STILL", 0.5)
            await until(lambda: set(latest.values()) == {0.5})  # nobody waits any more for as long as before
            os.kill(still, signal.SIGSTOP)
            await until(lambda: bool(found.said("workers.started")))
            monkeypatch.setattr(child, "STILL", 60.0)
            assert still in {line["pid"] for line in found.said("workers.killed")}
            assert still in {line["pid"] for line in found.said("workers.died") if line["how"] == "SIGKILL"}
            assert still not in found.pids
            await found.stop()

    run(case())


def test_when_everybody_is_dead_it_can_still_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    async def case() -> None:
        async with stage() as found:
            await found.ready()
            monkeypatch.setattr(plan, "PAUSES", (600.0,))
            for pid in found.pids:
                os.kill(pid, signal.SIGKILL)
            await until(lambda: len(found.said("workers.died")) == 2)
            await until(lambda: not found.supervisor._children)
            await found.stop()

    run(case())


def test_one_worker_that_wants_to_leave_is_replaced_first() -> None:
    async def case() -> None:
        async with stage() as found:
            await found.ready()
            leaving = found.supervisor._serving[1]
            found.supervisor._leaving(leaving)
            found.supervisor._leaving(leaving)
            await until(lambda: found.supervisor._serving[1] is not leaving)
            await until(lambda: not alive(leaving.pid))
            assert "leave None" in found.heard(leaving.pid)
            found.supervisor._leaving(leaving)
            assert not found.supervisor._restarts, "it has left"
            assert found.said("workers.died") == []
            await found.stop()

    run(case())


def test_auto_is_as_many_as_there_are_cores() -> None:
    assert count_of(GatewayOptions(server=ServerOptions(workers="auto"))) == cores()
    assert count_of(options(7)) == 7
