"""upstream/dial.py: names, TCP, TLS and a real CONNECT proxy, each with the one error that it fails with."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme
import uvloop

from tests.fakes.gateway import until
from tests.fakes.ports import unused_port
from tests.upstream.peer import Told, client_for, serving
from tidegate.errors import ConfigError, ConnectionRefused, ConnectTimeout, NameNotResolved, ProxyFailed, TlsFailed
from tidegate.upstream.client import UpstreamClient
from tidegate.upstream.connection import Connection
from tidegate.upstream.dial import Dialer
from tidegate.upstream.options import UpstreamOptions

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"

loops = pytest.mark.parametrize("loop", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
Loop = Callable[[], asyncio.AbstractEventLoop]


def run(case: Callable[[], Coroutine[Any, Any, None]], loop: Loop = uvloop.new_event_loop) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(asyncio.wait_for(case(), 200))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def secure(authority: trustme.CA) -> ssl.SSLContext:
    """What a server with a certificate for localhost needs."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return str(file)


async def good(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(ANSWER)
    await reader.read()


class ConnectProxy:
    """A proxy that opens real tunnels and remembers what it was asked for."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        self.asked: list[str] = []
        self.answer = answer

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head)
        if not head.startswith("CONNECT"):
            writer.write(ANSWER)
            await reader.read()
            return
        for byte in self.answer:  # dribbled
            writer.write(bytes([byte]))
            await writer.drain()
        if b" 200 " not in self.answer:
            return
        host, _, port = head.split(" ")[1].rpartition(":")
        up_reader, up_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(self._pipe(reader, up_writer), self._pipe(up_reader, writer))

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
        finally:
            writer.close()


async def ask(client: UpstreamClient) -> bytes:
    told = Told()
    await client.send(told, method="GET", path="/x")
    return (await told.ended()).body


@loops
def test_tls_with_a_certificate_of_our_own_authority(loop: Loop, secure: ssl.SSLContext, ca_file: str) -> None:
    async def case() -> None:
        async with (
            serving(good, ssl=secure) as port,
            client_for(f"https://localhost:{port}/v1", ca_file=ca_file) as client,
        ):
            assert await ask(client) == b"{}"

    run(case, loop)


@loops
def test_the_receive_buffer_is_as_asked_or_the_systems(loop: Loop) -> None:
    async def case() -> None:
        sizes = {}
        with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as plain:
            for asked in (0, 8192, 32768):
                url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
                dialer = Dialer(UpstreamOptions(name="up", base_url=url, receive_buffer=asked), urlsplit(url), {})
                connection = await dialer.connect(
                    lambda: Connection(name="up", max_head=65536, release=lambda _: None, closed=lambda _: None)
                )
                sock = connection.transport.get_extra_info("socket")
                sizes[asked] = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
                connection.abort()
            assert sizes[0] >= plain.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        assert sizes[8192] < sizes[32768] < sizes[0]

    run(case, loop)


@loops
def test_a_certificate_that_is_not_trusted_or_not_of_that_name_is_refused(
    loop: Loop, secure: ssl.SSLContext, ca_file: str
) -> None:
    async def case() -> None:
        async with serving(good, ssl=secure) as port:
            async with client_for(f"https://localhost:{port}/v1") as client:
                with pytest.raises(TlsFailed, match=r"issuer certificate|self-signed"):
                    await ask(client)
            async with client_for(f"https://127.0.0.1:{port}/v1", ca_file=ca_file) as client:
                with pytest.raises(TlsFailed, match="ip address mismatch"):
                    await ask(client)
            async with client_for(f"https://127.0.0.1:{port}/v1", tls_verify=False) as client:
                assert await ask(client) == b"{}"

    run(case, loop)


@loops
def test_a_peer_that_speaks_no_tls_is_a_tls_failure(loop: Loop) -> None:
    async def speaks_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ANSWER)

    async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async def case() -> None:
        for peer in (speaks_http, closes):
            async with serving(peer) as port, client_for(f"https://127.0.0.1:{port}/v1") as client:
                with pytest.raises(TlsFailed, match="The TLS handshake with upstream 'up' failed"):
                    await ask(client)

    run(case, loop)


@loops
def test_nobody_and_nowhere_have_errors_of_their_own(loop: Loop) -> None:
    async def case() -> None:
        port = unused_port()
        async with client_for(f"http://127.0.0.1:{port}/v1") as client:
            with pytest.raises(ConnectionRefused, match=f"127.0.0.1:{port}.* does not accept"):
                await ask(client)
        async with client_for("http://no-such-host.invalid/v1") as client:
            with pytest.raises(NameNotResolved, match=r"no-such-host\.invalid"):
                await ask(client)
        async with client_for(f"http://{'x' * 70}.invalid/v1") as client:  # no label is that long
            with pytest.raises((ConnectionRefused, NameNotResolved)):
                await ask(client)

    run(case, loop)


@loops
def test_https_goes_through_a_tunnel_and_the_proxy_gets_its_password(
    loop: Loop, secure: ssl.SSLContext, ca_file: str
) -> None:
    """Twice over one connection."""

    async def case() -> None:
        proxy = ConnectProxy()
        async with serving(twice, ssl=secure) as port, serving(proxy) as proxy_port:
            environ = {"https_proxy": f"http://me:secret@127.0.0.1:{proxy_port}"}
            async with client_for(f"https://localhost:{port}/v1", environ, ca_file=ca_file) as client:
                assert [await ask(client), await ask(client)] == [b"{}", b"{}"]
        (head,) = proxy.asked
        assert head.split("\r\n") == [
            f"CONNECT localhost:{port} HTTP/1.1",
            f"host: localhost:{port}",
            "proxy-authorization: Basic bWU6c2VjcmV0",
            "",
            "",
        ]

    run(case, loop)


async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for _ in range(2):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)
    await reader.read()


def test_http_is_asked_of_the_proxy_with_its_whole_address() -> None:
    """And nothing but the proxy is connected to."""

    async def case() -> None:
        proxy = ConnectProxy()
        async with serving(proxy) as proxy_port:
            environ = {"http_proxy": f"http://me:x@127.0.0.1:{proxy_port}"}
            async with client_for("http://no-such-host.invalid/v1", environ) as client:
                assert await ask(client) == b"{}"
        (head,) = proxy.asked
        assert head.startswith("GET http://no-such-host.invalid/v1/x HTTP/1.1\r\nhost: no-such-host.invalid\r\n")
        assert "proxy-authorization: Basic bWU6eA==\r\n" in head

    run(case)


@loops
@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "407"),
        (b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", "502"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "no HTTP status"),
        (b"HTTP/1.1 200x OK\r\n\r\n", "200"),
        (b"", "no HTTP status"),
        (b"HTTP/1.1 407 " + b"x" * 20_000, "407"),
    ],
    ids=["407", "502", "no HTTP", "odd status", "closed", "head bomb"],
)
def test_a_proxy_that_does_not_want_to_is_a_failure_of_its_own(loop: Loop, answer: bytes, says: str) -> None:
    async def case() -> None:
        async with serving(ConnectProxy(answer)) as proxy_port:
            environ = {"https_proxy": f"http://127.0.0.1:{proxy_port}"}
            async with client_for("https://localhost:1/v1", environ) as client:
                with pytest.raises(ProxyFailed, match=rf"refused the connection \({says}\)"):
                    await ask(client)

    run(case, loop)


@loops
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_cannot_be_reached_is_not_taken_for_the_upstream(loop: Loop, scheme: str) -> None:
    async def case() -> None:
        port = unused_port()
        environ = {f"{scheme}_proxy": f"http://127.0.0.1:{port}"}
        async with client_for(f"{scheme}://localhost:1/v1", environ) as client:
            with pytest.raises(ProxyFailed, match="cannot be reached"):
                await ask(client)

    run(case, loop)


@loops
def test_a_tunnel_to_a_peer_without_tls_is_a_tls_failure(loop: Loop) -> None:
    async def case() -> None:
        async def speaks_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(ANSWER)
            await reader.read()

        async with serving(speaks_http) as port, serving(ConnectProxy()) as proxy_port:
            environ = {"https_proxy": f"http://127.0.0.1:{proxy_port}"}
            async with client_for(f"https://localhost:{port}/v1", environ) as client:
                with pytest.raises(TlsFailed):
                    await ask(client)

    run(case, loop)


@loops
def test_a_connect_that_is_cancelled_in_the_tunnel_leaves_no_socket(loop: Loop) -> None:
    """The proxy stalls; the time limit of connecting holds for it too."""

    async def stalls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gone.append(await reader.read())

    gone: list[bytes] = []

    async def case() -> None:
        async with serving(stalls) as proxy_port:
            environ = {"https_proxy": f"http://127.0.0.1:{proxy_port}"}
            async with client_for("https://localhost:1/v1", environ, connect_timeout=0.5) as client:
                with pytest.raises(ConnectTimeout):
                    await ask(client)
                assert client.open_connections == 0
            await until(lambda: bool(gone))
        assert gone[0].startswith(b"CONNECT")

    run(case, loop)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_file_that_cannot_be_used_is_told_at_the_start(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match="ca_file"):
        UpstreamClient(UpstreamOptions(name="up", base_url="https://localhost/v1", ca_file=str(file)), environ={})
