"""server/compression.py: for whom an answer is compressed, and how it leaves; tests/e2e has it through sockets."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import MutableMapping
from typing import Any

import pytest

from tests.fakes.downstream import Written
from tidegate.server.coding import Gzip
from tidegate.server.compression import Compressed, Mode, coder_for, compressed_send, compressible

SSE = [(b"content-type", b"text/event-stream; charset=utf-8")]
JSON = [(b"content-type", b"application/json")]


def scope(**headers: str) -> dict[str, Any]:
    return {"headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]}


@pytest.mark.parametrize(
    ("mode", "headers", "asked", "compressed"),
    [
        ("auto", {"accept_encoding": "gzip"}, False, False),
        ("auto", {"accept_encoding": "gzip", "sec_fetch_mode": "cors"}, False, True),
        ("auto", {"accept_encoding": "gzip", "save_data": "On "}, False, True),
        ("auto", {"accept_encoding": "gzip", "save_data": "off"}, False, False),
        ("auto", {"accept_encoding": "gzip"}, True, True),
        ("auto", {"accept_encoding": "br", "save_data": "on"}, True, False),
        ("auto", {"sec_fetch_mode": "cors"}, True, False),
        ("on", {"accept_encoding": "gzip"}, False, True),
        ("on", {"accept_encoding": "identity"}, False, False),
        ("on", {}, False, False),
        ("on", {"accept_encoding": "gzip", "cache_control": "max-age=0, No-Transform"}, False, False),
        ("off", {"accept_encoding": "gzip", "sec_fetch_mode": "cors", "save_data": "on"}, True, False),
    ],
)
def test_who_gets_it_compressed(mode: Mode, headers: dict[str, str], asked: bool, compressed: bool) -> None:
    assert (coder_for(scope(**headers), mode, asked=asked) is not None) is compressed


@pytest.mark.parametrize(
    ("status", "headers", "length", "found"),
    [
        (200, SSE, None, True),
        (200, JSON, 512, True),
        (200, JSON, 511, False),
        (502, JSON, 600, True),
        (204, JSON, None, False),
        (206, JSON, None, False),
        (200, [*SSE, (b"content-encoding", b"gzip")], None, False),
        (200, [(b"content-type", b"audio/mpeg")], None, False),
        (200, [], None, False),
    ],
)
def test_what_gets_smaller(status: int, headers: list[tuple[bytes, bytes]], length: int | None, found: bool) -> None:
    assert compressible(status, headers, length) is found


def test_whole_chunks_are_opened() -> None:
    down = Written()
    coded = Compressed(down, Gzip)
    coded.start(200, SSE)
    assert (down.headers[b"content-encoding"], down.headers[b"vary"]) == (b"gzip", b"accept-encoding")
    decode = zlib.decompressobj(31).decompress
    assert (coded.framed, coded.direct) == (True, None)
    coded.write_framed(b"3\r\nabc\r\n")
    coded.write_framed(b"3\r\nabc\r\nA\r\n0123456789\r\n")
    coded.write(b"d")
    assert [decode(each) for each in down.writes] == [b"abc", b"abc0123456789", b"d"]
    coded.finish(b"e")
    assert decode(down.writes[-1]) == b"e"
    assert down.finished


def test_what_stays_as_it_is_costs_nothing_more() -> None:
    down = Written(framed=True)
    plain = Compressed(down, Gzip)
    plain.start(200, [(b"content-type", b"audio/mpeg")])
    plain.write(b"a")
    plain.write_framed(b"b")
    plain.finish(b"c")
    assert down.writes == [b"a", b"b", b"c"]
    assert b"content-encoding" not in down.headers
    assert plain.framed


@pytest.mark.parametrize("flows", [False, True])
def test_a_body_of_known_length_gets_its_own(flows: bool) -> None:
    down = Written()
    coded = Compressed(down, Gzip)
    coded.start(200, JSON, 3000)
    if flows:
        coded.write(b"x" * 1000)
    coded.finish(b"x" * (2000 if flows else 3000))
    assert zlib.decompress(down.body, 31) == b"x" * 3000
    assert down.headers.get(b"content-length") == (None if flows else b"%d" % len(down.body))


def test_an_abort_is_one() -> None:
    down = Written()
    coded = Compressed(down, Gzip)
    coded.start(200, SSE)
    coded.abort()
    coded.abort()
    assert down.aborted


def sent(*messages: MutableMapping[str, Any]) -> list[MutableMapping[str, Any]]:
    """What leaves when an application sends these."""
    found: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        found.append(message)

    async def case() -> None:
        coded = compressed_send(send, Gzip)
        for message in messages:
            await coded(message)

    asyncio.run(case())
    return found


def start(headers: list[tuple[bytes, bytes]], status: int = 200) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(data: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def test_an_asgi_body_is_compressed_as_a_whole() -> None:
    head, rest = sent(start([*JSON, (b"content-length", b"2000")]), body(b"x" * 2000))
    assert zlib.decompress(rest["body"], 31) == b"x" * 2000
    assert dict(head["headers"])[b"content-length"] == b"%d" % len(rest["body"])


def test_an_asgi_body_in_pieces_is_flushed_with_each() -> None:
    head, *pieces = sent(start(SSE), body(b"", more=True), body(b"a", more=True), body(b"b", more=True), body(b""))
    decode = zlib.decompressobj(31).decompress
    assert [decode(piece["body"]) for piece in pieces] == [b"", b"a", b"b", b""]
    assert dict(head["headers"])[b"content-encoding"] == b"gzip"


def test_a_small_asgi_body_stays_as_it_is() -> None:
    head, rest = sent(start([*JSON, (b"content-length", b"2")]), body(b"{}"))
    assert rest["body"] == b"{}"
    assert dict(head["headers"]) == {
        b"content-type": b"application/json",
        b"content-length": b"2",
        b"vary": b"accept-encoding",
    }
    assert sent({"type": "other"}) == [{"type": "other"}]
    head, *_ = sent(start([(b"content-type", b"image/png")]), body(b"x", more=True), body(b"y"))
    assert dict(head["headers"]) == {b"content-type": b"image/png"}
