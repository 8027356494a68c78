"""server/costs.py: what models cost, for budgets."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.telemetry.records import record
from tidegate.events import Usage
from tidegate.policy.options import PriceOptions
from tidegate.policy.prices import Prices, Rates
from tidegate.policy.routing import Router, RouteSpec
from tidegate.server.admission import Price
from tidegate.server.costs import Costs

PRICES = Prices(
    (
        PriceOptions(model="big", upstream="first", input=2.5, output=10.0),
        PriceOptions(model="big", upstream="second", input=1.0, output=1.0, cached=0.5),
    )
)
ROUTER = Router(
    (
        RouteSpec(name="second", models=("big",), priority=1),
        RouteSpec(name="first", models=("free",), aliases={"fast": "big"}),
    )
)


def dearer_each_time() -> tuple[list[str], Prices]:
    """A table that notes for which upstream it is asked, and asks a micro-dollar more each time."""
    asked: list[str] = []

    def table(model: str, upstream: str, at: float | None) -> Rates:
        asked.append(upstream)
        return Rates(input=Decimal(len(asked)), output=Decimal(1))

    return asked, Prices((), table)


def test_before_a_stream_it_is_what_the_first_upstream_takes() -> None:
    costs = Costs(PRICES, lambda: ROUTER)
    assert costs.expected("fast") == Price(2500.0, 10_000.0)
    assert costs.expected("big") == Price(1000.0, 1000.0)


def test_a_model_without_a_price_or_a_route_has_none_and_that_is_said_once() -> None:
    costs = Costs(PRICES, lambda: ROUTER)
    assert [costs.expected(name) for name in ("free", "free", "nowhere")] == [None, None, None]
    assert costs._unpriced == {"free", "nowhere"}


def test_a_price_is_asked_for_again_after_a_minute_and_when_the_routes_change(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [6000.0]
    monkeypatch.setattr("tidegate.server.costs.time.time", lambda: now[0])
    asked, prices = dearer_each_time()
    router = [ROUTER]
    costs = Costs(prices, lambda: router[0])
    assert [costs.expected("big") for _ in range(3)] == [Price(1000.0, 1000.0)] * 3
    now[0] += 60
    assert costs.expected("big") == Price(2000.0, 1000.0)
    router[0] = Router((RouteSpec(name="third", models=("big",)),))
    assert costs.expected("big") == Price(3000.0, 1000.0)
    assert asked == ["second", "second", "third"]


def test_the_models_that_clients_make_up_are_not_all_remembered() -> None:
    costs = Costs(PRICES, lambda: ROUTER)
    for number in range(2000):
        costs.expected(f"m{number}")
    assert len(costs._known) <= 512


def test_after_a_stream_it_is_what_the_upstream_that_answered_takes() -> None:
    costs = Costs(PRICES, lambda: ROUTER)
    usage = Usage(prompt_tokens=100, output_tokens=10, cached_tokens=40)
    assert costs.of(record(served_model="big", upstream="first", model="fast"), usage) == 350_000
    assert costs.of(record(served_model="big", upstream="second"), usage) == 90_000
    assert costs.of(record(served_model="free", upstream="first"), usage) == 0


MANY = st.integers(0, 2_000_000)
RATES = st.decimals(0, 1000, places=4)
USAGE = st.builds(Usage, MANY, MANY, *[st.sampled_from([0, 0, 7, 5000])] * 4)


@given(RATES, RATES, st.none() | RATES, st.booleans(), USAGE)
def test_it_is_what_the_ledger_makes_of_it(
    prompt: Decimal, output: Decimal, cached: Decimal | None, dearer: bool, usage: Usage
) -> None:
    above = ((1000, Rates(input=prompt * 2, output=output * 2)),) if dearer else ()
    rates = Rates(input=prompt, output=output, cached=cached, above=above)
    costs = Costs(Prices((), lambda *_: rates), lambda: ROUTER)
    assert abs(costs.of(record(served_model="big", upstream="x"), usage) - rates.cost(usage) * 1000) <= 1


def test_what_was_paid_is_looked_up_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [6000.0]
    monkeypatch.setattr("tidegate.server.costs.time.time", lambda: now[0])
    asked, prices = dearer_each_time()
    costs = Costs(prices, lambda: ROUTER)
    ended = record(served_model="big", upstream="first")
    assert [costs.of(ended, Usage(1)) for _ in range(3)] == [1000] * 3
    now[0] += 60
    costs.expected("nowhere")
    assert [costs.of(ended, Usage(1)) for _ in range(3)] == [2000] * 3
    assert asked == ["first", "first"]
