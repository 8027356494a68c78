"""policy/meters.py: which limits a request falls under."""

from __future__ import annotations

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
    return Meters(options).of("k", quota, tags or {}, model, NOW, nothing)


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
    (meter,) = Meters(LimitOptions()).of("k", quota, {}, "m", NOW, spent)
    assert meter.kind is Kind.BUDGET
    assert asked == [(meter.subject, meter.subject.removeprefix("key:k:"))]
    assert (meter.limit, meter.spent) == (NANOS, 7)
    assert meter.resets is not None
    assert 0 < meter.resets <= 86_400_000
    (forever,) = Meters(LimitOptions()).of("k", Quota(budget=Budget(NANOS, "total")), {}, "m", NOW, nothing)
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
