"""policy/budgets.py: money of a period."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.policy.budgets import NANOS, PERIODS, Budget, budget_of, dollars, period_of


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "amount", "period"),
    [
        ("5.00/day", 5 * NANOS, "day"),
        ("$0.5/week", NANOS // 2, "week"),
        ("12 USD/month", 12 * NANOS, "month"),
        (" 0.000001/total ", 1000, "total"),
    ],
)
def test_a_budget_is_dollars_and_a_period(text: str, amount: int, period: str) -> None:
    assert budget_of(text) == Budget(amount, period)


@pytest.mark.parametrize(
    "text", ["", "5", "5/", "/day", "5/year", "-5/day", "0/day", "5,00/day", "5/day/day", "1e3/day"]
)
def test_anything_else_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="such as"):
        budget_of(text)


@pytest.mark.parametrize(
    ("nanos", "text"), [(5 * NANOS, "5.00"), (1_500_000, "0.0015"), (1, "0.000000001"), (1234 * NANOS // 10, "123.40")]
)
def test_money_is_shown_with_as_many_digits_as_it_has(nanos: int, text: str) -> None:
    assert dollars(nanos) == text


def test_a_budget_shown_reads_as_itself() -> None:
    assert budget_of(str(Budget(2_500_000_000, "week"))) == Budget(2_500_000_000, "week")


@pytest.mark.parametrize(
    ("kind", "now", "name", "start", "end"),
    [
        ("day", "2026-11-25T13:00", "day:2026-11-25", "2026-11-25", "2026-11-26"),
        ("week", "2026-11-25T13:00", "week:2026-11-23", "2026-11-23", "2026-11-30"),
        ("week", "2026-11-23T00:00", "week:2026-11-23", "2026-11-23", "2026-11-30"),
        ("month", "2026-01-31T23:59", "month:2026-01-01", "2026-01-01", "2026-02-01"),
        ("month", "2026-12-01T00:00", "month:2026-12-01", "2026-12-01", "2027-01-01"),
        ("month", "2028-02-29T12:00", "month:2028-02-01", "2028-02-01", "2028-03-01"),
    ],
)
def test_periods_begin_at_midnight_utc(kind: str, now: str, name: str, start: str, end: str) -> None:
    period = period_of(kind, at(now))
    assert (period.name, period.start, period.end) == (name, at(start), at(end))


def test_all_time_has_no_end() -> None:
    period = period_of("total", at("2026-11-25"))
    assert (period.start, period.end) == (0, None)


@given(st.sampled_from(PERIODS[:3]), st.integers(0, 4_000_000_000))
def test_every_moment_is_in_its_period_and_the_next_begins_where_it_ends(kind: str, now: int) -> None:
    period = period_of(kind, now)
    assert period.end is not None
    assert period.start <= now < period.end
    assert period_of(kind, period.end).start == period.end
    assert period_of(kind, period.start) == period == period_of(kind, period.end - 1)
