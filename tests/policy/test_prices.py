"""policy/prices.py: what an answer costs."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.events import Usage
from tidegate.policy.options import PriceOptions
from tidegate.policy.prices import Prices, Rates

PLAIN = Rates(input=Decimal("2.5"), output=Decimal(10))
APART = Rates(
    input=Decimal("2.5"),
    output=Decimal(10),
    cached=Decimal("1.25"),
    reasoning=Decimal(12),
    audio_input=Decimal(40),
    audio_output=Decimal(80),
)


class TestRates:
    def test_every_kind_of_token_has_its_rate(self) -> None:
        usage = Usage(
            prompt_tokens=100,
            output_tokens=50,
            cached_tokens=20,
            reasoning_tokens=10,
            audio_prompt_tokens=5,
            audio_output_tokens=4,
        )
        assert APART.cost(usage) == 75 * Decimal("2.5") + 20 * Decimal("1.25") + 5 * 40 + 36 * 10 + 10 * 12 + 4 * 80

    def test_a_kind_without_a_rate_costs_what_it_is_part_of(self) -> None:
        usage = Usage(prompt_tokens=100, output_tokens=50, cached_tokens=20, reasoning_tokens=10, audio_output_tokens=9)
        assert PLAIN.cost(usage) == 100 * Decimal("2.5") + 500

    def test_a_rate_of_nothing_is_a_rate(self) -> None:
        free = Rates(input=Decimal(1), output=Decimal(1), cached=Decimal(0))
        assert free.cost(Usage(prompt_tokens=10, cached_tokens=10)) == 0

    def test_a_long_prompt_has_the_rates_of_its_tier_for_all_of_it(self) -> None:
        dear, dearer = Rates(input=Decimal(5), output=Decimal(20)), Rates(input=Decimal(9), output=Decimal(30))
        rates = Rates(input=Decimal(1), output=Decimal(2), above=((100, dear), (200, dearer)))
        costs = [rates.cost(Usage(prompt_tokens=size)) for size in (100, 101, 200, 201)]
        assert costs == [100, 505, 1000, 1809]

    @given(st.builds(Usage, *[st.integers(0, 10**7)] * 6))
    def test_parts_that_are_more_than_the_whole_never_make_it_cheaper_than_nothing(self, usage: Usage) -> None:
        cost = APART.cost(usage)
        assert 0 <= cost <= usage.prompt_tokens * 40 + usage.output_tokens * 80


class TestPrices:
    def test_a_model_that_nobody_knows_has_no_price(self) -> None:
        assert Prices().cost("m", "main", Usage(prompt_tokens=1)) is None
        assert Prices([PriceOptions(model="x", input=1, output=1)], lambda *_: None).rates("m", "main") is None

    def test_the_table_is_asked_for_the_model_the_upstream_and_the_time(self) -> None:
        asked: list[tuple[str, str, float | None]] = []

        def table(model: str, upstream: str, at: float | None) -> Rates:
            asked.append((model, upstream, at))
            return PLAIN

        assert Prices((), table).cost("m", "main", Usage(output_tokens=3), 5.0) == 30
        assert Prices((), table).rates("m", "main") is PLAIN
        assert asked == [("m", "main", 5.0), ("m", "main", None)]

    @pytest.mark.parametrize(
        ("model", "upstream", "input_rate"),
        [("gpt-4o", "azure", 1), ("gpt-4o", "openai", 2), ("gpt-4o-mini", "azure", 3), ("llama", "own", 99)],
    )
    def test_the_first_that_covers_model_and_upstream_wins(self, model: str, upstream: str, input_rate: int) -> None:
        own = [
            PriceOptions(model="gpt-4o", upstream="azure", input=1, output=1),
            PriceOptions(model="gpt-4o", input=2, output=1),
            PriceOptions(model="gpt-*", input=3, output=1),
        ]
        prices = Prices(own, lambda *_: Rates(input=Decimal(99), output=Decimal(99)))
        for _ in range(2):
            found = prices.rates(model, upstream)
            assert found is not None
            assert found.input == input_rate

    def test_a_price_is_what_stands_in_the_file(self) -> None:
        price = PriceOptions(model="m", input=0.1, output=0.3, cached=0.025)
        usage = Usage(prompt_tokens=3, output_tokens=1, cached_tokens=1)
        assert Prices([price]).cost("m", "main", usage) == Decimal("0.525")

    def test_names_that_clients_make_up_are_not_remembered_for_ever(self) -> None:
        prices = Prices([PriceOptions(model="known", input=1, output=1)])
        for number in range(600):
            assert prices.rates(f"m{number}", "main") is None
        assert prices.rates("known", "main") is not None
