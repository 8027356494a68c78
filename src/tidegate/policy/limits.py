"""What a stream may use, decided before it begins, while it runs and when it has ended. The clock is an argument.

A request falls under several :class:`Meter` at once: its key's, those of its tags and its model, the gateway's. It is
admitted under all of them or charged under none.

* Requests are counted when they are admitted. Streams are counted from admission to settlement.
* Tokens are *reserved* at admission, as many as the answer may be expected to have, and never more than the limit
  could ever grant; the difference to what was really used is settled at the end, in the bucket of the reservation.
  Charging at the moment of admission (as OpenAI does) is what makes ``Retry-After`` true: a charge only ever shrinks.
* Money is reserved as far as it is there: the last cent of a budget may be spent.
* A stream that has used what it reserved asks for more (:meth:`Limits.more`); when there is none, it ends.

The same decisions over Redis are :mod:`tidegate.shared`; both pass the same tests.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tidegate.policy.grants import NO_END, Ask, Grant, Kind, Meter, OwnGrant, Plan, Standing
from tidegate.policy.windows import GRAIN, SPAN, Purse, Window, bucket_of, gone

__all__ = ["NO_END", "Ask", "Grant", "Kind", "Limits", "Meter", "Refusal", "Standing"]

_SWEEP: Final = 4096
"""Admissions after which what nobody has asked for in a minute is forgotten."""

_REMEMBERED: Final = 4096
"""Sets of meters that are remembered with their windows."""


_REQUESTS, _TOKENS, _STREAMS, _BUDGET = Kind.REQUESTS, Kind.TOKENS, Kind.STREAMS, Kind.BUDGET


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not.

    :param wait: milliseconds after which the same would be granted, if nobody else comes; ``None``: nobody knows, or
        never.
    :param never: no waiting helps: the prompt alone is more than the limit.
    """

    meter: Meter
    wait: int | None
    never: bool = False
    standings: tuple[tuple[Kind, Standing], ...] = ()


def tightest(rows: Sequence[tuple[Kind, int, int, int]]) -> tuple[tuple[Kind, Standing], ...]:
    """Of (kind, limit, used, reset) the limit of each kind with the least left."""
    found: dict[Kind, Standing] = {}
    for kind, limit, used, reset in rows:
        left = max(0, limit - used)
        known = found.get(kind)
        if known is None or left < known.remaining:
            found[kind] = Standing(limit, left, reset)
    return tuple(found.items())


class Limits:
    """The limits of one process. Moments are milliseconds of a monotonic clock."""

    __slots__ = ("_admitted", "_live", "_plans", "_purses", "_requests", "_tokens")

    def __init__(self) -> None:
        self._requests: dict[str, Window] = {}
        self._tokens: dict[str, Window] = {}
        self._live: dict[str, int] = {}
        self._purses: dict[str, Purse] = {}
        self._plans: dict[int, Plan] = {}
        self._admitted = 0

    def live(self, subject: str) -> int:
        """Streams of a subject that are not settled."""
        return self._live.get(subject, 0)

    def admit(self, meters: Sequence[Meter], ask: Ask, now: int, budget: Meter | None = None) -> Grant | Refusal:
        """All of it, or why not. A refusal's wait is that of the meter which takes longest.

        :param meters: quickest when they are the same tuple as before.
        :param budget: one more meter, which is another one every time.
        """
        plan = self._planned(meters)
        if self._fits(plan, budget, ask, now):
            return self._charge(plan, budget, ask, now)
        return self._refusal(plan.meters if budget is None else (*plan.meters, budget), ask, now)

    def _planned(self, meters: Sequence[Meter]) -> Plan:
        plan = self._plans.get(id(meters))
        if plan is not None and plan.meters is meters:
            return plan
        fixed = tuple(meters)  # itself, where it is one
        tokens = [(self._window(meter), meter.limit) for meter in fixed if meter.kind is _TOKENS]
        plan = Plan(
            fixed,
            tuple([(self._window(meter), meter.limit) for meter in fixed if meter.kind is _REQUESTS]),
            tuple(tokens),
            tuple([(meter.subject, meter.limit) for meter in fixed if meter.kind is _STREAMS]),
            tuple([meter for meter in fixed if meter.kind is _BUDGET]),
            min([limit for _, limit in tokens], default=NO_END),
        )
        if fixed is meters and not plan.budgets:
            if len(self._plans) >= _REMEMBERED:
                self._plans.clear()
            self._plans[id(meters)] = plan  # which keeps the tuple, and with it its id
        return plan

    def _fits(self, plan: Plan, budget: Meter | None, ask: Ask, now: int) -> bool:
        oldest = now // GRAIN - SPAN
        for window, limit in plan.requests:
            if window.oldest < oldest:
                window.slide(now)
            if window.used >= limit:
                return False
        wanted = ask.prompt + ask.output
        if ask.prompt > plan.least:
            return False
        for window, limit in plan.tokens:
            if window.oldest < oldest:
                window.slide(now)
            if window.used + (wanted if wanted < limit else limit) > limit:
                return False
        live = self._live
        for subject, limit in plan.streams:
            if live.get(subject, 0) >= limit:
                return False
        for meter in plan.budgets:
            if self._purse(meter).used >= meter.limit:
                return False
        return budget is None or self._purse(budget).used < budget.limit

    def _refusal(self, meters: Sequence[Meter], ask: Ask, now: int) -> Refusal:
        refusals = [refusal for meter in meters if (refusal := self._refused(meter, ask, now)) is not None]
        worst = refusals[0]
        for refusal in refusals:
            if _weight(refusal) > _weight(worst):
                worst = refusal
        return Refusal(worst.meter, worst.wait, worst.never, self._standings(meters, now))

    def _refused(self, meter: Meter, ask: Ask, now: int) -> Refusal | None:
        kind, limit = meter.kind, meter.limit
        if kind is _STREAMS:
            return Refusal(meter, None) if self._live.get(meter.subject, 0) >= limit else None
        if kind is _BUDGET:
            return Refusal(meter, meter.resets) if self._purse(meter).used >= limit else None
        if kind is _TOKENS and ask.prompt > limit:
            return Refusal(meter, None, never=True)
        amount = 1 if kind is _REQUESTS else min(ask.prompt + ask.output, limit)
        wait = self._window(meter).wait(amount, limit, now)
        return Refusal(meter, wait) if wait else None

    def charge(self, meters: Sequence[Meter], ask: Ask, now: int, budget: Meter | None = None) -> Grant:
        """Charge it without asking: somebody else has decided."""
        plan = self._planned(meters)
        for window, _ in (*plan.requests, *plan.tokens):
            window.slide(now)
        return self._charge(plan, budget, ask, now)

    def _charge(self, plan: Plan, budget: Meter | None, ask: Ask, now: int) -> Grant:
        """Windows have to be as of now."""
        grant = OwnGrant(plan, budget, ask)
        bucket = now // GRAIN
        reset = gone(bucket) - now
        standings = []
        least, tight = NO_END, 0
        for window, limit in plan.requests:
            # A bucket lasts a quarter of a second: nearly always, it is there.
            if (last := window.last)[0] == bucket:
                last[1] += 1
                window.used += 1
            else:
                window.add(1, bucket)
            left = limit - window.used
            if left < least:
                least, tight = left, limit
        if least != NO_END:
            standings.append((_REQUESTS, Standing(tight, max(0, least), reset)))
        wanted, counted = ask.prompt + ask.output, grant.counted
        least = NO_END
        for window, limit in plan.tokens:
            amount = wanted if wanted < limit else limit
            if (last := window.last)[0] == bucket:
                last[1] += amount
                window.used += amount
            else:
                last = window.add(amount, bucket)
            counted.append(last)
            left = limit - window.used
            if left < least:
                least, tight = left, limit
        if least != NO_END:
            standings.append((_TOKENS, Standing(tight, max(0, least), reset)))
        grant.standings = tuple(standings)
        live = self._live
        for subject, _ in plan.streams:
            live[subject] = live.get(subject, 0) + 1
        for meter in plan.budgets:
            grant.money.append((meter, self._hold(meter, ask)))
        if budget is not None:
            grant.money.append((budget, self._hold(budget, ask)))
        self._admitted += 1
        if self._admitted % _SWEEP == 0:
            self._sweep(now)
        return grant

    def _hold(self, meter: Meter, ask: Ask) -> int:
        purse = self._purse(meter)
        amount = max(0, min(ask.cost(ask.output), meter.limit - purse.used))
        purse.held += amount
        return amount

    def more(self, grant: Grant, output: int, now: int) -> int | Refusal:
        """Reserve up to ``output`` output tokens in all; as many as there are, or why there is not one more."""
        before = grant.allowance()
        reached, least = output, None
        for meter, charged in zip(grant.meters, grant.charged, strict=True):
            kind = meter.kind
            if kind is _TOKENS:
                room = meter.limit - self._window(meter).slide(now)
            elif kind is _BUDGET:
                room = meter.limit - self._purse(meter).used
            else:
                continue
            possible = grant.ask.allowance(kind, charged + max(0, room))
            if possible < reached:
                reached, least = possible, meter
        if reached <= before:
            assert least is not None, "more than before was asked for"
            return Refusal(least, self._wait_for_one(least, now))
        for index, meter in enumerate(grant.meters):
            if meter.kind is _TOKENS or meter.kind is _BUDGET:
                amount = grant.ask.charge(meter.kind, reached) - grant.charged[index]
                if amount > 0:
                    self._add(grant, index, amount, now)
        return reached

    def _wait_for_one(self, meter: Meter, now: int) -> int | None:
        return meter.resets if meter.kind is _BUDGET else self._window(meter).wait(1, meter.limit, now)

    def _add(self, grant: Grant, index: int, amount: int, now: int) -> None:
        meter = grant.meters[index]
        grant.charged[index] += amount
        if meter.kind is _BUDGET:
            self._purse(meter).held += amount
        else:
            grant.marks.append((index, self._window(meter).add(amount, bucket_of(now))[0], amount))

    def settle(self, grant: Grant, tokens: int, cost: int, now: int) -> None:
        """The stream is over: so many tokens, prompt and output, and so many nano-dollars were used. Once counts."""
        if grant.settled:
            return
        grant.settled = True
        if isinstance(grant, OwnGrant) and grant.as_admitted:
            self._settle_admitted(grant, tokens, cost, now)
            return
        for index, bucket, amount in grant.unused(tokens):
            self._window(grant.meters[index]).take_back(bucket, amount)
        for meter, charged in zip(grant.meters, grant.charged, strict=True):
            kind = meter.kind
            if kind is _STREAMS:
                self._leave(((meter.subject, meter.limit),))
            elif kind is _BUDGET:
                self._spend(meter, charged, cost)
            elif kind is _TOKENS and tokens > charged:
                self._count(meter, tokens - charged, now)

    def _settle_admitted(self, grant: OwnGrant, tokens: int, cost: int, now: int) -> None:
        plan, ask = grant.plan, grant.ask
        wanted = ask.prompt + ask.output
        if tokens > (wanted if wanted < plan.least else plan.least):
            for meter in plan.meters:
                if meter.kind is _TOKENS and tokens > min(wanted, meter.limit):
                    self._count(meter, tokens - min(wanted, meter.limit), now)
        for (window, limit), mark in zip(plan.tokens, grant.counted, strict=True):
            unused = (wanted if wanted < limit else limit) - tokens
            # Of a bucket that is forgotten there is nothing to take back.
            if unused > 0 and mark[0] >= window.oldest:
                mark[1] -= unused
                window.used -= unused
        self._leave(plan.streams)
        for meter, held in grant.money:
            self._spend(meter, held, cost)

    def _count(self, meter: Meter, amount: int, now: int) -> None:
        window = self._window(meter)
        window.slide(now)
        window.add(amount, bucket_of(now))

    def _spend(self, meter: Meter, held: int, cost: int) -> None:
        purse = self._purse(meter)
        purse.held -= held
        purse.spent += cost

    def _leave(self, streams: Iterable[tuple[str, int]]) -> None:
        """One stream less of each subject; with its limit, which does not matter here."""
        live = self._live
        for subject, _ in streams:
            left = live[subject] - 1
            if left:
                live[subject] = left
            else:
                del live[subject]

    def _window(self, meter: Meter) -> Window:
        windows = self._requests if meter.kind is _REQUESTS else self._tokens
        window = windows.get(meter.subject)
        if window is None:
            window = windows[meter.subject] = Window()
        return window

    def _purse(self, meter: Meter) -> Purse:
        purse = self._purses.get(meter.subject)
        if purse is None:
            purse = self._purses[meter.subject] = Purse()
        # Others write the same ledger, and what they spent comes from there; what we know and it does not yet, stays.
        if meter.spent > purse.spent:
            purse.spent = meter.spent
        return purse

    def _standings(self, meters: Sequence[Meter], now: int) -> tuple[tuple[Kind, Standing], ...]:
        rows = []
        for meter in meters:
            if meter.kind is _REQUESTS or meter.kind is _TOKENS:
                window = self._window(meter)
                rows.append((meter.kind, meter.limit, window.slide(now), window.reset(now)))
        return tightest(rows)

    def _sweep(self, now: int) -> None:
        self._plans.clear()
        self._requests = {subject: window for subject, window in self._requests.items() if window.slide(now)}
        self._tokens = {subject: window for subject, window in self._tokens.items() if window.slide(now)}
        # The ledger knows what a purse has spent, unless it is of the last moments.
        if len(self._purses) > _SWEEP:
            self._purses = {subject: purse for subject, purse in self._purses.items() if purse.held}


def _weight(refusal: Refusal) -> float:
    """Never > a period without end > a time > nobody knows."""
    if refusal.never or (refusal.meter.kind is _BUDGET and refusal.wait is None):
        return math.inf
    return -1.0 if refusal.wait is None else float(refusal.wait)
