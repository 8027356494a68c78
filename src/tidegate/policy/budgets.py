"""Money of a period: ``5.00/day``, and when its day, week or month begins and ends (UTC)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

__all__ = ["NANOS", "PERIODS", "Budget", "Period", "budget_of", "dollars", "period_of"]

NANOS: Final = 1_000_000_000
"""Nano-dollars of a dollar. A token of a small model costs less than a micro-dollar."""

PERIODS: Final = ("day", "week", "month", "total")

_BUDGET: Final = re.compile(r"\$?(\d{1,9}(?:\.\d{1,6})?)(?: ?USD)?/(day|week|month|total)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Budget:
    """So many nano-dollars in each period."""

    amount: int
    period: str

    def __str__(self) -> str:
        return f"{dollars(self.amount)}/{self.period}"


@dataclass(frozen=True, slots=True)
class Period:
    """One day, week or month, or all time. Unix seconds; ``end`` is ``None`` when there is none."""

    name: str
    start: int
    end: int | None


def budget_of(text: str) -> Budget:
    """Of ``5.00/day``: US dollars, then ``day``, ``week``, ``month`` or ``total``.

    :raises ValueError: it is not that; the message continues a sentence that begins with what it is.
    """
    match = _BUDGET.fullmatch(text.strip())
    amount = int(Decimal(match[1]) * NANOS) if match is not None else 0
    if match is None or amount == 0:
        raise ValueError('must be US dollars and a period, such as "5.00/day" (day, week, month or total)')
    return Budget(amount, match[2])


def dollars(nanos: int) -> str:
    """``5.00``; more digits only where there are any."""
    text = f"{Decimal(nanos) / NANOS:.9f}".rstrip("0")
    whole, _, rest = text.partition(".")
    return f"{whole}.{rest.ljust(2, '0')}"


def period_of(kind: str, now: float) -> Period:
    """The period in which ``now`` (Unix seconds) lies."""
    moment = datetime.fromtimestamp(now, UTC)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if kind == "day":
        start, end = midnight, midnight + timedelta(days=1)
    elif kind == "week":
        start = midnight - timedelta(days=midnight.weekday())
        end = start + timedelta(days=7)
    elif kind == "month":
        start = midnight.replace(day=1)
        end = (start + timedelta(days=31)).replace(day=1)
    else:
        return Period("total", 0, None)
    return Period(f"{kind}:{start.date().isoformat()}", int(start.timestamp()), int(end.timestamp()))
