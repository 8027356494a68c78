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
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from tidegate.policy.windows import SPAN, Purse, Window, bucket_of

__all__ = ["NO_END", "Ask", "Grant", "Kind", "Limits", "Meter", "Refusal", "Standing"]

NO_END: Final = 1 << 62
"""An allowance that is never used up."""

_SWEEP: Final = 4096
"""Admissions after which what nobody has asked for in a minute is forgotten."""


class Kind(StrEnum):
    """What a limit counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    STREAMS = "streams"
    BUDGET = "budget"


# An enum's member is looked up in its class every time; these are plain names.
_REQUESTS, _TOKENS, _STREAMS, _BUDGET = Kind.REQUESTS, Kind.TOKENS, Kind.STREAMS, Kind.BUDGET


class Meter(NamedTuple):
    """One limit that a request falls under.

    :param subject: whose: ``key:3f…``, ``tag:team=search``, ``model:gpt-*``, ``gateway``. For a budget with its period.
    :param limit: requests or tokens a minute, live streams, or nano-dollars.
    :param spent: of a budget, what the ledger knows to be spent.
    :param resets: of a budget, milliseconds until its period is over; ``None``: never.
    """

    kind: Kind
    subject: str
    limit: int
    spent: int = 0
    resets: int | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request is expected to use.

    :param prompt: tokens, estimated.
    :param output: tokens: its ``max_tokens``, or what answers of the model have on average.
    :param prompt_cost: nano-dollars of the prompt; 0 when the model has no price.
    :param unit_cost: nano-dollars of one output token.
    """

    prompt: int
    output: int
    prompt_cost: int = 0
    unit_cost: float = 0.0

    def cost(self, output: int) -> int:
        """Nano-dollars of the prompt and so many output tokens."""
        return self.prompt_cost + math.ceil(output * self.unit_cost)

    def allowance(self, kind: Kind, charged: int) -> int:
        """Output tokens that a charge covers."""
        if kind is _TOKENS:
            return max(0, charged - self.prompt)
        if kind is _BUDGET and self.unit_cost > 0:
            return max(0, int((charged - self.prompt_cost) / self.unit_cost))
        return NO_END

    def charge(self, kind: Kind, output: int) -> int:
        """What so many output tokens have to be charged."""
        return self.prompt + output if kind is _TOKENS else self.cost(output)


@dataclass(slots=True)
class Standing:
    """Where the tightest limit of a kind stands, for the headers."""

    limit: int
    remaining: int
    reset: int
    """Milliseconds until all of it is there again."""


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


class Grant:
    """What one stream holds until it is settled."""

    __slots__ = ("ask", "charged", "marks", "meters", "settled", "standings", "windows")

    def __init__(self, meters: Sequence[Meter], ask: Ask) -> None:
        self.meters = tuple(meters)
        self.ask = ask
        self.charged = [0] * len(self.meters)
        """Of each meter: tokens, nano-dollars, or 1."""
        self.marks: list[tuple[int, int, int]] = []
        """Of every charge of a window: the meter's index, the bucket, the amount."""
        self.standings: tuple[tuple[Kind, Standing], ...] = ()
        self.windows: Sequence[Window | None] = ()
        """Of each meter the one that was charged at admission."""
        self.settled = False

    def allowance(self) -> int:
        """Output tokens that everything charged so far covers."""
        ask = self.ask
        found = NO_END
        for meter, charged in zip(self.meters, self.charged, strict=True):
            kind = meter[0]
            if kind is _TOKENS or kind is _BUDGET:
                covered = ask.allowance(kind, charged)
                if covered < found:
                    found = covered
        return found

    def unused(self, tokens: int) -> list[tuple[int, int, int]]:
        """What to take back of each window when ``tokens`` were used in all: (index, bucket, amount), newest first."""
        back = []
        meters = self.meters
        over = [charged - tokens for charged in self.charged]
        for index, bucket, amount in reversed(self.marks):
            left = over[index]
            if left > 0 and meters[index][0] is _TOKENS:
                some = amount if amount < left else left
                back.append((index, bucket, some))
                over[index] = left - some
        return back


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

    __slots__ = ("_admitted", "_live", "_purses", "_requests", "_tokens")

    def __init__(self) -> None:
        self._requests: dict[str, Window] = {}
        self._tokens: dict[str, Window] = {}
        self._live: dict[str, int] = {}
        self._purses: dict[str, Purse] = {}
        self._admitted = 0

    def live(self, subject: str) -> int:
        """Streams of a subject that are not settled."""
        return self._live.get(subject, 0)

    def admit(self, meters: Sequence[Meter], ask: Ask, now: int) -> Grant | Refusal:
        """All of it, or why not. A refusal's wait is that of the meter which takes longest."""
        worst: Refusal | None = None
        windows: list[Window | None] = []
        prompt = ask.prompt
        wanted = prompt + ask.output
        oldest = bucket_of(now) - SPAN
        for meter in meters:
            kind, subject, limit, _, resets = meter
            window = refusal = None
            if kind is _STREAMS:
                if self._live.get(subject, 0) >= limit:
                    refusal = Refusal(meter, None)
            elif kind is _BUDGET:
                if self._purse(meter).used >= limit:
                    refusal = Refusal(meter, resets)
            elif kind is _TOKENS and prompt > limit:
                refusal = Refusal(meter, None, never=True)
            else:
                window = (self._requests if kind is _REQUESTS else self._tokens).get(subject)
                if window is None:
                    window = self._window(meter)
                elif window.oldest < oldest:
                    window.slide(now)
                amount = 1 if kind is _REQUESTS else wanted if wanted < limit else limit
                if window.used + amount > limit:
                    refusal = Refusal(meter, window.wait(amount, limit, now))
            windows.append(window)
            if refusal is not None and (worst is None or _longer(refusal, worst)):
                worst = refusal
        if worst is not None:
            return Refusal(worst.meter, worst.wait, worst.never, self._standings(meters, now))
        return self._charge(meters, ask, now, windows)

    def charge(self, meters: Sequence[Meter], ask: Ask, now: int) -> Grant:
        """Charge it without asking: somebody else has decided."""
        windows = [self._window(meter) if meter.kind in (_REQUESTS, _TOKENS) else None for meter in meters]
        for window in windows:
            if window is not None:
                window.slide(now)
        return self._charge(meters, ask, now, windows)

    def _charge(self, meters: Sequence[Meter], ask: Ask, now: int, windows: Sequence[Window | None]) -> Grant:
        """:param windows: those of the meters that have one, as of now."""
        grant = Grant(meters, ask)
        grant.windows = windows
        charged, marks, live = grant.charged, grant.marks, self._live
        bucket = bucket_of(now)
        least: dict[Kind, tuple[int, int, Window]] = {}
        wanted = ask.prompt + ask.output
        for index, meter in enumerate(grant.meters):
            kind, subject, limit, _, _ = meter
            window = windows[index]
            if window is not None:
                amount = 1 if kind is _REQUESTS else wanted if wanted < limit else limit
                charged[index] = amount
                marks.append((index, window.add(amount, bucket), amount))
                left = limit - window.used
                known = least.get(kind)
                if known is None or left < known[0]:
                    least[kind] = (left, limit, window)
            elif kind is _STREAMS:
                charged[index] = 1
                live[subject] = live.get(subject, 0) + 1
            else:
                purse = self._purse(meter)
                charged[index] = amount = max(0, min(ask.cost(ask.output), limit - purse.used))
                purse.held += amount
        grant.standings = tuple(
            (kind, Standing(limit, max(0, left), window.reset(now))) for kind, (left, limit, window) in least.items()
        )
        self._admitted += 1
        if self._admitted % _SWEEP == 0:
            self._sweep(now)
        return grant

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
            grant.marks.append((index, self._window(meter).add(amount, bucket_of(now)), amount))

    def settle(self, grant: Grant, tokens: int, cost: int, now: int) -> None:
        """The stream is over: so many tokens, prompt and output, and so many nano-dollars were used. Once counts."""
        if grant.settled:
            return
        grant.settled = True
        windows = grant.windows
        for index, bucket, amount in grant.unused(tokens):
            window = windows[index]
            assert window is not None
            # The same as of the meter now, or one that was forgotten together with all that it had counted.
            window.take_back(bucket, amount)
        for meter, charged in zip(grant.meters, grant.charged, strict=True):
            kind = meter[0]
            if kind is _STREAMS:
                self._leave(meter[1])
            elif kind is _BUDGET:
                purse = self._purse(meter)
                purse.held -= charged
                purse.spent += cost
            elif kind is _TOKENS and tokens > charged:
                window = self._window(meter)
                window.slide(now)
                window.add(tokens - charged, bucket_of(now))

    def _leave(self, subject: str) -> None:
        left = self._live[subject] - 1
        if left:
            self._live[subject] = left
        else:
            del self._live[subject]

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
        purse.spent = max(purse.spent, meter.spent)
        return purse

    def _standings(self, meters: Sequence[Meter], now: int) -> tuple[tuple[Kind, Standing], ...]:
        rows = []
        for meter in meters:
            if meter.kind is _REQUESTS or meter.kind is _TOKENS:
                window = self._window(meter)
                rows.append((meter.kind, meter.limit, window.slide(now), window.reset(now)))
        return tightest(rows)

    def _sweep(self, now: int) -> None:
        self._requests = {subject: window for subject, window in self._requests.items() if window.slide(now)}
        self._tokens = {subject: window for subject, window in self._tokens.items() if window.slide(now)}
        # The ledger knows what a purse has spent, unless it is of the last moments.
        if len(self._purses) > _SWEEP:
            self._purses = {subject: purse for subject, purse in self._purses.items() if purse.held}


def _longer(one: Refusal, other: Refusal) -> bool:
    """Whether ``one`` keeps the request out for longer."""
    return _weight(one) > _weight(other)


def _weight(refusal: Refusal) -> float:
    """Never > a period without end > a time > nobody knows."""
    if refusal.never or (refusal.meter.kind is _BUDGET and refusal.wait is None):
        return math.inf
    return -1.0 if refusal.wait is None else float(refusal.wait)
