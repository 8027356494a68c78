"""server/price_table.py: the maintained table."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices import calc_price

from tidegate.events import Usage
from tidegate.server.price_table import BuiltInPrices

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)
OPENAI = {"main": "https://api.openai.com/v1", "own": "http://127.0.0.1:8000/v1"}


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4o-mini", "o3", "gpt-5", "gpt-4.1-nano"])
@pytest.mark.parametrize("upstream", ["main", "own"])
def test_it_says_what_the_package_says(model: str, upstream: str) -> None:
    rates = BuiltInPrices(OPENAI)(model, upstream, NOON.timestamp())
    assert rates is not None
    theirs = calc_price(
        TheirUsage(input_tokens=10_000, output_tokens=700, cache_read_tokens=4_000),
        model_ref=model,
        provider_id="openai",
        genai_request_timestamp=NOON,
    )
    ours = rates.cost(Usage(prompt_tokens=10_000, output_tokens=700, cached_tokens=4_000))
    assert ours == theirs.total_price * 1_000_000


@pytest.mark.parametrize("size", [100_000, 200_000, 200_001, 900_000])
def test_tiers_are_those_of_the_package(size: int) -> None:
    rates = BuiltInPrices({})("gemini-2.5-pro", "main", NOON.timestamp())
    assert rates is not None
    theirs = calc_price(
        TheirUsage(input_tokens=size, output_tokens=100),
        model_ref="gemini-2.5-pro",
        provider_id="google",
        genai_request_timestamp=NOON,
    )
    assert rates.cost(Usage(prompt_tokens=size, output_tokens=100)) == theirs.total_price * 1_000_000


def test_a_model_that_nobody_sells_has_no_price() -> None:
    table = BuiltInPrices(OPENAI)
    for _ in range(2):
        assert table("my-finetune", "own", None) is None


def test_prices_of_now_need_no_time() -> None:
    rates = BuiltInPrices(OPENAI)("gpt-4o", "main", None)
    assert rates is not None
    assert rates.input > Decimal(0)
