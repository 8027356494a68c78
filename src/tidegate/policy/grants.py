"""What a request is asked to stay within, what it expects to use, and what it holds once it is admitted. PURE."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Final

import msgspec

from tidegate.policy.windows import Window

__all__ = ["NO_END", "Ask", "Grant", "Kind", "Meter", "OwnGrant", "Plan", "Standing"]

NO_END: Final = 1 << 62
"""An allowance that is never used up."""


class Kind(StrEnum):
    """What a limit counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    STREAMS = "streams"
    BUDGET = "budget"


# An enum's member is looked up in its class every time; these are plain names.
_REQUESTS, _TOKENS, _STREAMS, _BUDGET = Kind.REQUESTS, Kind.TOKENS, Kind.STREAMS, Kind.BUDGET


class Meter(msgspec.Struct, frozen=True, gc=False):
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


class Ask(msgspec.Struct, frozen=True, gc=False):
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


class Standing(msgspec.Struct, frozen=True, gc=False):
    """Where the tightest limit of a kind stands, for the headers."""

    limit: int
    remaining: int
    reset: int
    """Milliseconds until all of it is there again."""


class Plan(msgspec.Struct, frozen=True):
    """The meters of a request by their kinds, with the windows that count for them."""

    meters: tuple[Meter, ...]
    requests: tuple[tuple[Window, int], ...]
    """Each with its limit."""
    tokens: tuple[tuple[Window, int], ...]
    streams: tuple[tuple[str, int], ...]
    budgets: tuple[Meter, ...]
    least: int
    """The smallest limit of tokens."""


class Grant:
    """What one stream holds until it is settled."""

    __slots__ = ("_charged", "_marks", "ask", "meters", "settled", "standings")

    def __init__(self, meters: tuple[Meter, ...], ask: Ask) -> None:
        self.meters = meters
        self.ask = ask
        self._charged: list[int] | None = None
        self._marks: list[tuple[int, int, int]] = []
        self.standings: tuple[tuple[Kind, Standing], ...] = ()
        self.settled = False

    @property
    def charged(self) -> list[int]:
        """Of each meter: tokens, nano-dollars, or 1."""
        if self._charged is None:
            self._charged, self._marks = self._written_out()
        return self._charged

    @charged.setter
    def charged(self, charged: list[int]) -> None:
        self._charged = charged

    @property
    def marks(self) -> list[tuple[int, int, int]]:
        """Of every charge of tokens: the meter's index, the bucket, the amount."""
        if self._charged is None:
            self._charged, self._marks = self._written_out()
        return self._marks

    def _written_out(self) -> tuple[list[int], list[tuple[int, int, int]]]:
        return [0] * len(self.meters), []

    def allowance(self) -> int:
        """Output tokens that everything charged so far covers."""
        ask = self.ask
        pairs = zip(self.meters, self.charged, strict=True)
        return min([ask.allowance(meter.kind, charged) for meter, charged in pairs], default=NO_END)

    def unused(self, tokens: int) -> list[tuple[int, int, int]]:
        """What to take back of each window when ``tokens`` were used in all: (index, bucket, amount), newest first."""
        back = []
        meters = self.meters
        over = [charged - tokens for charged in self.charged]
        for index, bucket, amount in reversed(self.marks):
            left = over[index]
            if left > 0 and meters[index].kind is _TOKENS:
                some = amount if amount < left else left
                back.append((index, bucket, some))
                over[index] = left - some
        return back


class OwnGrant(Grant):
    """Of this process. That nothing was added to what was charged at first is the rule, and then it is not written out
    meter by meter.

    :param counted: the bucket that each window of tokens counted it in.
    :param money: what is held of each budget.
    """

    __slots__ = ("counted", "money", "plan")

    def __init__(self, plan: Plan, budget: Meter | None, ask: Ask) -> None:
        self.plan = plan
        self.meters = plan.meters if budget is None else (*plan.meters, budget)
        self.ask = ask
        self.counted: list[list[int]] = []
        self.money: list[tuple[Meter, int]] = []
        self._charged = None
        self.settled = False

    @property
    def as_admitted(self) -> bool:
        """Nobody has asked for more."""
        return self._charged is None

    def _written_out(self) -> tuple[list[int], list[tuple[int, int, int]]]:
        charged, marks = [], []
        counted, money = iter(self.counted), iter(self.money)
        wanted = self.ask.prompt + self.ask.output
        for index, meter in enumerate(self.meters):
            amount = 1
            if meter.kind is _TOKENS:
                amount = min(wanted, meter.limit)
                marks.append((index, next(counted)[0], amount))
            elif meter.kind is _BUDGET:
                amount = next(money)[1]
            charged.append(amount)
        return charged, marks

    def allowance(self) -> int:
        if self._charged is not None:
            return super().allowance()
        ask, least = self.ask, self.plan.least
        wanted = ask.prompt + ask.output
        found = NO_END
        if least != NO_END:
            found = max(0, (wanted if wanted < least else least) - ask.prompt)
        for _, held in self.money:
            found = min(found, ask.allowance(_BUDGET, held))
        return found
