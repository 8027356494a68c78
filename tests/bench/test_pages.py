"""bench/pages.py: the gateway's real page in a real Chromium."""

from __future__ import annotations

import asyncio
import math
import re

import pytest

from tests.bench.browsers import the_chromium
from tidegate.bench import pages
from tidegate.bench.abandonment import Reader
from tidegate.bench.devtools import chromium
from tidegate.bench.pages import perceived
from tidegate.bench.processes import gateway, simulator
from tidegate.bench.ways import WAYS
from tidegate.errors import GatewayFault
from tidegate.upstream.client import UpstreamClient
from tidegate.upstream.options import UpstreamOptions

BLOCKING, CHUNKED, SSE = WAYS
PEOPLE = [Reader(number, 0.3, 120, 40.0, math.inf, math.inf) for number in range(2)]
WHOLE = 0.3 + 119 / 40.0
"""Seconds until the last token of each."""


async def metrics(url: str) -> str:
    client = UpstreamClient(UpstreamOptions(name="gateway", base_url=url, trust_env=False))
    try:
        return (await client.fetch("/metrics", limit=1_000_000, timeout=10.0))[1].decode()
    finally:
        await client.close()


def test_a_page_sees_a_stream_at_its_first_token_and_a_whole_answer_at_its_last() -> None:
    told: list[int] = []

    async def case() -> str:
        async with chromium(the_chromium()) as browser, simulator() as upstream, gateway(upstream) as (url, _):
            for way in (CHUNKED, SSE):
                streamed = await perceived(browser, url, way, PEOPLE, told.append)
                assert len(streamed) == 2
                assert all(seconds >= 0.3 for seconds in streamed)
                assert min(streamed) < WHOLE, "not before the whole answer was there"
            blocked = await perceived(browser, url, BLOCKING, PEOPLE, told.append)
            assert len(blocked) == 2
            assert all(seconds >= WHOLE - 0.05 for seconds in blocked)
            return await metrics(url)

    text = asyncio.run(case())
    assert told == [2, 2, 2]
    # The gateway got a report of each: of the six first questions, and of the four streams, that they were stopped.
    ends = dict(re.findall(r'tidegate_reader_ends_total\{end="(\w+)"\} (\d+)', text))
    assert (int(ends["finished"]), int(ends["stopped"])) == (6, 4)


def test_a_page_that_shows_no_answer_is_missing_in_the_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_PATIENCE", 3.0)
    monkeypatch.setattr(pages, "question", lambda reader, tag: ("sim/401", "Hello"))

    async def case() -> None:
        async with chromium(the_chromium()) as browser, simulator() as upstream, gateway(upstream) as (url, _):
            assert await perceived(browser, url, SSE, PEOPLE[:1], lambda _: None) == []
            assert await perceived(browser, url, BLOCKING, PEOPLE[:1], lambda _: None) == []

    asyncio.run(case())


def test_a_gateway_without_its_page_is_said_to_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_PATIENCE", 1.0)

    async def case() -> None:
        async with chromium(the_chromium()) as browser, simulator() as url:
            with pytest.raises(GatewayFault, match="page did not come up"):
                await perceived(browser, url, SSE, PEOPLE[:1], lambda _: None)

    asyncio.run(case())
