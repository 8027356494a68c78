"""The async client over real sockets: against the simulator, the gateway, and servers that misbehave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.client.serving import HEAD, Connection, serving
from tests.client.test_reading import said, sse
from tests.fakes.gateway import Rig, rig, run, simulator_options, until
from tidegate.client import AsyncStreamClient, StreamResult
from tidegate.errors import (
    ConnectFailed,
    IdleTimeout,
    StreamTruncated,
    TidegateError,
    UpstreamCut,
    UpstreamFailed,
    UpstreamFault,
    UpstreamProtocolError,
    UpstreamRefused,
)
from tidegate.events import Finished, TextDelta, ToolCallDelta
from tidegate.simulator.server import Simulator
from tidegate.simulator.texts import ANSWERS, tokens_of

ENDLESS = "sim/prose?tokens=100000&tps=200"
ASK = [{"role": "user", "content": "Why?"}]
SSE, NDJSON = "/v1/chat/completions", "/api/v1/chat/stream"
paths = pytest.mark.parametrize("path", [SSE, NDJSON])
loops = pytest.mark.parametrize("plain_loop", [False, True], ids=["uvloop", "asyncio"])


def the_answer(count: int = 20) -> str:
    return "".join(tokens_of(ANSWERS["default"])[:count])


def client(url: str, **options: Any) -> AsyncStreamClient:
    return AsyncStreamClient(**{"endpoint": url, "retry_delay": 0.01, "trust_env": False, "api_key": None, **options})


@asynccontextmanager
async def simulator(**options: Any) -> AsyncIterator[Simulator]:
    found = Simulator(simulator_options(**options))
    await found.start()
    try:
        yield found
        await until(lambda: found.stats()["running"] == 0)
    finally:
        await found.close()


async def read(stream: Any, pieces: list[str] | None = None) -> None:
    """To its end, whatever that is."""
    async with stream:
        async for piece in stream:
            if pieces is not None:
                pieces.append(piece)


async def collect(found: AsyncStreamClient, model: str, **fields: Any) -> tuple[str, StreamResult]:
    async with found.stream(ASK, model=model, **fields) as stream:
        text = "".join([piece async for piece in stream])
    return text, stream.result


@paths
@loops
def test_an_answer_through_the_gateway(path: str, plain_loop: bool) -> None:
    """Text, figures, and a connection that is kept."""

    async def case() -> None:
        async with rig() as gate, client(f"http://127.0.0.1:{gate.port}{path}") as found:
            for _ in range(2):
                text, result = await collect(found, "sim/prose")
                assert text == result.text == the_answer()
                assert result.complete
                assert (result.reason, result.finish_reason, result.tokens) == ("length", "length", 20)
                assert result.usage is not None
                assert result.usage.output_tokens == 20
                assert result.ttft is not None
                assert result.tpot is not None
                assert result.response["choices"][0]["message"]["content"] == text
            assert {record.stream_id for record in gate.records} >= {result.stream_id}
            assert len(gate.server.server_state.connections) == 1

    run(case(), plain_loop=plain_loop)


GOOD = ["garbage", "invalid-utf8", "no-done", "crlf", "cr", "comments", "ids", "no-role", "gzip", "http10", "json"]
GOOD += ["length-framed", "keepalive-close", "slow-head", "429-then-ok", "500-then-ok", "503-then-ok", "usage-beside"]


@pytest.mark.parametrize("fault", GOOD)
def test_an_odd_server_is_still_a_success(fault: str) -> None:
    """The simulator itself, no gateway between; twice, so that the second request meets what the first left."""

    async def case() -> None:
        async with simulator() as server, client(server.url) as found:
            for _ in range(2):
                text, result = await collect(found, f"sim/{fault}")
                assert text == the_answer()
                assert result.complete
                assert result.malformed == (1 if fault in ("garbage", "invalid-utf8") else 0)
                if fault.endswith("-then-ok"):
                    assert result.retries == 1

    run(case())


def test_text_cut_inside_its_characters_arrives_in_whole_graphemes() -> None:
    async def case() -> None:
        async with simulator(tokens=0, tps=0.0) as server, client(server.url, chunk_throttle=0.0) as found:
            assert (await collect(found, "sim/split-utf8"))[0] == ANSWERS["emoji"]
            assert (await collect(found, "sim/dribble?tokens=8"))[0] == the_answer(8)
            text, result = await collect(found, "sim/strawberry")
            assert (text, result.usage and result.usage.output_tokens) == ("-s-t-r-a-w-b-e-r-r-y", 10)

    run(case())


def test_a_finish_without_an_end_is_a_success_after_a_grace() -> None:
    async def case() -> None:
        async with simulator() as server, client(server.url) as found:
            text, result = await collect(found, "sim/finish-then-hang")
            assert text == the_answer()
            assert result.complete
            await until(lambda: server.stats()["aborted"] == 1)

    run(case())


CUTS = {
    "cut-after-5": (5, UpstreamCut),
    "cut-clean-after-5": (5, UpstreamCut),
    "rst-after-5": (5, UpstreamCut),
    "no-finish": (20, UpstreamCut),
    "done-only": (20, UpstreamCut),
    "half-event": (3, UpstreamCut),
    "error-event": (3, UpstreamFault),
    "late-error-after-finish": (20, UpstreamFault),
}


@pytest.mark.parametrize("fault", CUTS)
@pytest.mark.parametrize("through", ["simulator", "gateway-sse", "gateway-ndjson"])
def test_a_cut_raises_with_what_came(fault: str, through: str) -> None:
    count, kind = CUTS[fault]

    async def check(url: str) -> None:
        async with client(url) as found:
            stream = found.stream(ASK, model=f"sim/{fault}")
            pieces: list[str] = []
            with pytest.raises(StreamTruncated) as caught:
                await read(stream, pieces)
            assert "".join(pieces) == caught.value.text == stream.text == the_answer(count)
            assert isinstance(caught.value.__cause__, kind)
            assert caught.value.stream_id == stream.id
            assert (stream.id is None) == (through == "simulator")
            assert not stream.result.complete

    async def case() -> None:
        if through == "simulator":
            async with simulator() as server:
                await check(server.url)
        else:
            async with rig() as gate:
                await check(f"http://127.0.0.1:{gate.port}{SSE if through == 'gateway-sse' else NDJSON}")

    run(case())


EARLY = {
    "401": (UpstreamRefused, 0),
    "404": (UpstreamRefused, 0),
    "429": (UpstreamRefused, 0),  # it asks to wait for 30 s
    "500": (UpstreamFailed, 2),
    "html": (UpstreamProtocolError, 2),
    "head-bomb": (UpstreamFault, 2),
    "cut-after-0": (UpstreamCut, 2),
    "silent": (IdleTimeout, 2),
    "stall": (IdleTimeout, 2),
}


@pytest.mark.parametrize("fault", EARLY)
def test_a_failure_before_the_first_token_is_retried_where_that_may_help(fault: str) -> None:
    kind, retries = EARLY[fault]

    async def case() -> None:
        limits = {"timeout": 0.2, "connect_timeout": 0.5} if kind is IdleTimeout else {"timeout": 20.0}
        async with simulator() as server, client(server.url, **limits) as found:
            stream = found.stream(ASK, model=f"sim/{fault}")
            with pytest.raises(kind) as caught:
                await read(stream)
            assert not isinstance(caught.value, StreamTruncated)
            assert stream.result.retries == retries
            assert server.stats()["started"] == retries + 1

    run(case())


def test_silence_between_tokens_is_a_cut() -> None:
    async def case() -> None:
        async with simulator() as server, client(server.url, timeout=0.5) as found:
            with pytest.raises(StreamTruncated) as caught:
                await collect(found, "sim/stall-after-4")
            assert caught.value.code == "idle_timeout"
            assert caught.value.text == the_answer(4)
            await until(lambda: server.stats()["aborted"] == 1)

    run(case())


def test_a_slow_reader_is_no_silence() -> None:
    """Nobody asks for longer than the timeout; the stream goes on where it stood."""

    async def case() -> None:
        async with simulator(tps=2000) as server, client(server.url, timeout=0.5) as found:
            stream = found.stream(ASK, model="sim/prose")
            text = await anext(stream)
            await asyncio.sleep(0.6)
            text += "".join([piece async for piece in stream])
            assert text == the_answer()

    run(case())


def test_nobody_listening_is_said_after_the_retries() -> None:
    async def case() -> None:
        async with client("http://127.0.0.1:9/v1") as found:
            with pytest.raises(ConnectFailed):
                await collect(found, "m")

    run(case())


def test_many_chunks_of_a_frame_come_as_one_piece() -> None:
    """Frames of half a second: what comes in one is one piece for each ``max_buffer`` chunks."""

    async def case() -> None:
        async with simulator(tokens=200, tps=2000) as server:
            async with (
                client(server.url, chunk_throttle=0.5, max_buffer=50) as found,
                found.stream(ASK, model="sim/prose") as stream,
            ):
                frames = [piece async for piece in stream]
            async with client(server.url, chunk_throttle=0.0) as found, found.stream(ASK, model="sim/prose") as stream:
                at_once = [piece async for piece in stream]
            assert "".join(frames) == "".join(at_once)
            assert len(frames) < 60
            assert len(frames) < len(at_once)

    run(case())


def test_raw_gives_the_deltas_as_they_came() -> None:
    async def case() -> None:
        async with rig() as gate, client(f"http://127.0.0.1:{gate.port}") as found:
            events = [event async for event in found.stream(ASK, model="sim/prose", raw=True)]
            texts = [event.text for event in events if isinstance(event, TextDelta)]
            assert texts == tokens_of(ANSWERS["default"])[:20]
            assert Finished("length") in events
            tools = [event async for event in found.stream(ASK, model="sim/tools", raw=True)]
            assert {event.name for event in tools if isinstance(event, ToolCallDelta)} >= {"tide_at", "wind_at"}

    run(case())


def test_callbacks_are_called_plain_or_not() -> None:
    async def case(gate: Rig) -> None:
        pieces: list[str] = []
        ends: list[Any] = []

        async def keep(piece: str) -> None:
            pieces.append(piece)

        async with client(f"http://127.0.0.1:{gate.port}") as found:
            result = await found.generate(ASK, model="sim/prose", on_chunk=keep, on_complete=ends.append)
            assert "".join(pieces) == result.text == the_answer()
            assert [end.reason for end in ends] == ["length"]
            errors: list[TidegateError] = []
            cut = await found.generate(
                ASK, model="sim/cut-after-3", on_chunk=keep, on_complete=ends.append, on_error=errors.append
            )
            assert not cut.complete
            assert len(ends) == 1
            assert isinstance(errors[0], StreamTruncated)
            with pytest.raises(StreamTruncated):
                await found.generate(ASK, model="sim/cut-after-3")

    async def whole() -> None:
        async with rig() as gate:
            await case(gate)

    run(whole())


def test_the_request_is_what_was_asked_for() -> None:
    seen: list[Any] = []

    async def answer(connection: Connection) -> None:
        seen.append((connection.path, json.loads(connection.body)))
        connection.send(HEAD + sse(*said("ok")))

    async def case() -> None:
        async with serving(answer) as url, client(url, model="m", max_tokens=9) as found:
            await collect(found, "other", temperature=0, tools=[])
        assert seen[0][0] == "/v1/chat/completions"
        body = seen[0][1]
        assert (body["model"], body["max_tokens"], body["temperature"], body["tools"]) == ("other", 9, 0, [])

    run(case())


def test_a_key_that_the_server_repeats_is_not_in_the_error() -> None:
    async def case() -> None:
        async with simulator() as server, client(server.url, api_key="sk-secret-123") as found:
            with pytest.raises(UpstreamRefused) as caught:
                await collect(found, "sim/echo-key")
            assert "sk-secret-123" not in str(caught.value)
            assert "[key]" in str(caught.value)

    run(case())


def test_closing_a_client_cuts_its_streams() -> None:
    async def case() -> None:
        async with simulator() as server:
            found = client(server.url)
            stream = found.stream(ASK, model=ENDLESS)
            await anext(stream)
            await found.close()
            with pytest.raises(StreamTruncated):
                async for _ in stream:
                    pass
            await until(lambda: server.stats()["aborted"] == 1)
            assert (await collect(found, "sim/prose"))[1].complete
            await found.close()

    run(case())
