"""Making one connection: name, TCP, proxy, TLS; and the one error that each of them fails with."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final, cast
from urllib.parse import SplitResult

from tidegate.errors import ConfigError, ConnectionRefused, NameNotResolved, ProxyFailed, TlsFailed
from tidegate.upstream.connection import Connection
from tidegate.upstream.options import UpstreamOptions
from tidegate.upstream.proxy import Proxy, proxy_for

__all__ = ["Dialer"]

MAX_PROXY_HEAD: Final = 16384


class Dialer:
    """Connects to one upstream.

    :raises ConfigError: the CA file or the proxy's URL cannot be used.
    """

    def __init__(self, options: UpstreamOptions, url: SplitResult, environ: Mapping[str, str]) -> None:
        self._name = options.name
        self._host = url.hostname or ""
        self._port = url.port or (443 if url.scheme == "https" else 80)
        self._tls = _context(options) if url.scheme == "https" else None
        self._receive_buffer = options.receive_buffer
        self.proxy: Proxy | None = proxy_for(url, environ) if options.trust_env else None

    async def connect(self, make: Callable[[], Connection]) -> Connection:
        """One connection, ready for its first request.

        :raises NameNotResolved: DNS does not know the host.
        :raises ConnectionRefused: nobody listens there, or there is no way to it.
        :raises TlsFailed: the handshake failed.
        :raises ProxyFailed: the proxy cannot be reached or does not want to.
        """
        if self.proxy is not None and self._tls is not None:
            return await self._through(self.proxy, make)
        host, port = (self._host, self._port) if self.proxy is None else (self.proxy.host, self.proxy.port)
        try:
            connection: Connection = await self._dial(host, port, make, self._tls)
        except (NameNotResolved, ConnectionRefused) as error:
            if self.proxy is not None:
                raise ProxyFailed(f"The proxy for upstream '{self._name}' cannot be reached.") from error
            raise
        return connection

    async def _dial(self, host: str, port: int, make: Callable[[], Any], tls: ssl.SSLContext | None) -> Any:
        loop = asyncio.get_running_loop()
        try:
            transport, protocol = await loop.create_connection(
                make, host, port, ssl=tls, server_hostname=self._host if tls is not None else None
            )
        except socket.gaierror:
            raise NameNotResolved(f"The host of upstream '{self._name}' ({host}) has no address.") from None
        except ssl.SSLError as error:
            raise self._tls_failed(error) from None
        except (ConnectionResetError, ConnectionAbortedError) as error:
            if tls is not None:
                raise self._tls_failed(error) from None
            raise self._refused(host, port) from None
        except (OSError, UnicodeError):
            raise self._refused(host, port) from None
        if self._receive_buffer:
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        return protocol

    async def _through(self, proxy: Proxy, make: Callable[[], Connection]) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            tunnel: _Tunnel = await self._dial(proxy.host, proxy.port, _Tunnel, None)
        except (NameNotResolved, ConnectionRefused):
            raise ProxyFailed(f"The proxy for upstream '{self._name}' cannot be reached.") from None
        transport = tunnel.transport
        try:
            await tunnel.open(self._connect_request(proxy), self._name)
            connection = make()
            secure = await loop.start_tls(
                transport, connection, cast(ssl.SSLContext, self._tls), server_hostname=self._host
            )
            if secure is None:
                raise ConnectionResetError
        except (ssl.SSLError, OSError) as error:
            transport.abort()
            raise self._tls_failed(error) from None
        except BaseException:
            transport.abort()
            raise
        if connection.transport is None:  # asyncio does not tell the protocol of its new transport, uvloop does
            connection.connection_made(secure)
        connection.transport = secure
        return connection

    def _connect_request(self, proxy: Proxy) -> bytes:
        host = f"[{self._host}]" if ":" in self._host else self._host
        lines = [f"CONNECT {host}:{self._port} HTTP/1.1", f"host: {host}:{self._port}"]
        if proxy.authorization is not None:
            lines.append(f"proxy-authorization: {proxy.authorization}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")

    def _refused(self, host: str, port: int) -> ConnectionRefused:
        return ConnectionRefused(f"Upstream '{self._name}' ({host}:{port}) does not accept connections.")

    def _tls_failed(self, error: Exception) -> TlsFailed:
        why = getattr(error, "verify_message", "") or getattr(error, "reason", "") or "the peer closed the connection"
        return TlsFailed(
            f"The TLS handshake with upstream '{self._name}' failed: {str(why).lower().replace('_', ' ')}."
        )


class _Tunnel(asyncio.Protocol):
    """The answer to CONNECT."""

    def __init__(self) -> None:
        self.transport: Any = None
        self._head = b""
        self._answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._head += data
        if b"\r\n\r\n" in self._head or len(self._head) > MAX_PROXY_HEAD:
            self.transport.pause_reading()
            self._settle(self._head)

    def connection_lost(self, exc: Exception | None) -> None:
        self._settle(b"")

    def _settle(self, head: bytes) -> None:
        if not self._answered.done():
            self._answered.set_result(head)

    async def open(self, request: bytes, name: str) -> None:
        self.transport.write(request)
        head = await self._answered
        status = head.split(b" ", 2)[1:2]
        if not head.startswith(b"HTTP/1.") or status != [b"200"] or not head.endswith(b"\r\n\r\n"):
            code = status[0].decode("latin-1")[:3] if status and status[0][:3].isdigit() else "no HTTP status"
            raise ProxyFailed(f"The proxy for upstream '{name}' refused the connection ({code}).")
        self.transport.resume_reading()


def _context(options: UpstreamOptions) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"upstream '{options.name}': ca_file {options.ca_file!r} cannot be used: "
            f"{getattr(error, 'strerror', None) or 'not a PEM file of certificates'}."
        ) from None
    context.set_alpn_protocols(["http/1.1"])
    if not options.tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
