"""Compressed answers: for whom, and the two places where it is done.

A stream's is done in :class:`Compressed`, a downstream before the downstream, so that the lanes know nothing of it and
cost nothing more without it. Whatever else is asked for with ``GET`` passes :func:`compressed_send`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Final, Literal

from tidegate.relay.direct import Direct
from tidegate.relay.downstream import BODILESS, Downstream, Reader
from tidegate.server.body import header
from tidegate.server.coding import CODERS, GZIP_ONLY, Coder, accepted
from tidegate.wire.gzip import Gzip

__all__ = ["Compressed", "MakeCoder", "Mode", "coder_for", "compressed_send", "compressible", "unframed"]

Mode = Literal["auto", "on", "off"]
MakeCoder = Callable[[], Coder]
Headers = Sequence[tuple[bytes, bytes]]
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

SMALLEST: Final = 512
"""Bytes of one whole body: a smaller one fits into the packet of its head anyway."""

_KINDS: Final = (b"text/", b"application/json", b"application/x-ndjson", b"application/javascript", b"image/svg")
_VARY: Final = (b"vary", b"accept-encoding")


def coder_for(
    scope: MutableMapping[str, Any], mode: Mode, *, asked: bool = False, hide: bool = False
) -> MakeCoder | None:
    """Whether the answer to a request is compressed, and how.

    :param mode: ``auto`` compresses for browsers, for whoever saves data, and when ``asked``: others are in the same
        data centre, more often than not.
    :param asked: the client's key asks for it.
    :param hide: sizes are hidden, which only gzip can.
    """
    if mode == "off":
        return None
    taken = header(scope, b"accept-encoding")
    if taken is None or taken == b"identity":
        return None
    if mode == "auto" and not asked and not _far_away(scope):
        return None
    if b"no-transform" in (header(scope, b"cache-control") or b"").lower():
        return None
    return accepted(taken, GZIP_ONLY if hide else CODERS)


def _far_away(scope: MutableMapping[str, Any]) -> bool:
    if header(scope, b"sec-fetch-mode") is not None:
        return True
    return (header(scope, b"save-data") or b"").strip().lower() == b"on"


def compressible(status: int, headers: Headers, length: int | None) -> bool:
    """Whether a body gets smaller, and has not been made so already."""
    if status in BODILESS or status == 206 or (length is not None and length < SMALLEST):
        return False
    kind = b""
    for name, value in headers:
        if name == b"content-encoding":
            return False
        if name == b"content-type":
            kind = value
    return kind.startswith(_KINDS)


class Compressed:
    """A :class:`tidegate.relay.downstream.Downstream` before another one.

    :param make: makes the coder, when the first bytes come.
    """

    __slots__ = ("_coder", "_down", "_head", "_make", "_on", "direct", "framed")

    def __init__(self, down: Downstream, make: MakeCoder) -> None:
        self._down = down
        self._make = make
        self._coder: Coder | None = None
        self._on = False
        self._head: tuple[int, Headers] | None = None
        # Whole chunks are opened again, which costs less than what the way without them does.
        self.framed = True
        self.direct: Direct | None = None

    @property
    def coded(self) -> tuple[Gzip, Downstream] | None:
        """For whoever knows what the events look like."""
        return (self._coder, self._down) if isinstance(self._coder, Gzip) else None

    def bind(self, reader: Reader) -> None:
        self._down.bind(reader)

    def start(self, status: int, headers: Headers, length: int | None = None) -> None:
        self._on = compressible(status, headers, length)
        if not self._on:
            self.framed, self.direct = self._down.framed, self._down.direct
            self._down.start(status, headers, length)
            return
        self._coder = self._make()
        headers = [*headers, (b"content-encoding", self._coder.name), _VARY]
        if length is None:
            self._down.start(status, headers)
        else:
            self._head = status, headers  # the coded body's length is another one

    def write(self, data: bytes) -> None:
        if self._coder is None:
            self._down.write(data)
            return
        if self._head is not None:
            (status, headers), self._head = self._head, None
            self._down.start(status, headers)
        self._down.write(self._coder.write(data))

    def write_framed(self, framed: bytes) -> None:
        if self._coder is None:
            self._down.write_framed(framed)
            return
        self._down.write(self._coder.write(unframed(framed)))

    def finish(self, data: bytes = b"") -> None:
        if self._coder is None:
            self._down.finish(data)
            return
        coder, self._coder = self._coder, None
        data = coder.finish(data)
        if self._head is not None:
            status, headers = self._head
            self._down.start(status, headers, len(data))
        self._down.finish(data)

    def abort(self) -> None:
        self._coder = None
        self._down.abort()


def unframed(framed: bytes) -> bytes:
    """The bytes of whole chunks: of one, nearly always."""
    at = framed.find(b"\r\n") + 2
    if framed.find(b"\r\n", at) == len(framed) - 2:
        return framed[at:-2]
    parts, start = [], 0
    while start < len(framed):
        at = framed.index(b"\r\n", start)
        end = at + 2 + int(framed[start:at], 16)
        parts.append(framed[at + 2 : end])
        start = end + 2
    return b"".join(parts)


def compressed_send(send: Send, make: MakeCoder) -> Send:
    """An ASGI ``send`` before another one. A body that comes in pieces is flushed with each of them."""
    start: Message | None = None
    coder: Coder | None = None

    async def coded(message: Message) -> None:
        nonlocal start, coder
        if message["type"] == "http.response.start":
            start = message
            return
        if message["type"] != "http.response.body":
            await send(message)
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if start is not None:
            head, start = start, None
            length = None if more else len(body)
            if compressible(head["status"], head["headers"], length):
                coder = make()
                body = coder.finish(body) if not more else coder.write(body) if body else b""
                head = {**head, "headers": _coded(head["headers"], coder, None if more else len(body))}
                await send(head)
                await send({**message, "body": body})
                return
            if any(name == b"content-type" and value.startswith(_KINDS) for name, value in head["headers"]):
                head = {**head, "headers": [*head["headers"], _VARY]}
            await send(head)
        elif coder is not None:
            body = coder.write(body) if more else coder.finish(body)
        await send({**message, "body": body})

    return coded


def _coded(headers: Headers, coder: Coder, length: int | None) -> list[tuple[bytes, bytes]]:
    kept = [header for header in headers if header[0] != b"content-length"]
    if length is not None:
        kept.append((b"content-length", b"%d" % length))
    return [*kept, (b"content-encoding", coder.name), _VARY]
