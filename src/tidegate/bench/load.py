"""The load test: so many streams at any moment, some of which hang up, and what became of all of them."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import Counter, deque
from math import inf
from time import monotonic
from typing import Final

from tidegate.bench.far_end import Compared, FarEnd, Seen, compare
from tidegate.bench.histogram import Histogram
from tidegate.bench.memory import MemoryWatch
from tidegate.bench.options import LoadOptions
from tidegate.bench.reading import CANCELLED, COMPLETE, DISHONEST, Reading
from tidegate.bench.report import LoadReport, Snapshot
from tidegate.bench.target import Target, chat_body, chat_headers
from tidegate.errors import ConnectFailed, ConnectTimeout, InvalidRequest, NameNotResolved, TidegateError, TlsFailed
from tidegate.upstream.client import UpstreamClient
from tidegate.upstream.options import UpstreamOptions

__all__ = ["LoadTest"]

_STALL: Final = 0.25
"""Seconds by which a timer of ours may be late before it is said: then the figures are about us, not about them."""
_WARM_ROUNDS: Final = 2
"""Times as many streams as are open at once that must have ended before memory is compared: pools and caches fill."""
_KEPT: Final = 20_000
"""Streams remembered for the comparison with the far end; a simulator remembers as many."""


class LoadTest:
    """One run. ``run`` may be called once; ``stop`` ends it early, and ``run`` then returns what there is.

    :param key: a bearer key, or a reference to one (``env:NAME``, ``file:PATH``); empty for none.
    :raises ConfigError: the key's reference leads nowhere.
    """

    def __init__(
        self,
        target: Target,
        options: LoadOptions,
        *,
        key: str = "",
        far_end: FarEnd | None = None,
        memory: MemoryWatch | None = None,
    ) -> None:
        self.target = target
        self.options = options
        self._far_end = far_end
        self._memory = memory
        self._client = UpstreamClient(
            UpstreamOptions(
                name=target.base_url,
                base_url=target.base_url,
                api_keys=(key,) if key else (),
                max_connections=options.streams,
                max_idle_connections=0 if options.fresh else options.streams,
            )
        )
        self._key = self._client.keys.take(monotonic())
        self._headers = chat_headers(options.framing, options.headers)
        self._random = random.Random(options.seed)  # noqa: S311 - which streams hang up is no secret
        self._run = secrets.token_hex(4)
        self._began = monotonic()
        self._warm_at: float | None = None
        self._last_begun = self._began
        self._begun = 0
        self._live: set[Reading] = set()
        self._seen: deque[Seen] = deque(maxlen=_KEPT)
        self._outcomes: Counter[str] = Counter()
        self._tokens = 0
        self._ttft, self._tpot, self._gaps = Histogram(), Histogram(), Histogram()
        self._stopping = False
        self._stalled = 0.0
        self._refusal: TidegateError | None = None

    async def run(self) -> LoadReport:
        """Do it all.

        :raises InvalidRequest: nothing answers at the target, or the far end is no simulator.
        """
        options = self.options
        if self._far_end is not None:
            await self._far_end.stats()
        self._began = monotonic()
        workers = [asyncio.create_task(self._work(place)) for place in range(options.streams)]
        sweeper = asyncio.create_task(self._sweep())
        try:
            await asyncio.gather(*workers)
        finally:
            for task in (*workers, sweeper):
                task.cancel()
            await asyncio.gather(*workers, sweeper, return_exceptions=True)
            await self._client.close()
        if self._refusal is not None:
            raise self._refusal
        return self._report(await self._compared())

    def stop(self) -> None:
        """Begin no stream any more, and end those that run."""
        self._stopping = True
        for reading in list(self._live):
            reading.stop()

    def snapshot(self) -> Snapshot:
        """How it stands."""
        return Snapshot(
            seconds=monotonic() - self._began,
            live=len(self._live),
            complete=self._outcomes[COMPLETE],
            cancelled=self._outcomes[CANCELLED],
            failed=self._outcomes.total() - self._outcomes[COMPLETE] - self._outcomes[CANCELLED],
            tokens=self._tokens + sum(reading.tokens for reading in self._live),
            ttft_p50=self._ttft.percentile(0.5),
            rss=self._memory.now if self._memory is not None else 0,
        )

    async def _work(self, place: int) -> None:
        await asyncio.sleep(self.options.ramp * place / self.options.streams)
        while self._more():
            self._begun += 1
            self._last_begun = monotonic()
            await self._stream(self._begun - 1)

    def _more(self) -> bool:
        options = self.options
        if self._stopping or self._refusal is not None or (options.requests and self._begun >= options.requests):
            return False
        return not options.duration or monotonic() < self._began + options.duration

    async def _stream(self, number: int) -> None:
        options = self.options
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        leaves = self._random.random() < options.cancel_share
        reading = Reading(
            lambda reading: self._over(reading, ended),
            gaps=self._gaps,
            tag=f"{self._run}-{number}" if self._far_end is not None else "",
            cancel_after=options.cancel_after if leaves else 0,
        )
        body = chat_body(
            options.model,
            options.prompts[number % len(options.prompts)],
            max_tokens=options.max_tokens,
            tag=reading.tag,
        )
        self._live.add(reading)
        try:
            exchange = await self._client.send(
                reading,
                path=self.target.path,
                headers=self._headers,
                body=body,
                key=self._key,
                fresh=options.fresh,
            )
        except TidegateError as error:
            self._not_begun(reading, error)
            # Not a tight loop against a server that refuses.
            await asyncio.sleep(0.1)
            return
        if reading.outcome:
            exchange.abort()
        reading.exchange = exchange
        await ended

    def _not_begun(self, reading: Reading, error: TidegateError) -> None:
        if not self._outcomes.total() and isinstance(error, ConnectFailed):
            self._refusal = unreachable(self.target, error)
            self._live.discard(reading)
        else:
            reading.failed(error)

    def _over(self, reading: Reading, ended: asyncio.Future[None]) -> None:
        self._live.discard(reading)
        self._outcomes[reading.outcome] += 1
        if self._warm_at is None and self._outcomes.total() >= _WARM_ROUNDS * self.options.streams:
            self._warm_at = monotonic()
        self._tokens += reading.tokens
        if reading.ttft is not None:
            self._ttft.add(reading.ttft)
        if reading.tpot is not None:
            self._tpot.add(reading.tpot)
        if reading.tag:
            self._seen.append(
                Seen(reading.tag, reading.requested_at, reading.first_token_at, reading.cancelled_at, reading.tokens)
            )
        if not ended.done():
            ended.set_result(None)

    async def _sweep(self) -> None:
        """One look at all streams instead of a timer in each."""
        limit = self.options.idle_timeout
        pause = min(0.25, limit / 4)
        due = monotonic()
        forgiven = -inf
        while True:
            due += pause
            await asyncio.sleep(due - monotonic())
            now = monotonic()
            if now - due > _STALL:
                # It was us, or the whole machine: what has come meanwhile is still to be read.
                self._stalled += now - due
                due = forgiven = now
            oldest = now - limit
            if forgiven > oldest:
                continue
            for reading in [reading for reading in self._live if reading.heard_at < oldest]:
                reading.timed_out()

    async def _compared(self) -> Compared | None:
        if self._far_end is None:
            return None
        tags = {one.tag for one in self._seen}
        return compare(self._seen, await self._far_end.settled(tags))

    def _report(self, compared: Compared | None) -> LoadReport:
        failed = {kind: count for kind, count in self._outcomes.most_common() if kind not in (COMPLETE, CANCELLED)}
        memory = self._memory
        growth = None
        if memory is not None and self._warm_at is not None:
            growth = memory.growth(self._warm_at, self._last_begun)
        return LoadReport(
            url=self.target.url,
            framing=self.options.framing,
            streams=self.options.streams,
            seconds=monotonic() - self._began,
            complete=self._outcomes[COMPLETE],
            cancelled=self._outcomes[CANCELLED],
            failures=failed,
            dishonest=sum(count for kind, count in failed.items() if kind in DISHONEST),
            tokens=self._tokens,
            ttft=self._ttft.summary(),
            tpot=self._tpot.summary(),
            gap=self._gaps.summary(),
            cancel=compared.cancel.summary() if compared is not None else None,
            added_ttft=compared.added_ttft.summary() if compared is not None else None,
            never_aborted=compared.never_aborted if compared is not None else 0,
            rss_begin=growth[0] if growth is not None else None,
            rss_end=growth[1] if growth is not None else None,
            rss_peak=memory.peak if memory is not None else None,
            stalled=self._stalled,
            stopped=self._stopping,
        )


def unreachable(target: Target, error: ConnectFailed) -> InvalidRequest:
    """Nothing answers there, in one line for whoever typed the address."""
    if isinstance(error, NameNotResolved):
        why = "its host has no address"
    elif isinstance(error, ConnectTimeout):
        why = "it does not accept a connection in time"
    elif isinstance(error, TlsFailed):
        why = "the TLS handshake failed"
    else:
        why = "nothing listens there"
    return InvalidRequest(f"{target.base_url} cannot be reached: {why}.")
