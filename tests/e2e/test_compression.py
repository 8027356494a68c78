"""Compressed streams through the running gateway: each event when it comes, on both faces, in both framings."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest
import zstandard

from tests.e2e.faces import SSE, both, face, question
from tests.fakes.gateway import Rig, rig, run, simulator_options, until
from tests.fakes.limited import bearing, gate
from tests.fakes.reader import Reader, ask, request_bytes
from tidegate.policy.keys import hash_key, new_key
from tidegate.policy.options import AuthOptions, StaticKey
from tidegate.safety.profile import SafetyOptions

GZIP = {"accept-encoding": "gzip", "save-data": "on"}
ZSTD = {"accept-encoding": "gzip;q=0.5, zstd", "save-data": "on"}
coded = pytest.mark.parametrize("headers", [GZIP, ZSTD], ids=["gzip", "zstd"])


def decoder(reader: Reader) -> Any:
    if reader.headers["content-encoding"] == "gzip":
        return zlib.decompressobj(31)
    return zstandard.ZstdDecompressor().decompressobj()


async def opened(gate: Rig, path: str, model: str, headers: dict[str, str], **fields: Any) -> Reader:
    reader = await Reader.connect(gate.port)
    reader.send(request_bytes(path, json.dumps(question(model, **fields)).encode(), headers))
    assert await reader.head() == 200
    return reader


@face
@coded
def test_a_compressed_stream_is_the_same_stream(fast: bool, path: str, headers: dict[str, str]) -> None:
    async def case() -> None:
        async with rig(fast=fast) as gate:
            plain = await ask(gate.port, path, question("sim/prose"))
            reader = await opened(gate, path, "sim/prose", headers)
            body = await reader.rest()
            assert reader.headers["vary"] == "accept-encoding"
            assert "no-transform" in reader.headers["cache-control"]
            assert decoder(reader).decompress(body) == plain.body
            assert reader.whole
            assert len(body) < len(plain.body) / 3
            await reader.close()

    run(case())


@face
@coded
def test_the_first_event_comes_before_the_second(fast: bool, path: str, headers: dict[str, str]) -> None:
    """And an error event behind a cut can be read, too."""

    async def case() -> None:
        async with rig(fast=fast, idle_timeout=1.0) as gate:
            reader = await opened(gate, path, "sim/stall-after-1", headers)
            decode, text = decoder(reader), b""
            while b"Twice" not in text:
                text += decode.decompress(await reader.chunk())
            assert len(gate.gateway.relay.registry) == 1, "the stream was over"
            while part := await reader.chunk():
                text += decode.decompress(part)
            assert b"idle_timeout" in text
            assert reader.whole
            await reader.close()

    run(case())


@face
def test_many_tokens_in_one_read_are_all_there(fast: bool, path: str) -> None:
    async def case() -> None:
        async with rig(fast=fast, simulated=simulator_options(tokens=3000, tps=0.0)) as gate:
            plain = await ask(gate.port, path, question("sim/prose"))
            reader = await opened(gate, path, "sim/prose", GZIP)
            assert decoder(reader).decompress(await reader.rest()) == plain.body
            await reader.close()

    run(case())


@both
def test_a_reader_of_a_compressed_stream_who_leaves_stops_the_model(fast: bool) -> None:
    async def case() -> None:
        async with rig(fast=fast, simulated=simulator_options(tokens=5000, tps=50.0)) as gate:
            reader = await opened(gate, SSE, "sim/prose", GZIP)
            await reader.chunk()
            reader.hang_up()
            assert (await gate.ended()).reason == "client_cancel"
            assert gate.simulator is not None
            simulator = gate.simulator
            await until(lambda: simulator.stats()["aborted"] == 1)

    run(case())


@both
def test_whole_answers_and_calls_are_compressed(fast: bool) -> None:
    async def case() -> None:
        async with rig(fast=fast, simulated=simulator_options(tokens=500, tps=0.0)) as gate:
            for path, stream in ((SSE, False), ("/v1/completions", True), ("/v1/completions", False)):
                plain = await ask(gate.port, path, question("sim/prose", stream=stream, prompt="Why?"))
                reader = await ask(gate.port, path, question("sim/prose", stream=stream, prompt="Why?"), GZIP)
                assert reader.headers["content-encoding"] == "gzip"
                assert zlib.decompress(reader.body, 31) == plain.body

    run(case())


@both
def test_the_page_and_what_it_asks_for_are_compressed(fast: bool) -> None:
    async def case() -> None:
        async with rig(fast=fast) as gate:
            browser = {"accept-encoding": "gzip", "sec-fetch-mode": "cors"}
            for path in ("/static/page.js", "/openapi.json"):
                reader = await ask(gate.port, path, None, browser, method="GET")
                assert reader.headers["content-encoding"] == "gzip"
                assert int(reader.headers["content-length"]) == len(reader.body)
                plain = await ask(gate.port, path, None, method="GET")
                assert zlib.decompress(reader.body, 31) == plain.body
            table = await Reader.connect(gate.port)
            table.send(request_bytes("/v1/streams/events", b"", browser, "GET"))
            await table.head()
            assert table.headers["content-encoding"] == "gzip"
            assert b'"live":0' in decoder(table).decompress(await table.chunk())
            await table.close()

    run(case())


@both
def test_who_is_near_gets_it_as_it_is_unless_its_key_asks(fast: bool) -> None:
    near, far = new_key(), new_key()
    auth = AuthOptions(
        keys=(
            StaticKey(id="near", hash=hash_key(near)),
            StaticKey(id="far", hash=hash_key(far), compression=True),
        )
    )

    async def case() -> None:
        async with rig(fast=fast, auth=auth) as gate:
            for key, coding in ((near, None), (far, "gzip")):
                reader = await ask(gate.port, SSE, question("sim/prose"), bearing(key) | {"accept-encoding": "gzip"})
                assert reader.headers.get("content-encoding") == coding
        for mode, coding in (("on", "gzip"), ("off", None)):
            async with rig(fast=fast, server={"compression": mode}) as gate:
                reader = await ask(gate.port, SSE, question("sim/prose"), {"accept-encoding": "gzip"})
                assert reader.headers.get("content-encoding") == coding

    run(case())


@both
def test_a_virtual_key_asks_for_it_and_for_hidden_sizes(fast: bool) -> None:
    async def case() -> None:
        async with gate(fast=fast) as found:
            for spec in ({}, {"compression": True}, {"obfuscation": True}, {"compression": True, "obfuscation": True}):
                key = (await found.key(**spec))["key"]
                reader = await ask(
                    found.rig.port, SSE, question("sim/prose"), bearing(key) | {"accept-encoding": "gzip"}
                )
                coded = reader.headers.get("content-encoding") == "gzip"
                assert coded is spec.get("compression", False)
                body = zlib.decompress(reader.body, 31) if coded else reader.body
                assert b"Twice" in body
                assert (b'"obfuscation":' in body) is (spec == {"obfuscation": True})
                filled = len(reader.body) > len(body) / 2
                assert not coded or filled is spec.get("obfuscation", False)

    run(case())


@face
def test_a_filtered_stream_is_as_small(fast: bool, path: str) -> None:
    """Its events leave in the shape that its express knows."""

    async def case() -> None:
        async with rig(fast=fast, sections={"safety": SafetyOptions(use="default")}) as gate:
            plain = await ask(gate.port, path, question("sim/prose"))
            reader = await ask(gate.port, path, question("sim/prose"), GZIP)
            assert zlib.decompress(reader.body, 31) == plain.body
            assert len(reader.body) < len(plain.body) / 6

    run(case())
