"""policy/meters.py: which limits a request falls under."""

from __future__ import annotations

import pytest

from tidegate.policy import meters
from tidegate.policy.budgets import NANOS, Budget, Period
from tidegate.policy.limits import Kind, Meter
from tidegate.policy.meters import UNLIMITED, Meters, Quota
from tidegate.policy.options import LimitOptions, ModelLimit, TagLimit

NOW = 1_795_000_000.0


def nothing(_: str, __: Period) -> int:
    return 0


def of(
    options: LimitOptions, quota: Quota = UNLIMITED, tags: dict[str, str] | None = None, model: str = "m"
) -> list[Meter]:
    return list(Meters(options).of("k", quota, tuple((tags or {}).items()), model, NOW, nothing))


def test_without_limits_there_is_none() -> None:
    assert of(LimitOptions(), tags={"team": "a"}) == []
    assert not Meters(LimitOptions()).any


def test_a_keys_own_come_first_and_then_the_gateways() -> None:
    options = LimitOptions(rpm=100, tpm=1000, concurrent=10)
    assert Meters(options).any
    assert of(options, Quota(rpm=1, tpm=2, concurrent=3)) == [
        Meter(Kind.REQUESTS, "key:k", 1),
        Meter(Kind.TOKENS, "key:k", 2),
        Meter(Kind.STREAMS, "key:k", 3),
        Meter(Kind.REQUESTS, "gateway", 100),
        Meter(Kind.TOKENS, "gateway", 1000),
        Meter(Kind.STREAMS, "gateway", 10),
    ]


def test_a_budget_is_of_its_period_and_knows_what_is_spent() -> None:
    asked = []

    def spent(subject: str, period: Period) -> int:
        asked.append((subject, period.name))
        return 7

    quota = Quota(budget=Budget(NANOS, "day"))
    (meter,) = Meters(LimitOptions()).of("k", quota, (), "m", NOW, spent)
    assert meter.kind is Kind.BUDGET
    assert asked == [(meter.subject, meter.subject.removeprefix("key:k:"))]
    assert (meter.limit, meter.spent) == (NANOS, 7)
    assert meter.resets is not None
    assert 0 < meter.resets <= 86_400_000
    (forever,) = Meters(LimitOptions()).of("k", Quota(budget=Budget(NANOS, "total")), (), "m", NOW, nothing)
    assert forever.resets is None


def test_a_rule_for_a_pattern_is_a_limit_for_each_that_it_covers() -> None:
    rules = (TagLimit(tag="team=*", concurrent=5), TagLimit(tag="team=search", rpm=2))
    options = LimitOptions(tags=rules, models=(ModelLimit(model="gpt-*", tpm=9),))
    assert Meters(options).any
    assert of(options, tags={"team": "search", "app": "x"}, model="gpt-5") == [
        Meter(Kind.STREAMS, "tag:0:team=search", 5),
        Meter(Kind.REQUESTS, "tag:1:team=search", 2),
        Meter(Kind.TOKENS, "model:0:gpt-5", 9),
    ]
    assert of(options, tags={"team": "ads"}) == [Meter(Kind.STREAMS, "tag:0:team=ads", 5)]


def test_what_is_remembered_is_the_keys_own_and_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meters, "_REMEMBERED", 3)
    made = Meters(LimitOptions())
    one, other = Quota(rpm=1), Quota(rpm=2)
    tags = (("a", "b"),)
    assert made.of("k", one, tags, "m", NOW, nothing) is made.of("k", one, tags, "m", NOW, nothing)
    assert made.of("k", other, tags, "m", NOW, nothing) == (Meter(Kind.REQUESTS, "key:k", 2),)
    for number in range(10):
        made.of("k", one, tags, str(number), NOW, nothing)
    assert len(made._known) <= 3


def test_a_new_day_is_a_new_period() -> None:
    made = Meters(LimitOptions())
    today = made.period("day", NOW)
    assert made.period("day", NOW + 1) is today
    assert made.period("day", NOW + 86_400).name != today.name
    assert made.period("total", NOW) is made.period("total", NOW + 10**9)


def test_a_budgets_meter_is_good_for_a_second_of_its_period_and_its_quota() -> None:
    made = Meters(LimitOptions())
    quota, other = Quota(budget=Budget(5, "day")), Quota(budget=Budget(5, "day"))
    spent = [0]

    def known(*_: object) -> int:
        spent[0] += 1
        return spent[0]

    assert made.recent_budget("k", quota, NOW) is None
    first = made.budget("k", quota, NOW, known)
    assert made.recent_budget("k", quota, NOW) is first is made.budget("k", quota, NOW + 0.9, known)
    assert made.recent_budget("k", quota, NOW - 1) is None, "the clock was set back"
    assert made.recent_budget("k", other, NOW) is None, "the key has changed"
    assert made.recent_budget("j", quota, NOW) is None
    again = made.budget("k", quota, NOW + 1, known)
    assert first is not None
    assert again is not None
    assert (first.spent, again.spent) == (1, 2)


def test_a_budgets_meter_is_never_good_for_another_day() -> None:
    made = Meters(LimitOptions())
    quota = Quota(budget=Budget(5, "day"))
    midnight = float(made.period("day", NOW).end or 0)
    today = made.budget("k", quota, midnight - 0.5, nothing)
    tomorrow = made.budget("k", quota, midnight, nothing)
    assert today is not None
    assert tomorrow is not None
    assert today.subject != tomorrow.subject
    assert (today.resets, tomorrow.resets) == (500, 86_400_000)


def test_the_meters_of_budgets_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meters, "_REMEMBERED", 3)
    made = Meters(LimitOptions())
    for number in range(10):
        made.budget(str(number), Quota(budget=Budget(5, "total")), NOW, nothing)
    assert len(made._budgets) <= 3
