"""relay/models.py: names of the configuration, and of an upstream's own list what a glob covers; against a real one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.upstream.peer import client_for, serving
from tidegate.relay.models import FAILED, FRESH, MAX_MODELS, ModelList
from tidegate.upstream.client import UpstreamClient
from tidegate.upstream.options import UpstreamOptions


class Lister:
    """A model server that says what it is told to say, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.said: Any = {"data": []}
        self.status = 200
        self.keys: list[bytes] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"GET /v1/models HTTP/1.1\r\n")
        self.keys += [line[22:] for line in head.split(b"\r\n") if line.startswith(b"authorization: Bearer ")]
        self.asked += 1
        body = self.said if isinstance(self.said, bytes) else json.dumps(self.said).encode()
        writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%b" % (self.status, len(body), body))
        await writer.drain()

    def lists(self, *names: Any) -> None:
        self.said = {"object": "list", "data": [{"id": name, "created": 7} for name in names]}


@asynccontextmanager
async def listing(**options: Any) -> AsyncIterator[tuple[Lister, ModelList]]:
    lister = Lister()
    async with serving(lister.answer) as port, client_for(f"http://127.0.0.1:{port}/v1", **options) as client:
        yield lister, ModelList({"up": client})


def run(case: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await asyncio.wait_for(case(), 200)

    asyncio.run(main())


async def names(models: ModelList) -> list[str]:
    return [model["id"] for model in await models.listed()]


def test_names_of_the_configuration_are_listed_without_asking() -> None:
    """Aliases first, each once; the shape is OpenAI's."""

    async def case() -> None:
        async with listing(models=("b", "a"), aliases={"x": "real", "a": "other"}) as (lister, models):
            assert await names(models) == ["x", "a", "b"]
            assert (await models.listed())[0] == {"id": "x", "object": "model", "created": 0, "owned_by": "up"}
            assert lister.asked == 0

    run(case)


def test_behind_a_glob_stands_what_the_upstream_lists_and_the_glob_covers() -> None:
    async def case() -> None:
        async with listing(models=("gpt-*", "own"), api_keys=("sk-key-0123456789",)) as (lister, models):
            lister.lists("gpt-4o", "whisper", "gpt-5")
            assert await names(models) == ["own", "gpt-4o", "gpt-5"]
            assert (await models.listed())[1]["created"] == 7
            assert lister.keys == [b"sk-key-0123456789"]

    run(case)


def test_the_list_is_believed_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or until it is to be forgotten."""
    now = 1000.0
    monkeypatch.setattr("tidegate.relay.models.monotonic", lambda: now)

    async def case() -> None:
        nonlocal now
        async with listing() as (lister, models):
            lister.lists("one")
            assert await names(models) == ["one"]
            lister.lists("two")
            now += FRESH - 1
            assert await names(models) == ["one"]
            now += 1
            assert await names(models) == ["two"]
            lister.lists("three")
            models.forget()
            assert await names(models) == ["three"]
            assert lister.asked == 3

    run(case)


def test_an_upstream_that_does_not_answer_is_not_asked_at_once_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it said before stands."""
    now = 1000.0
    monkeypatch.setattr("tidegate.relay.models.monotonic", lambda: now)

    async def case() -> None:
        nonlocal now
        async with listing() as (lister, models):
            lister.lists("one")
            assert await names(models) == ["one"]
            lister.status = 500
            now += FRESH
            for _ in range(3):
                assert await names(models) == ["one"]
            assert lister.asked == 2
            now += FAILED
            lister.status = 200
            lister.lists("two")
            assert await names(models) == ["two"]

    run(case)


@pytest.mark.parametrize(
    "said", [b"", b"<html>", b"[]", b"\xff", {"data": "none"}, {"data": None}, {}, {"data": [1, None, "x", {}]}]
)
def test_nonsense_is_no_list(said: Any) -> None:
    async def case() -> None:
        async with listing(models=("*", "own")) as (lister, models):
            lister.said = said
            assert await names(models) == ["own"]

    run(case)


def test_names_that_cannot_be_and_too_many_are_left_out() -> None:
    async def case() -> None:
        async with listing() as (lister, models):
            lister.lists("good", "", "x" * 257, "two\nlines", 7, None)
            assert await names(models) == ["good"]
            models.forget()
            lister.lists(*(f"model-{number}" for number in range(MAX_MODELS + 1)))
            assert len(await names(models)) == MAX_MODELS

    run(case)


def test_one_upstream_that_is_away_hides_no_other() -> None:
    async def case() -> None:
        away = UpstreamClient(UpstreamOptions(name="away", base_url="http://127.0.0.1:1/v1", trust_env=False))
        lister = Lister()
        lister.lists("one")
        async with serving(lister.answer) as port, client_for(f"http://127.0.0.1:{port}/v1") as client:
            assert await names(ModelList({"away": away, "up": client})) == ["one"]
        await away.close()

    run(case)
