"""server/http2/exchange.py: any application is answered for, also one that fails; what waits, waits within limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.fakes.gateway import HTTP2, Rig, rig, run, until
from tests.fakes.reader import Reader, ask, request_bytes
from tidegate.server.http2.exchange import HIGH_WATER

GET = request_bytes("/", b"", method="GET")


async def silent(scope: Any, receive: Any, send: Any) -> None:
    """Says nothing."""


async def failing(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("secret of the prompt")


async def half(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})


async def twice(scope: Any, receive: Any, send: Any) -> None:
    for text in (b"once", b"twice"):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": text})
    assert (await receive())["type"] == "http.disconnect"


def asked(app: Any, then: Callable[[Rig, Reader], Any]) -> None:
    """One request to ``app`` over HTTP/2."""

    async def case() -> None:
        async with rig(fast=HTTP2) as gate:
            gate.server.config.loaded_app = app
            reader = await Reader.connect(gate.port)
            reader.send(GET)
            await then(gate, reader)
            await reader.close()

    run(case())


@pytest.mark.parametrize("app", [silent, failing])
def test_an_application_that_says_nothing_is_a_500(app: Any, capfd: pytest.CaptureFixture[str]) -> None:
    async def then(_: Rig, reader: Reader) -> None:
        assert await reader.head() == 500
        assert await reader.rest() == b"Internal Server Error"
        assert reader.whole

    asked(app, then)
    out, err = capfd.readouterr()
    assert ("server.bug" in out + err) == (app is failing)
    assert "secret" not in out + err


def test_half_an_answer_is_seen_to_be_half_of_one() -> None:
    async def then(_: Rig, reader: Reader) -> None:
        assert await reader.head() == 200
        assert await reader.rest() == b"half"
        assert (reader.whole, reader.reset) == (False, True)

    asked(half, then)


def test_what_is_said_after_the_end_is_not_heard() -> None:
    async def then(_: Rig, reader: Reader) -> None:
        assert await reader.head() == 200
        assert await reader.rest() == b"once"
        assert reader.whole

    asked(twice, then)


@pytest.mark.parametrize("leaves", [False, True])
def test_an_application_waits_for_a_slow_reader_and_hears_that_it_left(leaves: bool) -> None:
    sent: list[int] = []
    heard: list[str] = []

    async def flood(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100):
            await send({"type": "http.response.body", "body": b"x" * 10_000, "more_body": True})
            sent.append(10_000)
        await send({"type": "http.response.body", "body": b""})
        heard.append((await receive())["type"])

    async def then(_: Rig, reader: Reader) -> None:
        assert await reader.head() == 200
        await until(lambda: sum(sent) > HIGH_WATER)
        await asyncio.sleep(0.05)
        assert sum(sent) <= HIGH_WATER + 65_535 + 20_000, "no more than what the peer has room for, and the high water"
        if leaves:
            reader.half_close()
        else:
            assert len(await reader.rest()) == 1_000_000
            assert reader.whole
        await until(lambda: bool(heard))

    asked(flood, then)
    assert heard == ["http.disconnect"]


def test_a_request_that_need_not_come_is_refused_when_its_answer_is_out() -> None:
    """The rest of a body that is too large."""

    async def case() -> None:
        async with rig(fast=HTTP2, server={"max_request_bytes": 1000}) as gate:
            reader = await ask(gate.port, "/v1/chat/completions", {"x": "y" * 500_000})
            assert (reader.status, reader.whole) == (413, True)
            await until(lambda: not gate.server.server_state.tasks)

    run(case())
