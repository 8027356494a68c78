"""simulator/server.py: it answers on a real socket, counts the truth, and leaves nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.fakes.gateway import run, simulator_options, until
from tests.fakes.reader import Reader, ask, request_bytes
from tidegate.simulator.server import MAX_HEAD, Simulator, Truth

CHAT = "/v1/chat/completions"


def question(model: str = "sim/default", **fields: Any) -> dict[str, Any]:
    return {"model": model, "stream": True, "messages": [{"role": "user", "content": "Why?"}], **fields}


@asynccontextmanager
async def simulator(**options: Any) -> AsyncIterator[Simulator]:
    server = Simulator(simulator_options(**options))
    await server.start()
    try:
        yield server
    finally:
        await server.close()
    assert not server.connections
    assert server.stats()["running"] == 0


def test_a_stream_is_what_was_asked_for_and_is_counted() -> None:
    async def case() -> None:
        async with simulator() as server:
            reader = await ask(server.port, CHAT, question(stream_options={"include_usage": True}))
            assert (reader.status, reader.whole, reader.done, reader.finish) == (200, True, True, "length")
            assert reader.events()[-2]["usage"]["completion_tokens"] == 20
            stats = server.stats()
            assert (stats["requests"], stats["started"], stats["completed"], stats["aborted"]) == (1, 1, 1, 0)
            assert (stats["running"], stats["tokens"]) == (0, 20)

    run(case())


def test_without_stream_it_answers_in_one_piece() -> None:
    async def case() -> None:
        async with simulator() as server:
            (body,) = (await ask(server.port, CHAT, question(stream=False))).events()
            assert body["object"] == "chat.completion"
            assert body["usage"]["completion_tokens"] == server.truths[-1].tokens == 20

    run(case())


def test_the_truth_has_the_time_of_each_write() -> None:
    """In order, each token told once; first and last are those of the first and the last."""

    async def case() -> None:
        told: list[tuple[int, float]] = []

        def on_tokens(truth: Truth) -> None:
            assert truth.last_token_at is not None
            told.append((truth.tokens, truth.last_token_at))

        async with simulator() as server:
            server.on_tokens = on_tokens
            await ask(server.port, CHAT, question("sim/default?tps=1000"))
            (truth,) = server.truths
            assert [count for count, _ in told] == list(range(1, 21))
            times = [at for _, at in told]
            assert times == sorted(times)
            assert truth.ended_at is not None
            assert truth.request_at <= times[0] <= times[-1] <= truth.ended_at
            assert (truth.first_token_at, truth.last_token_at) == (times[0], times[-1])

    run(case())


def test_tokens_that_leave_together_are_told_together() -> None:
    async def case() -> None:
        told: list[int] = []
        server = Simulator(simulator_options(tps=0.0), on_tokens=lambda truth: told.append(truth.tokens))
        await server.start()
        await ask(server.port, CHAT, question())
        await server.close()
        assert len(told) < 20
        assert told[-1] == 20

    run(case())


def test_a_peer_that_goes_is_an_abort_with_its_moment() -> None:
    """However it goes; the generation is over at once."""

    async def case() -> None:
        async with simulator() as server:
            for number, reset in enumerate((True, False), 1):
                reader = await Reader.connect(server.port)
                reader.send(request_bytes(CHAT, json.dumps(question("sim/stall-after-5")).encode()))
                await reader.head()
                await until(lambda: server.truths[-1].tokens == 5)
                if reset:
                    reader.hang_up()
                else:
                    await reader.close()
                await until(lambda number=number: server.stats()["aborted"] == number)  # type: ignore[misc] # as it is
                truth = server.truths[-1]
                assert truth.aborted
                assert server.aborts[-1] == {"id": number, "tag": "", "at": truth.ended_at, "tokens": 5}
            assert server.stats()["running"] == 0

    run(case())


@pytest.mark.parametrize(
    ("headers", "content", "tag"),
    [({"x-sim-tag": "a"}, "Why?", "a"), ({}, "Why [[b]]?", "b"), ({"x-sim-tag": "a"}, "[[b]]", "a"), ({}, "[[b", "")],
)
def test_a_request_has_its_tag_from_a_header_or_its_prompt(headers: dict[str, str], content: str, tag: str) -> None:
    async def case() -> None:
        async with simulator(tps=0.0) as server:
            await ask(server.port, CHAT, question(messages=[{"content": content}]), headers)
            assert server.truths[-1].tag == tag

    run(case())


def test_requests_on_one_connection_are_answered_in_turn() -> None:
    """Also when they all came at once."""

    async def case() -> None:
        async with simulator(tps=0.0) as server:
            reader = await Reader.connect(server.port)
            one = request_bytes(CHAT, json.dumps(question()).encode())
            reader.send(one + request_bytes("/healthz", b"", method="GET") + one)
            for is_stream in (True, False, True):
                assert await reader.head() == 200
                await reader.rest()
                assert reader.done == is_stream
            assert server.stats()["connections"] == 1
            await reader.close()

    run(case())


def test_counts_can_be_asked_for_and_forgotten() -> None:
    async def case() -> None:
        async with simulator(tps=0.0) as server:
            await ask(server.port, CHAT, question())
            (stats,) = (await ask(server.port, "/sim/stats", None, method="GET")).events()
            assert (stats["started"], stats["truths"][0]["tokens"]) == (1, 20)
            await ask(server.port, "/sim/reset", None)
            (stats,) = (await ask(server.port, "/sim/stats", None, method="GET")).events()
            assert (stats["started"], stats["tokens"], stats["truths"]) == (0, 0, [])

    run(case())


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/models", None, 200),
        ("GET", "/healthz", None, 200),
        ("GET", CHAT, None, 404),
        ("POST", "/v1/unheard", {}, 404),
        ("POST", CHAT, [], 400),
        ("POST", CHAT, {"model": "sim/default?tps=fast", "stream": True}, 400),
        ("POST", CHAT, {"model": "sim/default", "messages": "none", "stream_options": 7}, 200),
    ],
)
def test_every_request_has_an_answer(method: str, path: str, body: Any, status: int) -> None:
    async def case() -> None:
        async with simulator(tps=0.0) as server:
            reader = await ask(server.port, path, body, method=method)
            assert reader.status == status
            assert ("error" in reader.events()[0]) == (status >= 400)

    run(case())


def test_it_can_want_a_key() -> None:
    async def case() -> None:
        async with simulator(tps=0.0, api_key="sk-1") as server:
            assert (await ask(server.port, CHAT, question())).status == 401
            assert (await ask(server.port, CHAT, question(), {"authorization": "Bearer sk-2"})).status == 401
            assert (await ask(server.port, CHAT, question(), {"authorization": "Bearer sk-1"})).status == 200
            assert server.stats()["started"] == 1

    run(case())


def test_what_is_not_http_is_refused_and_a_head_without_end_is_cut_off() -> None:
    async def case() -> None:
        async with simulator() as server:
            reader = await Reader.connect(server.port)
            reader.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
            assert await reader.head() == 400
            await reader.close()
            reader = await Reader.connect(server.port)
            reader.send(b"GET / HTTP/1.1\r\n" + b"".join(b"x-%d: y\r\n" % n for n in range(MAX_HEAD // 4)))
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.head()
            await reader.close()
            await until(lambda: not server.connections)

    run(case())


def test_a_reader_that_does_not_read_is_waited_for() -> None:
    """What is not taken is not written; and it is all there once it is."""

    async def case() -> None:
        async with simulator() as server:
            reader = await Reader.connect(server.port, receive_buffer=4096)
            reader.send(request_bytes(CHAT, json.dumps(question("sim/flood-12")).encode()))
            await until(lambda: any(peer.paused for peer in server.connections))
            held = server.truths[-1].tokens
            await reader.head()
            await reader.rest()
            assert reader.done
            assert held < server.truths[-1].tokens
            await reader.close()

    run(case())


def test_closing_it_cuts_whatever_runs() -> None:
    async def case() -> None:
        server = Simulator(simulator_options())
        await server.start()
        readers = []
        for _ in range(3):
            reader = await Reader.connect(server.port)
            reader.send(request_bytes(CHAT, json.dumps(question("sim/default?tokens=5000")).encode()))
            await reader.head()
            readers.append(reader)
        await server.close()
        for reader in readers:
            await reader.rest()
            assert not reader.whole
            await reader.close()
        assert server.stats()["aborted"] == 3

    run(case())
