"""The same answers on phones: each has a slow link of its own, and gets them with gzip and without."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

from tidegate.bench.abandonment import Reader
from tidegate.bench.link import Link
from tidegate.bench.visible import PlainText, Screen
from tidegate.bench.ways import Seat, Way
from tidegate.upstream.connection import Connection
from tidegate.wire.openai_chat import encode_json

__all__ = ["Coding", "Mobile", "Phones"]

_PATIENCE: Final = 60.0
"""Seconds for one answer."""

_MAX_HEAD: Final = 65536
_CODINGS: Final = ("identity", "gzip")


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """With gzip, or without. Medians; ``None`` where no answer was read."""

    bytes_per_token: float | None
    """On the link, with all headers."""
    cpu_per_token: float | None
    """Seconds of the gateway."""
    painted: float | None
    """Seconds from the request, connecting included, to the first visible text."""
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mobile:
    """One way, on phones."""

    phones: int
    shaped: str
    """What the kernel does to what is sent to a phone."""
    plain: Coding
    gzip: Coding


@dataclass(frozen=True, slots=True)
class Phones:
    """Some of them, and the gateway that they reach: its address and process id."""

    links: Sequence[Link]
    url: str
    pid: int

    async def warm(self, reader: Reader, way: Way) -> None:
        """Ask what is not measured: a gateway's first answers, and what it does after them, cost more than others."""
        short = replace(reader, ttft=0.0, tokens=2)
        for coding in _CODINGS:
            await _read(self.links[0], short, way, self.url, coding, PlainText())

    async def ask(self, people: Sequence[Reader], way: Way, screen: Callable[[], Screen]) -> Mobile:
        """Each reader on a phone, all at once; nobody leaves."""
        plain, gzip = [await _with(self, coding, people, way, screen) for coding in _CODINGS]
        return Mobile(phones=len(self.links), shaped=self.links[0].shaped, plain=plain, gzip=gzip)


async def _with(
    phones: Phones, coding: str, people: Sequence[Reader], way: Way, screen: Callable[[], Screen]
) -> Coding:
    sent, spent = sum(link.sent for link in phones.links), _cpu(phones.pid)
    pairs = zip(phones.links, people, strict=False)
    seats = await asyncio.gather(*(_read(link, one, way, phones.url, coding, screen()) for link, one in pairs))
    sent, spent = sum(link.sent for link in phones.links) - sent, _cpu(phones.pid) - spent
    whole = [seat for seat in seats if seat.end == "complete"]
    if len(whole) < len(seats):
        return Coding(bytes_per_token=None, cpu_per_token=None, painted=None, failed=len(seats) - len(whole))
    tokens = sum(seat.reader.tokens for seat in seats)
    waits = sorted(seat.visible_at - seat.requested_at for seat in seats if seat.visible_at is not None)
    return Coding(
        bytes_per_token=sent / tokens,
        cpu_per_token=spent / tokens,
        painted=waits[len(waits) // 2] if waits else None,
        failed=0,
    )


async def _read(link: Link, reader: Reader, way: Way, url: str, coding: str, screen: Screen) -> Seat:
    """One answer, over a connection of the phone's own."""
    over = asyncio.Event()
    seat = Seat(way, reader, secrets.token_hex(8), screen, over.set)
    loop = asyncio.get_running_loop()
    place = urlsplit(url)
    seat.requested_at = monotonic()
    sock = link.socket()
    connection = Connection(name="gateway", max_head=_MAX_HEAD, release=_nothing, closed=_nothing)
    try:
        async with asyncio.timeout(_PATIENCE):
            sock.setblocking(False)
            await loop.sock_connect(sock, (place.hostname or "", place.port or 80))
            await loop.create_connection(lambda: connection, sock=sock)
            seat.exchange = connection.request(_request(seat, way, place.netloc, coding), seat)
            await over.wait()
    except (OSError, TimeoutError):
        seat.failed()
    finally:
        connection.abort()
        sock.close()
    return seat


def _nothing(_: Connection) -> None:
    """A phone's connection carries one answer."""


def _request(seat: Seat, way: Way, host: str, coding: str) -> bytes:
    accept = {"json": "application/json", "ndjson": "application/x-ndjson", "sse": "text/event-stream"}[way.kind]
    body = encode_json(seat.body)
    head = (
        f"POST {way.path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\naccept: {accept}\r\n"
        f"accept-encoding: {coding}\r\nsave-data: on\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body


def _cpu(pid: int) -> float:
    """Seconds of a process, all threads: of its clock, because a tick of /proc is 10 ms."""
    return time.clock_gettime(~pid << 3 | 2)  # as clock_getcpuclockid(3) makes it
