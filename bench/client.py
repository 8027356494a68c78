"""``python -m bench.client``: CPU per token of the Python clients, in one process with 50 streams.

Each client runs in a process of its own against the bench's upstream, in turns; its CPU time (user + system, from after
the connections were asked for) is divided by the tokens that its application saw. Figures are medians over the rounds,
the ratio is taken within each round. On two loops: uvloop, and asyncio's own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from bench.rig import free_port, raise_nofile, wait_ready
from bench.stats import median

Count = Callable[[list[dict[str, str]]], Awaitable[int]]

STREAMS = 50
SHAPES = {"100 tok/s a stream": (200, 0.01), "50 tok/s a stream": (100, 0.02), "as fast as it goes": (2000, 0.0002)}
"""Tokens of a stream and seconds between them."""


@contextlib.asynccontextmanager
async def tidegate_client(port: int, **options: Any) -> Any:
    """Ours, in text mode."""
    from tidegate.client import AsyncStreamClient

    endpoint = f"http://127.0.0.1:{port}/v1"
    async with AsyncStreamClient(endpoint=endpoint, trust_env=False, model="bench", **options) as client:

        async def count(messages: list[dict[str, str]]) -> int:
            found = 0
            async with client.stream(messages) as stream:
                async for piece in stream:
                    found += piece.count("~")
            return found

        yield count


@contextlib.asynccontextmanager
async def openai_client(port: int) -> Any:
    """openai-python, as its manual has it."""
    import openai

    async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="any", max_retries=0) as client:

        async def count(messages: list[dict[str, str]]) -> int:
            found = 0
            stream = await client.chat.completions.create(model="bench", messages=messages, stream=True)  # type: ignore[call-overload]
            async for chunk in stream:
                if chunk.choices:
                    found += (chunk.choices[0].delta.content or "").count("~")
            return found

        yield count


class Socket(asyncio.Protocol):
    """One request whose answer is only counted."""

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.found = 0
        self.done: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.found += data.count(b"~")
        if data.endswith(b"0\r\n\r\n"):
            self.transport.close()
            self.done.set_result(self.found)


@contextlib.asynccontextmanager
async def bare_socket(port: int) -> Any:
    """The floor: what the loop and the kernel cost, with nothing read."""

    async def count(messages: list[dict[str, str]]) -> int:
        body = json.dumps({"model": "bench", "stream": True, "messages": messages}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\ncontent-length: {len(body)}\r\n\r\n"
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_connection(lambda: Socket(head.encode() + body), "127.0.0.1", port)
        return await protocol.done

    yield count


CLIENTS: dict[str, Callable[[int], Any]] = {
    "tidegate": tidegate_client,
    "tidegate, no throttle": lambda port: tidegate_client(port, chunk_throttle=0.0),
    "openai": openai_client,
    "the socket alone": bare_socket,
}


async def measured(name: str, port: int, tokens: int, interval: float) -> float:
    """Microseconds of CPU per token."""
    async with CLIENTS[name](port) as count:

        def asked(number: int, tokens: int) -> list[dict[str, str]]:
            script = f"[[{number} tokens={tokens} interval={interval} ttft=0.5 stamp=0]]"
            return [{"role": "user", "content": script}]

        await count(asked(0, 5))  # imports, and the pool
        tasks = [asyncio.create_task(count(asked(number, tokens))) for number in range(1, STREAMS + 1)]
        await asyncio.sleep(0.4)
        begun = time.process_time()
        seen = sum(await asyncio.gather(*tasks))
        spent = time.process_time() - begun
    if seen != STREAMS * tokens:
        raise SystemExit(f"{name} saw {seen} of {STREAMS * tokens} tokens")
    return spent / seen * 1e6


def child(name: str, loop: str, port: int, tokens: int, interval: float) -> None:
    """One measurement, printed as JSON."""
    raise_nofile()
    factory = None
    if loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        print(json.dumps(runner.run(measured(name, port, tokens, interval))))


@contextlib.contextmanager
def upstream() -> Iterator[int]:
    """The bench's model server, as its own process."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "bench.upstream", "--port", str(port)])
    try:
        if not wait_ready(port, "/stats", 10.0):
            raise SystemExit("bench: the upstream did not start")
        yield port
    finally:
        process.kill()
        process.wait()


def one(name: str, loop: str, port: int, tokens: int, interval: float) -> float:
    """One measurement in a process of its own."""
    arguments = ["--child", name, "--loop", loop, "--port", str(port), "--shape", f"{tokens},{interval}"]
    done = subprocess.run(
        [sys.executable, "-m", "bench.client", *arguments], capture_output=True, text=True, timeout=170, check=False
    )
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr.strip().splitlines()[-1:]}")
    return float(json.loads(done.stdout))


def run(rounds: int, loops: list[str], shapes: list[str]) -> list[dict[str, Any]]:
    """Every client in every shape on every loop, in turns."""
    rows = []
    with upstream() as port:
        for shape in shapes:
            for loop in loops:
                figures: dict[str, list[float]] = {name: [] for name in CLIENTS}
                for _ in range(rounds):
                    for name in CLIENTS:
                        figures[name].append(one(name, loop, port, *SHAPES[shape]))
                for name, found in figures.items():
                    ratio = median([own / peer for own, peer in zip(found, figures["openai"], strict=True)])
                    rows.append({"shape": shape, "loop": loop, "client": name, "us": median(found), "ratio": ratio})
                    print(f"{shape:20} {loop:8} {name:22} {median(found):7.1f} us/token {ratio:6.2f} x openai")
    return rows


def main() -> None:
    """``python -m bench.client [--rounds N] [--loop NAME] [--json]``"""
    parser = argparse.ArgumentParser(prog="python -m bench.client", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), help="only this one")
    parser.add_argument("--json", action="store_true", help="also print one JSON document")
    parser.add_argument("--quick", action="store_true", help="one round, the first shape")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--shape", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        tokens, interval = options.shape.split(",")
        child(options.child, options.loop, options.port, int(tokens), float(interval))
        return
    loops = [options.loop] if options.loop else ["uvloop", "asyncio"]
    shapes = list(SHAPES)[:1] if options.quick else list(SHAPES)
    rows = run(1 if options.quick else options.rounds, loops, shapes)
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
