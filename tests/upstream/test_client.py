"""upstream/client.py: what goes over the wire, limits of connections, small answers, and secrets that change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.fakes.gateway import until
from tests.upstream.peer import Told, client_for, serving
from tidegate import __version__
from tidegate.errors import ConfigError, ConnectTimeout, Overloaded, UpstreamCut, UpstreamProtocolError
from tidegate.upstream.client import UpstreamClient
from tidegate.upstream.options import UpstreamOptions


def run(case: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(case(), 200))


class Echo:
    """Answers each request with an empty body and remembers it."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}") -> None:
        self.heads: list[str] = []
        self.answer = answer

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.heads.append(head)
            if "content-length: " in head:
                await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r")[0]))
            writer.write(self.answer)


def lines(head: str) -> list[str]:
    return head.rstrip("\r\n").split("\r\n")


def test_a_request_carries_our_own_headers_once_and_the_key() -> None:
    """What a client or a lax server lets through cannot replace them, nor become further headers."""

    async def case() -> None:
        echo = Echo()
        async with (
            serving(echo) as port,
            client_for(
                f"http://127.0.0.1:{port}/v1/?api-version=1",
                {"ORG": "org-1"},
                api_keys=("key-0123456789",),
                headers={"X-Org": "env:ORG"},
            ) as client,
        ):
            told = Told()
            headers = [
                (b"host", b"evil"),
                (b"authorization", b"Bearer other"),
                (b"x-org", b"theirs"),
                (b"x-good", b"1"),
                (b"x-bad", b"1\r\nx-injected: 1"),
                (b"x-\nbad", b"1"),
            ]
            key = client.keys.take(0.0)
            await client.send(told, path="/chat", headers=headers, body=b"{}", key=key)
            await told.ended()
            assert client.redactor.found(b"key-0123456789")
        assert lines(echo.heads[0]) == [
            "POST /v1/chat?api-version=1 HTTP/1.1",
            f"host: 127.0.0.1:{port}",
            "accept-encoding: identity",
            "x-org: org-1",
            "authorization: Bearer key-0123456789",
            "x-good: 1",
            f"user-agent: tidegate/{__version__}",
            "content-length: 2",
        ]

    run(case)


def test_the_applications_user_agent_passes_and_a_configured_authorization_wins() -> None:
    async def case() -> None:
        echo = Echo()
        async with (
            serving(echo) as port,
            client_for(
                f"http://127.0.0.1:{port}", api_keys=("unused-key",), headers={"authorization": "Basic eA=="}
            ) as c,
        ):
            told = Told()
            await c.send(told, method="GET", path="/x", headers=[(b"user-agent", b"sdk/1")], key=c.keys.take(0.0))
            await told.ended()
        assert lines(echo.heads[0])[1:] == [
            f"host: 127.0.0.1:{port}",
            "accept-encoding: identity",
            "authorization: Basic eA==",
            "user-agent: sdk/1",
        ]

    run(case)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://h/v1", "must begin with http"),
        ("http:///v1", "must begin with http"),
        ("http://h:port/v1", "is not a URL"),
    ],
)
def test_an_address_that_is_none_is_told_at_the_start(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        UpstreamClient(UpstreamOptions(name="up", base_url=url), environ={})


def test_an_ipv6_address_keeps_its_brackets() -> None:
    client = UpstreamClient(UpstreamOptions(name="up", base_url="http://[::1]:8000/v1"), environ={})
    assert b"host: [::1]:8000\r\n" in client._request("GET", "/x", (), b"", None)


def test_a_connection_is_kept_for_the_next_request_and_not_for_a_fresh_one() -> None:
    async def case() -> None:
        async with serving(Echo()) as port, client_for(f"http://127.0.0.1:{port}") as client:
            assert client.send_now(Told(), path="/x") is None
            for fresh, reused in ((False, False), (False, True), (True, False)):
                told = Told()
                exchange = await client.send(told, path="/x", fresh=fresh)
                assert exchange.reused == reused
                await told.ended()
            assert client.open_connections == client.idle_connections == 2

    run(case)


def test_when_every_connection_is_busy_the_next_request_waits_and_then_is_refused() -> None:
    async def stalls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def case() -> None:
        async with (
            serving(stalls) as port,
            client_for(f"http://127.0.0.1:{port}", max_connections=1, connect_timeout=1.0) as client,
        ):
            busy = await client.send(Told(), path="/x")
            with pytest.raises(Overloaded, match="All 1 connections") as raised:
                await client.send(Told(), path="/x")
            assert raised.value.retry_after == 1.0
            waiting = asyncio.create_task(client.send(Told(), path="/x"))
            await until(lambda: client._pool.waiting == 1)
            busy.abort()
            await waiting

    run(case)


def test_a_small_answer_is_fetched_as_a_whole() -> None:
    async def case() -> None:
        async with serving(Echo()) as port, client_for(f"http://127.0.0.1:{port}") as client:
            head, body = await client.fetch("/models")
            assert (head.status, body) == (200, b"{}")
            with pytest.raises(UpstreamProtocolError, match="larger than 1 bytes"):
                await client.fetch("/models", limit=1)
        half = Echo(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{")
        async with serving(half) as port, client_for(f"http://127.0.0.1:{port}") as client:
            with pytest.raises(TimeoutError):
                await client.fetch("/models", timeout=0.05)
            assert client.idle_connections == 0

        async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)

        async with serving(closes) as port, client_for(f"http://127.0.0.1:{port}") as client:
            with pytest.raises(UpstreamCut):
                await client.fetch("/models")

    run(case)


def test_secrets_are_read_again_and_a_failure_changes_nothing() -> None:
    async def case() -> None:
        environ = {"KEY": "first-secret"}
        async with client_for("http://127.0.0.1:9", environ, api_keys=("env:KEY",)) as client:
            environ["KEY"] = "second-secret"
            client.reload()
            key = client.keys.take(0.0)
            assert key is not None
            assert key.secret == "second-secret"
            del environ["KEY"]
            with pytest.raises(ConfigError, match="KEY"):
                client.reload()
            again = client.keys.take(0.0)
            assert again is key
            assert client.redactor.found(b"second-secret")

    run(case)


def test_a_time_limit_holds_for_connecting() -> None:
    async def case() -> None:
        async with client_for("http://127.0.0.1:9", connect_timeout=0.05) as client:

            async def never() -> Any:
                await asyncio.sleep(3600)

            client._dialer.connect = lambda make: never()  # type: ignore[method-assign]
            with pytest.raises(ConnectTimeout, match=r"within 0\.05 s"):
                await client.send(Told(), path="/x")
            assert client.open_connections == 0

    run(case)
