"""The supervisor: it holds the sockets, starts the workers, and decides what must be decided once. No token passes it.

A worker that dies is started again, each time after a longer pause if it does not live. SIGHUP reads the configuration
and starts a new worker for each; when all of them are ready they take over, and the old ones finish their streams
within ``drain_timeout``. A configuration that cannot be is said in the log, and nothing changes. SIGTERM and SIGINT
drain all.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any, Final

import msgspec
import structlog

from tidegate.errors import GatewayFault, LinkLost, TidegateError
from tidegate.server.options import GatewayOptions
from tidegate.server.run import on_signals, run_loop, url_of
from tidegate.shared.table import Table
from tidegate.telemetry.workers import Together
from tidegate.upstream.options import UpstreamOptions
from tidegate.workers.child import Child, how
from tidegate.workers.listening import SPREADS, close, cores, listening
from tidegate.workers.plan import GOOD, assigned, pause, share

__all__ = ["Supervisor", "count_of", "run"]

FIGURES: Final = 2.0
"""Seconds that a worker has to tell its figures; then what it told before counts."""

GENERATIONS: Final = 3
"""How many times the workers that there should be may be there at once, with those that finish their streams: a reload
beyond that waits."""

Background = Callable[[], AbstractAsyncContextManager[UpstreamOptions]]

_log = structlog.get_logger()


def count_of(options: GatewayOptions) -> int:
    """How many workers there should be."""
    return cores() if options.server.workers == "auto" else options.server.workers


def run(
    options: GatewayOptions,
    *,
    program: Sequence[str],
    on_ready: Callable[[str], None] | None = None,
    reload: Callable[[], GatewayOptions] | None = None,
    background: Sequence[Background] = (),
) -> None:
    """Serve with several processes until a signal says to stop; returns when all have ended.

    :param program: what a worker is started with; see :mod:`tidegate.cli.worker`.
    :param on_ready: told the URL once requests are welcome.
    :param reload: makes the options anew, for SIGHUP.
    :param background: model servers that run beside the workers, as long as they serve.
    :raises ConfigError: the options cannot work.
    :raises OSError: the address cannot be listened on.
    """
    run_loop(Supervisor(options, program=program, reload=reload).serve(on_ready=on_ready, background=background))


class Supervisor:
    """Use it on one event loop."""

    def __init__(
        self,
        options: GatewayOptions,
        *,
        program: Sequence[str],
        reload: Callable[[], GatewayOptions] | None = None,
    ) -> None:
        self._options = options
        self._host = options.server.host
        self._program = program
        self._read = reload
        self._started: list[UpstreamOptions] = []
        self._groups: list[list[socket.socket]] = []
        self._children: set[Child] = set()
        self._serving: dict[int, Child] = {}
        self._count = 0
        self._failures: dict[int, int] = {}
        self._restarts: dict[int, asyncio.Task[None]] = {}
        self._watches: set[asyncio.Task[None]] = set()
        self._reloading: asyncio.Task[None] | None = None
        self._again = False
        self._stopping = False
        self._changed = asyncio.Condition()
        self._table = Table()
        self._figures = Together()

    async def serve(
        self, *, on_ready: Callable[[str], None] | None = None, background: Sequence[Background] = ()
    ) -> None:
        """As :func:`run`, on the running loop."""
        async with AsyncExitStack() as stack:
            self._started = [await stack.enter_async_context(make()) for make in background]
            options, count = self._complete(self._options), count_of(self._options)
            server = options.server
            self._groups = listening(server.host, server.port, count)
            stack.callback(close, self._groups)
            stack.push_async_callback(self._end)
            stack.enter_context(
                on_signals({signal.SIGTERM: self.stop, signal.SIGINT: self.stop, signal.SIGHUP: self.reload})
            )
            try:
                fresh = await self._raise(options, count)
            except TidegateError:
                if self._stopping:
                    return  # somebody did not want to wait for it
                raise
            self._take_over(fresh, options, count)
            if on_ready is not None and not self._stopping:
                on_ready(url_of(self._groups[0][0], tls=bool(options.server.tls_cert)))
            await self._until(lambda: self._stopping and not self._children)

    def _complete(self, options: GatewayOptions) -> GatewayOptions:
        return replace(options, upstreams=(*options.upstreams, *self._started))

    # Starting.

    async def _raise(self, options: GatewayOptions, count: int) -> list[Child]:
        """So many workers, all of them ready.

        :raises TidegateError: one of them cannot serve; then none is left.
        """
        fresh: list[Child] = []
        try:
            for number in range(count):
                child = await self._start(number, options, count)
                fresh.append(child)
            await asyncio.gather(*(child.wait_ready() for child in fresh))
        except BaseException:
            for child in fresh:
                child.go("stop")
            raise
        return fresh

    async def _start(self, number: int, options: GatewayOptions, count: int) -> Child:
        child = Child(number, share(options, number, count))
        try:
            await child.start(self._program, self._groups, self._handlers(child))
        except OSError as error:
            raise GatewayFault(f"No worker can be started: {error.strerror or error}.") from None
        self._children.add(child)
        self._spawn(self._watch(child))
        return child

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._watches.add(task)
        task.add_done_callback(self._watches.discard)

    def _take_over(self, fresh: Iterable[Child], options: GatewayOptions, count: int) -> None:
        """These serve from now on, and whoever served before does not."""
        old = list(self._serving.values())
        self._options, self._count = options, count
        self._figures.name(name for upstream in options.upstreams for name in (*upstream.aliases, *upstream.models))
        for task in self._restarts.values():
            task.cancel()
        self._failures.clear()
        self._serving = {child.number: child for child in fresh}
        for child in self._serving.values():
            child.serves()
        self._assign()
        for child in old:
            child.go("leave")
        if self._stopping:
            self._go(self._serving.values())

    def _assign(self) -> None:
        """Every socket is somebody's, and everybody knows who is there."""
        there = {child.tag: child.name for child in self._children if child.serving_since is not None}
        for child in self._children:
            if child.serving_since is not None:
                child.link.tell("others", there)
        for number, places in assigned(len(self._groups), sorted(self._serving)).items():
            self._serving[number].link.tell("listen", places)

    # What becomes of a worker.

    async def _watch(self, child: Child) -> None:
        code = await child.ended()
        self._children.discard(child)
        for process in child.processes:
            self._table.leave(process)
        if self._serving.get(child.number) is child:
            del self._serving[child.number]
            if not child.told_to_go:
                self._died(child, code)
        if not self._stopping:
            self._assign()
        await self._notify()
        self._figures.end(child.tag)

    def _died(self, child: Child, code: int) -> None:
        self._figures.deaths += 1
        served = monotonic() - (child.serving_since or 0.0)
        failures = 0 if served >= GOOD else self._failures.get(child.number, 0)
        self._failures[child.number] = failures + 1
        _log.error(
            "workers.died",
            worker=child.number + 1,
            pid=child.pid,
            how=how(code),
            served=round(served, 1),
            again_in=pause(failures),
        )
        if not self._stopping and child.number not in self._restarts:
            self._replace(child.number, pause(failures))

    def _replace(self, number: int, after: float) -> None:
        task = self._restarts[number] = asyncio.get_running_loop().create_task(self._restart(number, after))
        task.add_done_callback(partial(self._restarted, number))

    def _restarted(self, number: int, task: asyncio.Task[None]) -> None:
        if self._restarts.get(number) is task:
            del self._restarts[number]

    async def _restart(self, number: int, after: float) -> None:
        while True:
            await asyncio.sleep(after)
            child: Child | None = None
            try:
                child = await self._start(number, self._options, self._count)
                await child.wait_ready()
                break
            except TidegateError as error:
                failures = self._failures[number] = self._failures.get(number, 0) + 1
                after = pause(failures)
                _log.error("workers.start_failed", worker=number + 1, error=error.message, again_in=after)
                if child is not None:
                    child.go("stop")
            except asyncio.CancelledError:
                if child is not None:
                    child.go("stop")
                raise
        self._serve_in_place_of(child)

    def _serve_in_place_of(self, child: Child) -> None:
        before = self._serving.get(child.number)
        self._serving[child.number] = child
        child.serves()
        self._assign()
        if before is not None:
            before.go("leave")
        _log.info("workers.started", worker=child.number + 1, pid=child.pid)

    def _leaving(self, child: Child) -> None:
        """Somebody has sent it SIGTERM: another one takes its place."""
        if self._serving.get(child.number) is child and not self._stopping and child.number not in self._restarts:
            _log.info("workers.leaving", worker=child.number + 1, pid=child.pid)
            self._replace(child.number, 0.0)

    # What a worker asks.

    def _handlers(self, child: Child) -> Mapping[str, Callable[[Any], Any]]:
        return {
            "ready": child.is_ready,
            "failed": child.failed,
            "leaving": lambda _: self._leaving(child),
            "limits": partial(self._decide, child),
            "samples": partial(self._figures.say, child.tag),
            "scrape": partial(self._scrape, child),
            "pass": self._pass,
        }

    def _decide(self, child: Child, asked: tuple[str, bytes]) -> list[int]:
        operation, ask = asked[0], msgspec.json.decode(asked[1])
        child.processes.add(ask["me"].rpartition(".")[0])
        return self._table.decide(operation, ask, int(monotonic() * 1000))

    def _pass(self, asked: tuple[list[str], bytes]) -> None:
        """What one worker has for others. Whoever may be asked about streams is in the message, not here."""
        to, message = asked
        for child in self._children:
            if child.tag in to:
                child.link.tell("pass", message)

    async def _scrape(self, child: Child, mine: Any) -> tuple[bytes, str]:
        """The figures of all, as of now."""
        self._figures.say(child.tag, mine)
        others = [each for each in self._children if each is not child and each.serving_since is not None]
        await asyncio.gather(*(self._ask_figures(each) for each in others))
        return await asyncio.to_thread(self._figures.render(len(self._serving)))

    async def _ask_figures(self, child: Child) -> None:
        try:
            said = await child.link.ask("samples", timeout=FIGURES)
        except LinkLost:
            return  # what it told last counts
        if child in self._children:
            self._figures.say(child.tag, said)

    # What the operator asks.

    def reload(self) -> None:
        """Read everything again. One that comes meanwhile is done afterwards."""
        if self._stopping or self._read is None:
            return
        if self._reloading is not None:
            self._again = True
            return
        self._reloading = asyncio.get_running_loop().create_task(self._reload())
        self._reloading.add_done_callback(self._reloaded)

    def _reloaded(self, task: asyncio.Task[None]) -> None:
        self._reloading = None
        if not task.cancelled() and task.exception() is not None:
            _log.error("workers.reload_bug", kind=type(task.exception()).__name__)
        if self._again and not task.cancelled():
            self._again = False
            self.reload()

    async def _reload(self) -> None:
        assert self._read is not None
        try:
            options = self._complete(self._read())
            count = count_of(options)
            await self._until(lambda: len(self._children) + count <= GENERATIONS * max(count, self._count))
            self._listen_for(count)
            fresh = await self._raise(options, count)
        except (TidegateError, OSError) as error:
            message = error.message if isinstance(error, TidegateError) else str(error)
            _log.error("server.reload_failed", error=message, effect="the workers that are there go on")
            return
        self._take_over(fresh, options, count)
        _log.info("server.reloaded", workers=count, pids=sorted(child.pid for child in fresh))

    def _listen_for(self, count: int) -> None:
        """More workers than sockets: more sockets. There are never fewer: connections may wait in each."""
        if SPREADS and count > len(self._groups):
            port = self._groups[0][0].getsockname()[1]
            self._groups += listening(self._host, port, count - len(self._groups))

    def stop(self) -> None:
        """Once: drain. Again: now."""
        if not self._stopping:
            self._stopping = True
            for task in (*self._restarts.values(), self._reloading):
                if task is not None:
                    task.cancel()
            self._spawn(self._notify())  # there may be nobody whose end would be one
        self._go(self._children)

    @staticmethod
    def _go(children: Iterable[Child]) -> None:
        for child in children:
            child.go("stop")

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _until(self, true: Callable[[], bool]) -> None:
        async with self._changed:
            await self._changed.wait_for(true)

    async def _end(self) -> None:
        """Nothing of it is left, however it ended."""
        self._stopping = True
        tasks = [task for task in (*self._restarts.values(), self._reloading) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for child in self._children:
            child.kill()
        while self._watches:
            await asyncio.gather(*self._watches, return_exceptions=True)
