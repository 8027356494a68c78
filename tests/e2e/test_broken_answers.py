"""Answers that break in their bytes: what no framework would send, written to a real socket; on all four faces."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.e2e.faces import assert_refused, assert_success, assert_told, face, question
from tests.fakes.gateway import Rig, gateway, run, upstream
from tests.fakes.reader import Reader, ask, request_bytes
from tests.upstream.peer import serving
from tidegate.wire.sse import DONE, encode_sse

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
CLOSED = HEAD + b"connection: close\r\n\r\n"


def event(content: str | None, finish: str | None = None) -> bytes:
    delta = {} if content is None else {"content": content}
    body: dict[str, Any] = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return encode_sse(json.dumps({**body, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}).encode())


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


SAID = (event("Twice"), event(" a"), event(" day"))
BODY = b"".join(SAID)


@asynccontextmanager
async def answered(
    data: bytes, *, fast: bool, reset: asyncio.Event | None = None, **options: Any
) -> AsyncIterator[Rig]:
    """A gateway whose upstream sends ``data`` and closes: FIN, or RST when ``reset`` is set."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        (length,) = (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        writer.write(data)
        await writer.drain()
        if reset is not None:
            await reset.wait()
            Reader(reader, writer).hang_up()

    async with (
        serving(answer) as port,
        gateway(upstream(f"http://127.0.0.1:{port}/v1"), fast=fast, retry_attempts=0, **options) as gate,
    ):
        yield gate


CUTS = {
    "fin-of-a-close-framed-body": CLOSED + BODY,
    "fin-before-its-length": HEAD + b"content-length: 99999\r\n\r\n" + BODY,
    "fin-between-two-chunks": CHUNKED + chunked(*SAID),
    "fin-inside-a-chunk": CHUNKED + chunked(*SAID) + b"ffff\r\n" + event(" and")[:30],
    "fin-inside-a-chunk-size": CHUNKED + chunked(*SAID) + b"f",
    "fin-inside-an-event": CLOSED + BODY + event(" and")[:30],
    "end-inside-an-event": CHUNKED + chunked(*SAID, event(" and")[:30]) + b"0\r\n\r\n",
    "end-before-the-events-last-byte": CHUNKED + chunked(*SAID, event(" and")[:-1]) + b"0\r\n\r\n",
    "end-inside-the-finish-reason": CHUNKED + chunked(*SAID, event(None, "stop")[:-12]) + b"0\r\n\r\n",
    "end-inside-a-character": CHUNKED + chunked(*SAID, event(" ñ").partition(b"u00f1")[0]) + b"0\r\n\r\n",
    "done-without-finish": CLOSED + BODY + DONE,
}


@face
@pytest.mark.parametrize("cut", CUTS)
def test_an_answer_that_ends_early_is_a_cut(fast: bool, path: str, cut: str) -> None:
    """What came whole was delivered, what did not was not; and no end marker."""

    async def case() -> None:
        async with answered(CUTS[cut], fast=fast) as gate:
            reader = await ask(gate.port, path, question("m"))
            assert_told(reader, "upstream_cut", "Twice a day")
            record = await gate.ended()
            assert (record.reason, record.tokens, record.status) == ("upstream_cut", 3, 200)

    run(case())


@face
@pytest.mark.parametrize("tail", [b"", event(" and")[:30]], ids=["between-events", "inside-an-event"])
def test_a_reset_after_some_tokens_is_a_cut(fast: bool, path: str, tail: bytes) -> None:
    """It comes once the reader has the tokens: a reset may take away what was not read before it."""

    async def case() -> None:
        reset = asyncio.Event()
        async with answered(CHUNKED + chunked(*SAID, *([tail] if tail else [])), fast=fast, reset=reset) as gate:
            reader = await Reader.connect(gate.port)
            reader.send(request_bytes(path, json.dumps(question("m")).encode()))
            await reader.head()
            await reader.until(b" day")
            reset.set()
            await reader.rest()
            assert_told(reader, "upstream_cut", "Twice a day")
            assert (await gate.ended()).reason == "upstream_cut"
            await reader.close()

    run(case())


BROKEN = {
    "a-chunk-size-that-is-none": CHUNKED + chunked(*SAID) + b"zz\r\n" + event(" and"),
    "a-chunk-without-its-end": CHUNKED + chunked(*SAID) + b"2\r\nabcdef\r\n0\r\n\r\n",
}


@face
@pytest.mark.parametrize("broken", BROKEN)
def test_framing_that_breaks_in_the_middle_is_told(fast: bool, path: str, broken: str) -> None:
    """Nothing behind it can be believed."""

    async def case() -> None:
        async with answered(BROKEN[broken], fast=fast) as gate:
            reader = await ask(gate.port, path, question("m"))
            assert_told(reader, "upstream_protocol_error", "Twice a day")
            assert (await gate.ended()).reason == "upstream_error"

    run(case())


JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
ERROR = b'{"error":{"message":"Fire","code":"fire"}}'

REFUSED: dict[str, tuple[bytes, int, str]] = {
    "nothing": (b"", 502, "upstream_cut"),
    "half-a-head": (HEAD, 502, "upstream_cut"),
    "a-head-and-nothing": (CLOSED, 502, "upstream_cut"),
    "an-empty-body": (CHUNKED + b"0\r\n\r\n", 502, "upstream_cut"),
    "not-http": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", 502, "upstream_protocol_error"),
    "a-header-without-colon": (HEAD + b"nonsense\r\n\r\n" + BODY, 502, "upstream_protocol_error"),
    "a-length-that-is-none": (HEAD + b"content-length: ten\r\n\r\n" + BODY, 502, "upstream_protocol_error"),
    "two-lengths": (
        HEAD + b"content-length: 5\r\ncontent-length: 50\r\n\r\n" + BODY,
        502,
        "upstream_protocol_error",
    ),
    "a-header-that-does-not-end": (HEAD + b"x-filler: " + b"y" * 2_000_000, 502, "upstream_protocol_error"),
    "an-unknown-coding": (HEAD + b"content-encoding: br\r\n\r\n" + BODY, 502, "upstream_protocol_error"),
    "an-error-as-json": (JSON + b"content-length: %d\r\n\r\n%b" % (len(ERROR), ERROR), 502, "fire"),
    "half-an-error-as-json": (JSON + b"content-length: %d\r\n\r\n%b" % (20, ERROR[:20]), 502, "upstream_cut"),
    "json-before-its-length": (JSON + b"content-length: %d\r\n\r\n%b" % (99, ERROR), 502, "upstream_cut"),
}


@face
@pytest.mark.parametrize("answer", REFUSED)
def test_an_answer_without_a_token_is_a_status(fast: bool, path: str, answer: str) -> None:
    """Never 200."""
    data, status, code = REFUSED[answer]

    async def case() -> None:
        async with answered(data, fast=fast) as gate:
            reader = await ask(gate.port, path, question("m"))
            assert_refused(reader, status, code)
            assert (await gate.ended()).status == status

    run(case())


@face
def test_a_compressed_answer_that_is_cut_is_told(fast: bool, path: str) -> None:
    """Whatever its framing says; and what could be unpacked was delivered."""

    packer = zlib.compressobj(wbits=31)
    begun = packer.compress(BODY) + packer.flush(zlib.Z_SYNC_FLUSH)
    rest = packer.compress(event(None, "stop") + DONE) + packer.flush()
    head = HEAD + b"content-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n"

    async def case() -> None:
        async with answered(head + chunked(begun, rest) + b"0\r\n\r\n", fast=fast) as gate:
            assert_success(await ask(gate.port, path, question("m")), path, "Twice a day")
        async with answered(head + chunked(begun) + b"0\r\n\r\n", fast=fast) as gate:
            assert_told(await ask(gate.port, path, question("m")), "upstream_cut", "Twice a day")

    run(case())


INVALID = {
    "json": encode_sse(b'{"choices":[{"delta":{"content":"brok'),
    "utf-8": encode_sse(b'{"choices":[{"index":0,"delta":{"content":"\xc3\x28"}}]}'),
    "an-array": encode_sse(b"[1,2]"),
    "a-number": encode_sse(b"17"),
}


@face
@pytest.mark.parametrize("invalid", INVALID)
@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_an_invalid_event_is_skipped_and_counted_or_fatal(fast: bool, path: str, invalid: str, place: int) -> None:
    """Wherever it stands; and the reader never sees a byte of it."""
    parts = [*SAID[:place], INVALID[invalid], *SAID[place:], event(None, "stop"), DONE]
    data = CHUNKED + chunked(*parts) + b"0\r\n\r\n"

    async def case() -> None:
        async with answered(data, fast=fast) as gate:
            reader = await ask(gate.port, path, question("m"))
            assert_success(reader, path, "Twice a day")
            assert (await gate.ended()).malformed == 1
        async with answered(data, fast=fast, malformed="fatal") as gate:
            reader = await ask(gate.port, path, question("m"))
            if place == 0:
                assert_refused(reader, 502, "malformed_event")
            else:
                assert_told(reader, "malformed_event", "".join(["Twice", " a", " day"][:place]))

    run(case())
