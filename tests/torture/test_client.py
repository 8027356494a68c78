"""torture/client.py: whatever a server sends is kept as it came, and its ending is called what it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.fakes.gateway import run
from tidegate.torture.client import Client
from tidegate.torture.judge import Observed

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


async def answered(
    data: bytes, *, close: bool = True, quiet: float = 0.3, during: Callable[[Any], Any] | None = None
) -> Observed:
    """What the client makes of a server that sends ``data`` and closes, or does not."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(data)
        if close:
            writer.close()
        else:
            await reader.read()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = Client(urlsplit(f"http://127.0.0.1:{port}/v1/chat/completions"), "m", {"authorization": "Bearer k"})
    connection = await client.connect(5.0)
    connection.transport.write(client.request("Hello"))
    if during is not None:
        await during(connection)
    got = await connection.read(quiet)
    connection.abort()
    server.close()
    await server.wait_closed()
    assert b"authorization: Bearer k" in heard[0]
    return got


@pytest.mark.parametrize(
    ("data", "ending", "body"),
    [
        (CHUNKED + b"3\r\nabc\r\n0\r\n\r\n", "whole", b"abc"),
        (CHUNKED + b"3\r\nabc\r\n", "cut", b"abc"),
        (CHUNKED + b"zebra\r\n", "cut", b""),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", "whole", b"abc"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", "cut", b"abc"),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", "whole", b"abc"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "whole", b""),
        (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + CHUNKED + b"0\r\n\r\n", "whole", b""),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "not http", b""),
        (b"", "cut", b""),
    ],
)
def test_an_ending_is_as_the_framing_says(data: bytes, ending: str, body: bytes) -> None:
    async def case() -> None:
        got = await answered(data)
        assert (got.ending, got.body) == (ending, body)
        assert "link" not in got.headers

    run(case())


def test_silence_is_given_up_and_so_are_endless_bytes() -> None:
    async def case() -> None:
        got = await answered(CHUNKED + b"3\r\nabc\r\n", close=False, quiet=0.1)
        assert (got.ending, got.status, got.body) == ("quiet", 200, b"abc")

    run(case())


def test_it_can_wait_for_what_has_come_so_far() -> None:
    async def case() -> None:
        seen = []

        async def during(connection: Any) -> None:
            seen.append(await connection.until(lambda: b"abc" in connection.body, 5.0))
            seen.append(await connection.until(lambda: b"zebra" in connection.body, 0.05))

        await answered(CHUNKED + b"3\r\nabc\r\n", close=False, quiet=0.1, during=during)
        assert seen == [True, False]

    run(case())


def test_a_request_is_what_was_asked_for() -> None:
    client = Client(urlsplit("http://h:1/v1/chat/completions"), "m", {})
    assert b'"stream": false' in client.request("x", stream=False)
    assert client.request("x", body=b"{half").endswith(b"content-length: 5\r\n\r\n{half")
