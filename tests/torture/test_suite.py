"""torture/suite.py: our own gateway is honest in every case, and gateways that lie are found out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.fakes.gateway import gateway, run
from tests.fakes.gateway import upstream as upstream_options
from tidegate.errors import InvalidRequest
from tidegate.torture.cases import CASES, Case, Outcome, chosen
from tidegate.torture.client import Client
from tidegate.torture.suite import Result, Suite
from tidegate.torture.upstream import LyingUpstream

KEY = "sk-gateway-0123456789"
ENDLESS = ("stall", "silent", "endless-comments", "stall-after-5", "finish-then-hang")
SLOW = (*ENDLESS, "slow-head", "nobody-listens")


@asynccontextmanager
async def lying() -> AsyncIterator[LyingUpstream]:
    upstream = LyingUpstream(("m",), tps=5000.0)
    await upstream.start()
    try:
        yield upstream
    finally:
        await upstream.close()


def suite(port: int, upstream: LyingUpstream, path: str = "/v1/chat/completions", **options: Any) -> Suite:
    headers = {"authorization": "Bearer client"}
    if path.endswith("stream"):
        headers["accept"] = "application/x-ndjson"
    client = Client(urlsplit(f"http://127.0.0.1:{port}{path}"), "m", headers)
    return Suite(client, upstream, key="client", **{"patience": 60.0, "recovery": 60.0, "stop_within": 60.0, **options})


async def through_tidegate(
    cases: tuple[Case, ...], *, fast: bool = True, path: str = "/v1/chat/completions", **limits: Any
) -> list[Result]:
    told: list[Result] = []
    async with (
        lying() as upstream,
        gateway(upstream_options(upstream.url, api_keys=(KEY,)), fast=fast, retry_attempts=1, **limits) as gate,
    ):
        played = suite(gate.port, upstream, path)
        await played.ready()
        results = await played.run(cases, told.append)
        assert told == results
    return results


QUICK = tuple(case for case in CASES if case.name not in SLOW and case.name != "429")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/v1/chat/stream"], ids=["sse", "ndjson"])
@pytest.mark.parametrize("fast", [True, False], ids=["fast", "plain"])
def test_tidegate_is_honest_in_every_quick_case(fast: bool, path: str) -> None:
    async def case() -> None:
        results = await through_tidegate(QUICK, fast=fast, path=path)
        assert [(result.case.name, result.did) for result in results if not result.honest] == []

    run(case())


@pytest.mark.parametrize("name", SLOW)
def test_tidegate_is_honest_when_time_runs_out(name: str) -> None:
    async def case() -> None:
        limits: dict[str, Any] = {"first_token_timeout": 1.0, "idle_timeout": 0.5} if name in ENDLESS else {}
        (result,) = await through_tidegate(chosen((name,)), **limits)
        assert result.honest, result.did

    run(case())


def test_tidegate_passes_a_429_on_and_recovers() -> None:
    async def case() -> None:
        (result,) = await through_tidegate(chosen(("429",)))
        assert (result.outcome, result.detail) == (Outcome.ERROR_STATUS, "429")

    run(case())


class Pipe:
    """The simplest gateway that there is: bytes from one socket to the other, and a FIN at the end of either."""

    def __init__(self, upstream_port: int) -> None:
        self.upstream_port = upstream_port
        self.port = 0
        self.rewrite: Callable[[bytes], bytes] = bytes
        self._busy: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Pipe:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()
        while self._busy:
            await asyncio.wait(self._busy)
        await asyncio.sleep(0.05)  # transports close a loop turn after they were told to

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._busy.add(task)
        task.add_done_callback(self._busy.discard)
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        except OSError:
            writer.transport.abort()
            return
        copies = [
            asyncio.create_task(self._copy(reader, up_writer, bytes)),
            asyncio.create_task(self._copy(up_reader, writer, self.rewrite)),
        ]
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)
        up_writer.transport.abort()
        writer.close()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rewrite: Callable[[bytes], bytes]
    ) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(rewrite(data))
                await writer.drain()
        except ConnectionError:
            pass


async def through_pipe(*names: str, rewrite: Any = None, patience: float = 60.0) -> dict[str, Result]:
    async with lying() as upstream, Pipe(upstream.port) as pipe:
        played = suite(pipe.port, upstream, patience=patience)
        if rewrite is not None:
            pipe.rewrite = rewrite
        await played.ready()
        return {result.case.name: result for result in await played.run(chosen(names), lambda _: None)}


def test_a_gateway_that_passes_everything_on_is_found_out_where_that_is_a_lie() -> None:
    async def case() -> None:
        found = await through_pipe(
            *("good", "404", "no-finish", "done-only", "html", "empty", "json", "whole-half", "garbage"),
            *("cut-in-chunk", "client-leaves-midway", "client-leaves-waiting", "client-leaves-whole", "nobody-listens"),
            *("client-half-closes", "client-never-reads"),
        )
        found |= await through_pipe("stall", patience=1.0)
        assert {name: result.outcome for name, result in found.items() if not result.honest} == {
            "no-finish": Outcome.SILENT,
            "done-only": Outcome.FALSE_DONE,
            "html": Outcome.NO_STREAM,
            "empty": Outcome.EMPTY,
            "json": Outcome.NO_STREAM,
            "whole-half": Outcome.NO_STREAM,
            "stall": Outcome.HANG,
        }
        assert found["garbage"].outcome is Outcome.VERBATIM
        assert found["nobody-listens"].outcome is Outcome.BROKEN
        assert found["client-leaves-midway"].outcome is Outcome.STOPPED

    run(case())


def test_a_gateway_that_dresses_a_cut_as_a_success_is_found_out() -> None:
    done = b"data: [DONE]\n\n"
    finish = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'

    def dress(data: bytes) -> bytes:
        # Only behind what has none: the good answer that comes before each case stays good.
        if b'"finish_reason":"' in data:
            return data
        return data.replace(b"%x\r\n%b\r\n" % (len(done), done), b"%x\r\n%b\r\n" % (len(finish), finish))

    async def case() -> None:
        found = await through_pipe("done-only", "tool-call-cut", rewrite=dress)
        assert {result.outcome for result in found.values()} <= {Outcome.PARTIAL, Outcome.ALTERED}
        assert not any(result.honest for result in found.values())

    run(case())


def test_a_gateway_that_is_not_pointed_at_us_is_told_so() -> None:
    async def case() -> None:
        async with lying() as upstream, Pipe(9) as pipe:
            with pytest.raises(InvalidRequest, match="it never asked this model server"):
                await suite(pipe.port, upstream, recovery=0.3).ready()

    run(case())
