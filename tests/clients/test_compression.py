"""Compressed streams in real clients: an event is read before there is another one, in every one of them."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Awaitable, Callable

import aiohttp
import httpx
import pytest

from tests.bench.browsers import the_chromium
from tests.fakes.gateway import Rig, rig, run
from tidegate.bench.devtools import chromium


def body(model: str) -> str:
    return json.dumps({"model": model, "stream": True, "messages": [{"role": "user", "content": "Why?"}]})


JSON = {"content-type": "application/json", "save-data": "on"}
FETCH = """
const answer = await fetch(URL, { method: "POST", headers: HEADERS, body: BODY });
const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
let text = "";
while (!text.includes(NEEDLE)) {
  const { value, done } = await reader.read();
  if (done) break;
  text += value;
}
const found = [answer.headers.get("content-encoding"), text];
"""


def script(url: str, model: str, needle: str) -> str:
    return (
        FETCH.replace("fetch(URL", f"fetch({json.dumps(url)}")
        .replace("HEADERS", json.dumps(JSON))
        .replace("body: BODY", f"body: {json.dumps(body(model))}")
        .replace("NEEDLE", json.dumps(needle))
    )


Read = Callable[[str, str, str], Awaitable[tuple[str, str]]]
"""What it is told is an address, a model and what to wait for; it gives the coding, and what it has read by then."""


async def curl(url: str, model: str, needle: str) -> tuple[str, str]:
    child = await asyncio.create_subprocess_exec(
        *("curl", "-svN", "--compressed", url, "-d", body(model)),
        *(part for name, value in JSON.items() for part in ("-H", f"{name}: {value}")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdout is not None
    text = ""
    while needle not in text:
        line = await child.stdout.readline()
        assert line
        text += line.decode()
    child.kill()
    _, log = await child.communicate()
    return log.decode().partition("< content-encoding: ")[2].split()[0], text


async def with_httpx(url: str, model: str, needle: str) -> tuple[str, str]:
    text = ""
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("POST", url, content=body(model), headers=JSON, timeout=60) as answer,
    ):
        async for part in answer.aiter_text():
            text += part
            if needle in text:
                break
    return answer.headers["content-encoding"], text


async def with_aiohttp(url: str, model: str, needle: str) -> tuple[str, str]:
    text = ""
    async with aiohttp.ClientSession() as session, session.post(url, data=body(model), headers=JSON) as answer:
        async for part in answer.content.iter_any():
            text += part.decode()
            if needle in text:
                break
        return answer.headers["content-encoding"], text


async def node(url: str, model: str, needle: str) -> tuple[str, str]:
    child = await asyncio.create_subprocess_exec(
        *(
            "node",
            "--input-type=module",
            "-e",
            script(url, model, needle) + "console.log(JSON.stringify(found)); process.exit(0);",
        ),
        stdout=subprocess.PIPE,
    )
    output, _ = await child.communicate()
    coding, text = json.loads(output)
    return coding, text


async def browser(url: str, model: str, needle: str) -> tuple[str, str]:
    page = url.replace("/v1/chat/completions", "/")
    async with chromium(the_chromium()) as found, found.window() as window:
        loaded = window.event("Page.frameNavigated", lambda event: event["frame"]["url"] == page)
        await window.call("Page.navigate", url=page)
        await loaded
        # What a page may not set, a browser sends by itself: no save-data here.
        source = script(url, model, needle).replace(', "save-data": "on"', "")
        coding, text = await window.run(f"(async () => {{ {source}; await reader.cancel(); return found; }})()", 60.0)
    return coding, text


CLIENTS: list[Read] = [curl, with_httpx, with_aiohttp, node, browser]


STALLS = {"the first": ("sim/stall-after-1", "Twice"), "the ninth": ("sim/stall-after-9?tps=50", "harbou")}
"""Of the ninth, everything but its text stands in the events before it."""


@pytest.mark.parametrize("stall", STALLS)
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)
def test_an_event_is_read_before_there_is_another_one(client: Read, stall: str) -> None:
    async def case() -> None:
        async with rig() as gate:
            model, needle = STALLS[stall]
            coding, text = await client(f"http://127.0.0.1:{gate.port}/v1/chat/completions", model, needle)
            assert coding in ("gzip", "zstd")
            assert needle in text
            assert living(gate), "the stream had ended before the event could be read"

    def living(gate: Rig) -> bool:
        """It ended because its reader left, and not by a time-out of a minute."""
        return not gate.records or gate.records[0].reason == "client_cancel"

    run(case())
