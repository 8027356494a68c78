"""Which limits a request falls under: its key's own, those of its tags and its model, the gateway's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tidegate.policy.budgets import Budget, Period, period_of
from tidegate.policy.limits import Kind, Meter
from tidegate.policy.names import Names
from tidegate.policy.options import LimitOptions

__all__ = ["UNLIMITED", "Meters", "Quota", "subject_of_budget"]


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

    __slots__ = ("_gateway", "_models", "_tags", "any")

    def __init__(self, options: LimitOptions) -> None:
        self._gateway = _rates("gateway", options.rpm, options.tpm, options.concurrent)
        self._tags = [(Names([rule.tag]), rule) for rule in options.tags]
        self._models = [(Names([rule.model]), rule) for rule in options.models]
        self.any = bool(self._gateway or self._tags or self._models)
        """There is a limit that is not a key's."""

    def of(
        self,
        key_id: str,
        quota: Quota,
        tags: Mapping[str, str],
        model: str,
        now: float,
        spent: Callable[[str, Period], int],
    ) -> list[Meter]:
        """The meters of one request.

        :param now: Unix seconds.
        :param spent: nano-dollars that the ledger knows to be spent of a budget, by its subject and its period.
        """
        found = []
        if quota is not UNLIMITED:
            subject = f"key:{key_id}"
            found += _rates(subject, quota.rpm, quota.tpm, quota.concurrent)
            budget = quota.budget
            if budget is not None:
                period = period_of(budget.period, now)
                subject = subject_of_budget(key_id, period)
                resets = None if period.end is None else max(1, int((period.end - now) * 1000))
                found.append(Meter(Kind.BUDGET, subject, budget.amount, spent(subject, period), resets))
        for index, (names, rule) in enumerate(self._tags):
            for tag in tags.items():
                text = "=".join(tag)
                if names.covers(text):
                    found += _rates(f"tag:{index}:{text}", rule.rpm, rule.tpm, rule.concurrent)
        for index, (names, by_model) in enumerate(self._models):
            if names.covers(model):
                found += _rates(f"model:{index}:{model}", by_model.rpm, by_model.tpm, by_model.concurrent)
        return found + self._gateway


def _rates(subject: str, rpm: int, tpm: int, concurrent: int) -> list[Meter]:
    kinds = ((Kind.REQUESTS, rpm), (Kind.TOKENS, tpm), (Kind.STREAMS, concurrent))
    return [Meter(kind, subject, limit) for kind, limit in kinds if limit]
