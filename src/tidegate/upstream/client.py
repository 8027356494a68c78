"""One upstream made ready: its connections, its keys, and requests in bytes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from tidegate import __version__
from tidegate.errors import (
    ConfigError,
    ConnectionRefused,
    ConnectTimeout,
    Overloaded,
    UpstreamFault,
    UpstreamProtocolError,
)
from tidegate.upstream.connection import Connection
from tidegate.upstream.dial import Dialer
from tidegate.upstream.exchange import Exchange, ResponseHead, Sink
from tidegate.upstream.keys import Key, KeyPool
from tidegate.upstream.options import UpstreamOptions
from tidegate.upstream.pool import Pool
from tidegate.upstream.secrets import Redactor, resolve

__all__ = ["UpstreamClient"]

_REMEMBERED: Final = 256
_MAX_REMEMBERED: Final = 4096
"""Request heads that are remembered, and the bytes of the longest of them."""

_USER_AGENT: Final = f"tidegate/{__version__}".encode("ascii")


class UpstreamClient:
    """Sends requests to one model server. Made without touching the network.

    :raises ConfigError: a secret, the CA file, the base URL or the proxy cannot be used.
    """

    def __init__(self, options: UpstreamOptions, *, environ: Mapping[str, str] = os.environ) -> None:
        self.options = options
        self.name = options.name
        self.keys = KeyPool()
        self.redactor = Redactor()
        self.tells_usage: bool | None = None if options.ask_usage else False
        """Whether it takes ``stream_options.include_usage``; ``None`` as long as nobody knows."""
        self._environ = environ
        try:
            url = urlsplit(options.base_url)
            port = url.port
        except ValueError:
            raise ConfigError(f"upstream '{options.name}': base_url is not a URL.") from None
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ConfigError(f"upstream '{options.name}': base_url must begin with http:// or https://.")
        self._dialer = Dialer(options, url, environ)
        host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
        self._host = host if port is None else f"{host}:{port}"
        # A proxy for plain http is asked with the whole URL (RFC 9112 §3.2.2).
        absolute = url.scheme == "http" and self._dialer.proxy is not None
        self._prefix = (f"http://{self._host}" if absolute else "") + url.path.rstrip("/")
        self._query = f"?{url.query}" if url.query else ""
        self._proxy_authorization = self._dialer.proxy.authorization if absolute and self._dialer.proxy else None
        self._fixed = b""
        self._own: frozenset[bytes] = frozenset()
        self._heads: dict[tuple[str, str, str, tuple[tuple[bytes, bytes], ...]], bytes] = {}
        self._pool = Pool(
            self._connect,
            limit=options.max_connections,
            max_idle=options.max_idle_connections,
            expiry=options.idle_expiry,
        )
        self.reload()

    @property
    def open_connections(self) -> int:
        """Open or being opened, idle ones included."""
        return self._pool.open

    @property
    def idle_connections(self) -> int:
        """Kept for the next request."""
        return self._pool.idle

    def reload(self) -> None:
        """Read the secrets again.

        :raises ConfigError: one is not there; then the old ones stay.
        """
        secrets = [resolve(reference, self._environ) for reference in self.options.api_keys]
        extra = {name.lower(): resolve(value, self._environ) for name, value in self.options.headers.items()}
        fixed = {"host": self._host, "accept-encoding": "identity"}
        if self._proxy_authorization is not None:
            fixed["proxy-authorization"] = self._proxy_authorization
        fixed.update(extra)
        self._fixed = "".join(f"{name}: {value}\r\n" for name, value in fixed.items()).encode("latin-1")
        self._own = frozenset(name.encode("latin-1") for name in fixed)
        self._heads.clear()
        self.keys.reload(secrets)
        hidden = [value for name, value in self.options.headers.items() if value != extra.get(name.lower())]
        self.redactor = Redactor(
            [*secrets, *(extra[name.lower()] for name, value in self.options.headers.items() if value in hidden)]
        )

    async def send(
        self,
        sink: Sink,
        *,
        method: str = "POST",
        path: str,
        headers: Sequence[tuple[bytes, bytes]] = (),
        body: bytes = b"",
        key: Key | None = None,
        fresh: bool = False,
    ) -> Exchange:
        """Send one request; ``sink`` is told of its answer.

        :param path: added to the base URL's path.
        :param headers: names in lower case. Those that the client sends itself win over them.
        :param fresh: never on a kept connection.
        :raises ConnectFailed: no connection within ``connect_timeout``; which kind says why.
        :raises Overloaded: ``max_connections`` are busy and none became free within ``connect_timeout``.
        """
        exchange = None if fresh else self.send_now(sink, method=method, path=path, headers=headers, body=body, key=key)
        if exchange is not None:
            return exchange
        data = self._request(method, path, headers, body, key)
        connection = await self._acquire(fresh)
        return connection.request(data, sink)

    def send_now(
        self,
        sink: Sink,
        *,
        method: str = "POST",
        path: str,
        headers: Sequence[tuple[bytes, bytes]] = (),
        body: bytes = b"",
        key: Key | None = None,
    ) -> Exchange | None:
        """As :meth:`send`, at once, on a kept connection; ``None`` when there is none."""
        connection = self._pool.take_idle()
        if connection is None:
            return None
        return connection.request(self._request(method, path, headers, body, key), sink)

    async def _acquire(self, fresh: bool) -> Connection:
        limit = self.options.connect_timeout
        full = self._pool.open >= self.options.max_connections
        try:
            async with asyncio.timeout(limit):
                return await self._pool.acquire(fresh=fresh)
        except TimeoutError:
            if full:
                raise Overloaded(
                    f"All {self.options.max_connections} connections to upstream '{self.name}' are busy.",
                    retry_after=1.0,
                ) from None
            raise ConnectTimeout(f"Upstream '{self.name}' did not accept a connection within {limit:g} s.") from None
        except ConnectionResetError:
            raise ConnectionRefused(f"Upstream '{self.name}' closed a new connection at once.") from None

    async def _connect(self) -> Connection:
        return await self._dialer.connect(self._connection)

    def _connection(self) -> Connection:
        return Connection(
            name=self.name,
            max_head=self.options.max_head_bytes,
            release=self._pool.release,
            closed=self._pool.closed,
        )

    def _request(
        self, method: str, path: str, headers: Sequence[tuple[bytes, bytes]], body: bytes, key: Key | None
    ) -> bytes:
        asked = method, path, "" if key is None else key.secret, tuple(headers)
        head = self._heads.get(asked)
        if head is None:
            head = self._head(method, path, headers, key)
            if len(head) <= _MAX_REMEMBERED:
                if len(self._heads) >= _REMEMBERED:
                    self._heads.clear()
                self._heads[asked] = head
        if body or method == "POST":
            return b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body)
        return head + b"\r\n"

    def _head(self, method: str, path: str, headers: Sequence[tuple[bytes, bytes]], key: Key | None) -> bytes:
        """A request's head as far as it does not depend on its body. An application sends the same one every time."""
        # The base URL's own query (an API version, say) comes after the request's.
        query = "&" + self._query[1:] if self._query and "?" in path else self._query
        parts = [f"{method} {self._prefix}{path}{query} HTTP/1.1\r\n".encode("ascii"), self._fixed]
        named = set(self._own)
        if key is not None and b"authorization" not in named:
            parts.append(b"authorization: Bearer %b\r\n" % key.secret.encode("ascii"))
            named.add(b"authorization")
        agent = True
        for name, value in headers:
            # What a server in front of us let through must not become a header of ours.
            if name not in named and not _splits(name) and not _splits(value):
                parts.append(b"%b: %b\r\n" % (name, value))
                agent = agent and name != b"user-agent"
        if agent and b"user-agent" not in named:
            parts.append(b"user-agent: %b\r\n" % _USER_AGENT)
        return b"".join(parts)

    async def fetch(
        self,
        path: str,
        *,
        method: str = "GET",
        headers: Sequence[tuple[bytes, bytes]] = (),
        body: bytes = b"",
        key: Key | None = None,
        limit: int = 1 << 20,
        timeout: float = 5.0,
    ) -> tuple[ResponseHead, bytes]:
        """A small answer as a whole.

        :param limit: bytes of its body.
        :param timeout: seconds for everything.
        :raises UpstreamFault: it failed, or is larger.
        :raises TimeoutError: it took longer.
        """
        whole = _Whole(limit)
        async with asyncio.timeout(timeout):
            exchange = await self.send(whole, method=method, path=path, headers=headers, body=body, key=key)
            whole.exchange = exchange
            try:
                return await whole.result
            finally:
                exchange.abort()

    async def close(self) -> None:
        """Abort everything; leaves no socket and no timer."""
        await self._pool.close()


class _Whole:
    """Collects an answer."""

    def __init__(self, limit: int) -> None:
        self.result: asyncio.Future[tuple[ResponseHead, bytes]] = asyncio.get_running_loop().create_future()
        self.exchange: Exchange | None = None
        self._limit = limit
        self._head: ResponseHead | None = None
        self._parts: list[bytes] = []
        self._size = 0

    def on_head(self, head: ResponseHead) -> None:
        self._head = head

    def on_data(self, data: bytes, framed: bytes | None) -> None:
        self._size += len(data)
        if self._size > self._limit:
            if self.exchange is not None:
                self.exchange.abort()
            self.on_lost(UpstreamProtocolError(f"The answer is larger than {self._limit} bytes."))
        else:
            self._parts.append(data)

    def on_end(self) -> None:
        if self._head is not None and not self.result.done():
            self.result.set_result((self._head, b"".join(self._parts)))

    def on_lost(self, error: UpstreamFault) -> None:
        if not self.result.done():
            self.result.set_exception(error)


def _splits(text: bytes) -> bool:
    return text.find(b"\r") >= 0 or text.find(b"\n") >= 0 or text.find(b"\0") >= 0
