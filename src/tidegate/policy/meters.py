"""Which limits a request falls under: its key's own, those of its tags and its model, the gateway's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tidegate.policy.budgets import Budget, Period, period_of
from tidegate.policy.limits import Kind, Meter
from tidegate.policy.names import Names
from tidegate.policy.options import LimitOptions

__all__ = ["UNLIMITED", "Meters", "Quota", "subject_of_budget"]


_REMEMBERED: Final = 4096
"""Pairs of key and model whose meters are remembered."""

_AGAIN: Final = 1.0
"""Seconds for which a budget's meter is good: what it says of other processes' spending is older than that anyway."""

_BUDGET: Final = Kind.BUDGET

Tags = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Quota:
    """What a key may use; 0 and ``None``: any amount."""

    rpm: int = 0
    tpm: int = 0
    concurrent: int = 0
    budget: Budget | None = None


UNLIMITED = Quota()


def subject_of_budget(key_id: str, period: Period) -> str:
    """Whose money, and of when."""
    return f"key:{key_id}:{period.name}"


class Meters:
    """The limits of the configuration, compiled. Immutable: a reload makes a new one.

    A rule for a pattern is a limit for each name that it covers: ``team=*`` with ``concurrent = 5`` gives every team
    five streams, not five to all of them.
    """

    __slots__ = ("_budgets", "_gateway", "_known", "_models", "_periods", "_tags", "any")

    def __init__(self, options: LimitOptions) -> None:
        self._gateway = _rates("gateway", options.rpm, options.tpm, options.concurrent)
        self._tags = [(Names([rule.tag]), rule) for rule in options.tags]
        self._models = [(Names([rule.model]), rule) for rule in options.models]
        self._known: dict[tuple[str, str], tuple[Quota, Tags, tuple[Meter, ...]]] = {}
        self._periods: dict[str, Period] = {}
        self._budgets: dict[str, tuple[Quota, float, float, Meter]] = {}
        """By key: whose quota it is, from when until when the meter is good, and the meter."""
        self.any = bool(self._gateway or self._tags or self._models)
        """There is a limit that is not a key's."""

    def of(
        self, key_id: str, quota: Quota, tags: Tags, model: str, now: float, spent: Callable[[str, Period], int]
    ) -> Sequence[Meter]:
        """The meters of one request.

        :param now: Unix seconds.
        :param spent: nano-dollars that the ledger knows to be spent of a budget, by its subject and its period.
        """
        fixed, budget = self.fixed(key_id, quota, tags, model), self.budget(key_id, quota, now, spent)
        return fixed if budget is None else (*fixed, budget)

    def fixed(self, key_id: str, quota: Quota, tags: Tags, model: str) -> tuple[Meter, ...]:
        """Those that are the same for every request of a key for a model: the same tuple, while it is remembered."""
        known = self._known.get((key_id, model))
        if known is not None and known[0] is quota and known[1] is tags:
            return known[2]
        found = tuple(self._of(key_id, quota, tags, model))
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[(key_id, model)] = (quota, tags, found)
        return found

    def budget(self, key_id: str, quota: Quota, now: float, spent: Callable[[str, Period], int]) -> Meter | None:
        """The key's money of this period, as far as it has a budget."""
        budget = quota.budget
        if budget is None:
            return None
        recent = self.recent_budget(key_id, quota, now)
        if recent is not None:
            return recent
        period = self.period(budget.period, now)
        subject = subject_of_budget(key_id, period)
        resets = None if period.end is None else max(1, int((period.end - now) * 1000))
        meter = Meter(_BUDGET, subject, budget.amount, spent(subject, period), resets)
        if len(self._budgets) >= _REMEMBERED:
            self._budgets.clear()
        until = now + _AGAIN if period.end is None else min(now + _AGAIN, period.end)
        self._budgets[key_id] = quota, now, until, meter
        return meter

    def recent_budget(self, key_id: str, quota: Quota, now: float) -> Meter | None:
        """What :meth:`budget` has said of the key a moment ago, if it still holds."""
        known = self._budgets.get(key_id)
        return known[3] if known is not None and known[0] is quota and known[1] <= now < known[2] else None

    def period(self, kind: str, now: float) -> Period:
        """As :func:`tidegate.policy.budgets.period_of`, remembering the last one."""
        period = self._periods.get(kind)
        if period is None or not period.start <= now < (period.end or now + 1):
            period = self._periods[kind] = period_of(kind, now)
        return period

    def _of(self, key_id: str, quota: Quota, tags: Tags, model: str) -> Iterator[Meter]:
        yield from _rates(f"key:{key_id}", quota.rpm, quota.tpm, quota.concurrent)
        for index, (names, by_tag) in enumerate(self._tags):
            for tag in tags:
                text = "=".join(tag)
                if names.covers(text):
                    yield from _rates(f"tag:{index}:{text}", by_tag.rpm, by_tag.tpm, by_tag.concurrent)
        for index, (names, by_model) in enumerate(self._models):
            if names.covers(model):
                yield from _rates(f"model:{index}:{model}", by_model.rpm, by_model.tpm, by_model.concurrent)
        yield from self._gateway


def _rates(subject: str, rpm: int, tpm: int, concurrent: int) -> list[Meter]:
    kinds = ((Kind.REQUESTS, rpm), (Kind.TOKENS, tpm), (Kind.STREAMS, concurrent))
    return [Meter(kind, subject, limit) for kind, limit in kinds if limit]
