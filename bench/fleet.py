"""Two gateways with one Redis: how long a stop takes that is asked of the other one, and what being two costs.

    python -m bench.fleet              # a minute
    python -m bench.fleet --quick      # a third of it

Everything is a process of its own on loopback: the simulated model server, two gateways, Redis. A stop is timed from
the request to its answer, and to the end of the stream at its reader. The same with the gateway that has the stream
is what there was before there were two.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp

from bench.measure import process
from bench.proc import cpu_seconds, tree
from bench.rig import free_port, wait_ready
from bench.stats import percentile

CONFIG = """
[server]
port = {port}
[auth]
anonymous = true
[ledger]
url = "off"
[shared]
redis = "{redis}"
[[upstream]]
name = "model"
base_url = "http://127.0.0.1:{model}/v1"
max_connections = 4000
"""
QUESTION = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Why?"}]}
LIVE = (0, 100, 400)
"""Live streams beside, half on each gateway, at 20 tokens a second each; 400 keep two cores busy."""

AT_ONCE = 25
"""Streams that are opened together, and stopped one after the other."""


@contextlib.contextmanager
def site(redis: bool) -> Iterator[tuple[list[int], list[int]]]:
    """Two gateways; their ports and process ids."""
    with tempfile.TemporaryDirectory(prefix="tg-") as name, ExitStack() as stack:
        folder = Path(name)
        path, model = folder / "redis.sock", free_port()
        if redis:
            options = ["--port", "0", "--unixsocket", str(path), "--save", "", "--dir", name]
            stack.enter_context(process(["redis-server", *options], {}, folder / "redis.log"))
        simulate = ["simulate", "--port", str(model), "--tokens", "4000", "--tps", "20", "--ttft", "0.01"]
        stack.enter_context(process([sys.executable, "-m", "tidegate", *simulate], {}, folder / "model.log"))
        wait_ready(model, "/v1/models", 30.0)
        ports, pids = [], []
        for _ in range(2):
            port = free_port()
            file = folder / f"{port}.toml"
            file.write_text(CONFIG.format(port=port, model=model, redis=f"unix://{path}" if redis else ""))
            serve = [sys.executable, "-m", "tidegate", "serve", "--config", str(file)]
            child = stack.enter_context(process(serve, {}, folder / f"{port}.log"))
            wait_ready(port, "/readyz", 30.0)
            ports.append(port)
            pids.append(child.pid)
        yield ports, pids


class Streams:
    """Long streams of one client."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._reading: dict[str, asyncio.Task[float]] = {}

    async def open(self, port: int) -> str:
        """One, with its first token there; its id."""
        response = await self._session.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=QUESTION)
        assert response.status == 200, await response.text()
        await response.content.readany()
        stream = str(response.headers["x-stream-id"])
        self._reading[stream] = asyncio.create_task(_read(response))
        return stream

    async def ended(self, stream: str) -> float:
        """When the reader of the stream saw its end."""
        return await self._reading.pop(stream)

    async def close(self) -> None:
        for task in self._reading.values():
            task.cancel()
        await asyncio.gather(*self._reading.values(), return_exceptions=True)


async def _read(response: aiohttp.ClientResponse) -> float:
    async with response:
        async for _ in response.content.iter_any():
            pass
    return time.perf_counter()


async def stops(
    session: aiohttp.ClientSession, streams: Streams, at: int, through: int, count: int
) -> list[list[float]]:
    """Seconds until the answer and until the reader's end, of each."""
    found = []
    for number in range(count):
        if not number % AT_ONCE:
            opened = await asyncio.gather(*(streams.open(at) for _ in range(AT_ONCE)))
        stream = opened[number % AT_ONCE]
        began = time.perf_counter()
        async with session.post(f"http://127.0.0.1:{through}/v1/streams/{stream}/stop") as response:
            assert json.loads(await response.read())["reason"] == "soft_stop"
        answered = time.perf_counter()
        found.append([answered - began, await streams.ended(stream) - began])
    return found


async def timed(session: aiohttp.ClientSession, url: str, times: int, count: Callable[[Any], int]) -> tuple[float, int]:
    """Median seconds of a GET, and how many rows it had."""
    took, rows = [], 0
    for _ in range(times):
        began = time.perf_counter()
        async with session.get(url) as response:
            body = await response.read()
        took.append(time.perf_counter() - began)
        rows = count(json.loads(body))
    return statistics.median(took), rows


def shown(name: str, found: list[list[float]]) -> str:
    answer, end = ([1000 * each for each in column] for column in zip(*found, strict=True))
    figures = (percentile(answer, 0.5), percentile(answer, 0.99), percentile(end, 0.5), percentile(end, 0.99))
    return f"| {name} | " + " | ".join(f"{figure:.1f}" for figure in figures) + " |"


async def measured(ports: list[int], count: int) -> None:
    one, other = ports
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        streams = Streams(session)
        print("| a stop, in ms | answer p50 | p99 | reader's end p50 | p99 |\n|---|---|---|---|---|")
        for fewer, live in zip((0, *LIVE), LIVE, strict=False):
            await asyncio.gather(*(streams.open(ports[number % 2]) for number in range(fewer, live)))
            for name, through in (("of the gateway that has it", one), ("of the other one", other)):
                found = await stops(session, streams, one, through, count)
                print(shown(f"{name}, beside {live} live streams", found))
        took, rows = await timed(session, f"http://127.0.0.1:{one}/v1/streams", 10, lambda body: len(body["data"]))
        print(f"\nA list of {rows} streams, half of them the other's: {1000 * took:.0f} ms.")
        await streams.close()


def idle(seconds: float) -> None:
    """What a gateway costs that nobody asks anything, with and without others."""
    for redis in (True, False):
        with site(redis) as (_, pids):
            time.sleep(4.0)
            before = cpu_seconds(tree(pids[0]))
            time.sleep(seconds)
            spent = (cpu_seconds(tree(pids[0])) - before) / seconds
            print(f"Idle, {'one of two over Redis' if redis else 'alone'}: {1000 * spent:.2f} ms of CPU a second.")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer stops")
    options = parser.parse_args()
    with site(redis=True) as (ports, _):
        asyncio.run(measured(ports, 50 if options.quick else 200))
    idle(3.0 if options.quick else 8.0)


if __name__ == "__main__":
    main()
