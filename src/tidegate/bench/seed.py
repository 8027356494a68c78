"""The proof that streaming pays: the same readers, the same answers, three ways of delivering them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from statistics import median, quantiles
from time import monotonic

from tidegate.bench.abandonment import Abandonment, Reader, readers
from tidegate.bench.devtools import Browser, chromium
from tidegate.bench.far_end import FarEnd
from tidegate.bench.link import NoLink, links
from tidegate.bench.memory import MemoryWatch
from tidegate.bench.mobile import Mobile, Phones
from tidegate.bench.pages import perceived
from tidegate.bench.processes import gateway, simulator
from tidegate.bench.visible import PlainText, Screen
from tidegate.bench.ways import WAYS, Seat, Way
from tidegate.errors import TidegateError
from tidegate.upstream.client import UpstreamClient
from tidegate.upstream.options import UpstreamOptions
from tidegate.wire.openai_chat import encode_json

__all__ = ["Filtered", "SeedOptions", "Spread", "WayResult", "measure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedOptions:
    """The defaults are a large model's profile. Seconds."""

    streams: int = 50
    """Readers at any moment."""
    readers: int = 200
    """In all, for each way."""
    ttft: tuple[float, float] = (0.38, 0.65)
    answer: tuple[float, float] = (3.0, 8.0)
    tps: float = 40.0
    abandonment: Abandonment = field(default_factory=Abandonment)
    seed: int = 1
    screen: Callable[[], Screen] = PlainText
    screen_name: str = "plain text"
    """What ``screen`` is, for the table."""
    browser: str | None = None
    """A Chromium in whose windows the gateway's page is asked the same, if there is one."""
    pages: int = 10
    """How often, for each way."""
    safety: str = ""
    """A safety profile through which the same readers get their events once more; empty: they do not."""
    phones: int = 0
    """That are asked the same behind a slow link each."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Seconds: the median, and the values that a tenth is below and above."""

    p10: float
    p50: float
    p90: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Filtered:
    """What a safety profile adds: medians over the readers who stayed to the end with it and without."""

    profile: str
    readers: int
    total: float
    """Share of the time until the answer was whole."""
    ttft: float
    """Seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WayResult:
    """One way, measured. Shares are of all readers; bytes."""

    way: str
    readers: int
    complete: int
    impatient: int
    distracted: int
    failed: int
    ttft: Spread | None
    """Of those who stayed long enough to have one."""
    perceived: Spread | None
    """As :attr:`SeedOptions.screen` shows it, of those who stayed long enough to see something."""
    total: Spread | None
    """Of the answers that were read to their end."""
    peak_rss: int
    tokens_planned: int
    """That the answers would have had."""
    tokens_saved: int
    """That the model did not have to make, because a reader had left."""
    filtered: Filtered | None = None
    """What a safety profile adds to this way."""
    painted: Spread | None = None
    """Perceived latency as pages in a browser measured it; nobody leaves there."""
    pages: int = 0
    """That were asked, and those of them that showed no answer."""
    pages_failed: int = 0
    mobile: Mobile | None = None
    """On phones."""
    no_link: str = ""
    """Why there were none."""

    @property
    def completion(self) -> float:
        return self.complete / self.readers

    @property
    def cancelled(self) -> float:
        return (self.impatient + self.distracted) / self.readers


async def measure(options: SeedOptions, tell: Callable[[str, int, int], None]) -> list[WayResult]:
    """All three ways, one after the other, each through a gateway of its own.

    :param tell: told the way's title, how many readers or pages are through, and of how many.
    :raises GatewayFault: the browser does not start, or the gateway has no page.
    """
    people = readers(
        options.readers,
        options.abandonment,
        ttft=options.ttft,
        answer=options.answer,
        tps=options.tps,
        seed=options.seed,
    )
    results = []
    async with AsyncExitStack() as stack:
        # First of all: a browser that does not start should not be found out after the minutes.
        browser = await stack.enter_async_context(chromium(options.browser)) if options.browser else None
        upstream = await stack.enter_async_context(simulator())
        phones, no_link = await _phones(stack, options.phones, upstream, people[0])
        for way in WAYS:
            async with gateway(upstream) as (url, pid):
                result, seats = await _one_way(way, people, url, pid, upstream, options, tell)
                if browser is not None:
                    result = await _in_pages(result, way, people[: options.pages], browser, url, tell)
            if options.safety and way.kind == "sse":
                named = replace(way, title=f"{way.title}, {options.safety}")
                async with gateway(upstream, safety=options.safety) as (url, pid):
                    _, others = await _one_way(named, people, url, pid, upstream, options, tell)
                result = replace(result, filtered=added(options.safety, seats, others))
            if phones is not None:
                tell(f"{way.title}, phones", 0, options.phones)
                result = replace(result, mobile=await phones.ask(people, way, options.screen))
            results.append(replace(result, no_link=no_link))
    return results


async def _phones(stack: AsyncExitStack, count: int, upstream: str, reader: Reader) -> tuple[Phones | None, str]:
    """Phones, or why there are none."""
    if not count:
        return None, ""
    try:
        found = stack.enter_context(links(count))
    except NoLink as error:
        return None, str(error)
    phones = Phones(found, *await stack.enter_async_context(gateway(upstream, host=found[0].outside)))
    await phones.warm(reader, WAYS[-1])
    return phones, ""


def added(profile: str, without: Sequence[Seat], through: Sequence[Seat]) -> Filtered | None:
    """Reader by reader, of those who stayed to the end both times; ``None`` when there are none."""
    whole = {seat.reader.number: seat for seat in without if seat.end == "complete"}
    pairs = [
        (whole[seat.reader.number], seat) for seat in through if seat.end == "complete" and seat.reader.number in whole
    ]
    if not pairs:
        return None
    return Filtered(
        profile=profile,
        readers=len(pairs),
        total=median(_took(late.ended_at, late) / _took(soon.ended_at, soon) - 1 for soon, late in pairs),
        ttft=median(_took(late.first_at, late) - _took(soon.first_at, soon) for soon, late in pairs),
    )


def _took(moment: float | None, seat: Seat) -> float:
    assert moment is not None
    return moment - seat.requested_at


async def _in_pages(
    result: WayResult,
    way: Way,
    people: Sequence[Reader],
    browser: Browser,
    url: str,
    tell: Callable[[str, int, int], None],
) -> WayResult:
    """Add what a browser saw, after the readers have gone: its own work would be in their figures."""
    seen = await perceived(browser, url, way, people, lambda done: tell(f"{way.title}, pages", done, len(people)))
    return replace(result, painted=_spread(seen), pages=len(people), pages_failed=len(people) - len(seen))


async def _one_way(
    way: Way,
    people: Sequence[Reader],
    url: str,
    pid: int,
    upstream: str,
    options: SeedOptions,
    tell: Callable[[str, int, int], None],
) -> tuple[WayResult, list[Seat]]:
    client = UpstreamClient(
        UpstreamOptions(name="gateway", base_url=url, trust_env=False, max_connections=options.streams)
    )
    far_end = FarEnd(upstream)
    run = secrets.token_hex(4)
    waiting, seats = iter(people), list[Seat]()

    async def sitter(place: int) -> None:
        # Not all in the same moment: people do not come in step.
        await asyncio.sleep(options.ttft[0] * place / options.streams)
        for reader in waiting:
            seats.append(await _sit(client, way, reader, f"{run}-{reader.number}", options.screen()))
            tell(way.title, len(seats), len(people))

    try:
        async with MemoryWatch(pid) as memory:
            await asyncio.gather(*(sitter(place) for place in range(options.streams)))
        truths = {truth["tag"]: truth for truth in await far_end.settled({seat.tag for seat in seats})}
    finally:
        await client.close()
        await far_end.close()
    return _result(way, seats, {tag: truth["tokens"] for tag, truth in truths.items()}, memory.peak), seats


async def _sit(client: UpstreamClient, way: Way, reader: Reader, tag: str, screen: Screen) -> Seat:
    over = asyncio.Event()
    seat = Seat(way, reader, tag, screen, over.set)
    accept = {"json": b"application/json", "ndjson": b"application/x-ndjson", "sse": b"text/event-stream"}[way.kind]
    headers = ((b"content-type", b"application/json"), (b"accept", accept))
    seat.requested_at = monotonic()
    try:
        seat.exchange = await client.send(seat, path=way.path, headers=headers, body=encode_json(seat.body))
    except TidegateError:
        seat.failed()
    seat.sit_down()
    try:
        await over.wait()
    finally:
        if seat.exchange is not None:
            seat.exchange.abort()
    return seat


def _result(way: Way, seats: Sequence[Seat], made: dict[str, int], peak: int) -> WayResult:
    left = [seat for seat in seats if seat.end in ("impatient", "distracted")]
    return WayResult(
        way=way.name,
        readers=len(seats),
        complete=sum(seat.end == "complete" for seat in seats),
        impatient=sum(seat.end == "impatient" for seat in seats),
        distracted=sum(seat.end == "distracted" for seat in seats),
        failed=sum(seat.end == "failed" for seat in seats),
        ttft=_spread([seat.first_at - seat.requested_at for seat in seats if seat.first_at is not None]),
        perceived=_spread([seat.visible_at - seat.requested_at for seat in seats if seat.visible_at is not None]),
        total=_spread(
            [seat.ended_at - seat.requested_at for seat in seats if seat.ended_at and seat.end == "complete"]
        ),
        peak_rss=peak,
        tokens_planned=sum(seat.reader.tokens for seat in seats),
        tokens_saved=sum(max(0, seat.reader.tokens - made.get(seat.tag, seat.reader.tokens)) for seat in left),
    )


def _spread(values: Sequence[float]) -> Spread | None:
    if len(values) < 2:
        return Spread(values[0], values[0], values[0]) if values else None
    tenths = quantiles(values, n=10, method="inclusive")
    return Spread(tenths[0], tenths[4], tenths[8])
