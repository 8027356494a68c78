"""Sizes on the wire against token lengths, through the running gateway: what somebody sees who can read nothing."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest

from tests.e2e.faces import NDJSON, SSE, face, question
from tests.fakes.gateway import rig, run, simulator_options
from tests.fakes.reader import Reader, ask, request_bytes
from tests.server.test_obfuscation import correlation

GZIP = {"accept-encoding": "gzip", "save-data": "on"}
HIDE = {"stream_options": {"include_obfuscation": True}}


async def heard(port: int, path: str, headers: dict[str, str], **fields: Any) -> list[tuple[int, int]]:
    """Of every chunk with one token in it: how long the token is, and how long the chunk."""
    reader = await Reader.connect(port)
    reader.send(request_bytes(path, json.dumps(question("sim/prose", **fields)).encode(), headers))
    await reader.head()
    decode = zlib.decompressobj(31).decompress if "content-encoding" in reader.headers else bytes
    pairs = []
    while chunk := await reader.chunk():
        one = Reader(reader.stream, reader.writer)
        one.headers = {"content-type": reader.headers["content-type"]}
        one.body = decode(chunk)
        events = one.events()
        if len(events) == 1 and one.text:
            pairs.append((len(one.text.encode()), len(chunk)))
    await reader.close()
    return pairs


@face
@pytest.mark.parametrize("headers", [{}, GZIP], ids=["plain", "gzip"])
def test_sizes_tell_nothing_of_lengths(fast: bool, path: str, headers: dict[str, str]) -> None:
    async def case() -> None:
        async with rig(fast=fast, simulated=simulator_options(tokens=0, tps=400.0)) as gate:
            hidden: list[tuple[int, int]] = []
            shown: list[tuple[int, int]] = []
            # On a busy machine several tokens leave in one chunk, and few alone: then another answer is heard.
            while len(hidden) <= 100:
                hidden += await heard(gate.port, path, headers, **HIDE)
            while len(shown) <= 100:
                shown += await heard(gate.port, path, headers)
            assert abs(correlation(hidden)) <= 0.02
            # A coder that has just begun hides some of it too, and who hears few tokens alone hears the first ones.
            assert correlation(shown) > 0.3, "without it, they do"

    run(case())


@face
def test_the_answer_is_the_same(fast: bool, path: str) -> None:
    async def case() -> None:
        async with rig(fast=fast, obfuscation=True) as gate:
            hidden = await ask(gate.port, path, question("sim/prose"))
            plain = await ask(gate.port, path, question("sim/prose", stream_options={"include_obfuscation": False}))
            assert hidden.text == plain.text
            assert hidden.done == plain.done
            for event in hidden.events():
                if isinstance(event, dict):
                    event.pop("obfuscation", None)
            assert len(hidden.body) > len(plain.body)
            fields = sum("obfuscation" in event for event in hidden.events() if isinstance(event, dict))
            assert bool(fields) is (path == SSE)
            assert (b" \n" in hidden.body) is (path == NDJSON)
            for route in ("/v1/completions", "/v1/responses"):
                call = await ask(gate.port, route, {"model": "sim/prose", "prompt": "a", "input": "a", "stream": True})
                assert b"\n: " in call.body or call.body.startswith(b": ")
                assert all(isinstance(event, dict) or event == "[DONE]" for event in call.events())

    run(case())
