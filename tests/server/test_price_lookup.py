"""server/price_lookup.py: the same prices, without the table in this process."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from genai_prices.data_snapshot import get_snapshot

from tidegate.server import price_lookup as module
from tidegate.server.price_lookup import PricesApart
from tidegate.server.price_table import BuiltInPrices

ADDRESSES = {"main": "https://api.openai.com/v1", "own": "http://127.0.0.1:8000/v1"}
NOW = 1_790_000_000.0


@pytest.mark.parametrize(("model", "upstream"), [("gpt-4o", "main"), ("gemini-2.5-pro", "own"), ("my-finetune", "own")])
def test_it_says_what_the_table_says(model: str, upstream: str) -> None:
    """Tiers and all, and nothing of a model that nobody sells; asked once."""
    apart = PricesApart(ADDRESSES)
    for _ in range(2):
        assert apart(model, upstream, NOW) == BuiltInPrices(ADDRESSES)(model, upstream, NOW)
    assert (apart._here, list(apart._found)) == (None, [(model, upstream)])


def test_this_process_does_not_load_the_table() -> None:
    program = (
        "import sys; from tidegate.server.price_lookup import PricesApart;"
        "assert PricesApart({})('gpt-4o', 'main', None).input;"
        "print([name for name in sys.modules if name.startswith(('genai_prices', 'pydantic'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_a_price_that_depends_on_the_hour_is_looked_up_here() -> None:
    timed = next(
        model.id
        for provider in get_snapshot().providers
        if provider.id == "deepseek"
        for model in provider.models
        if isinstance(model.prices, list)
    )
    addresses = {"main": "https://api.deepseek.com"}
    apart, table = PricesApart(addresses), BuiltInPrices(addresses)
    assert table.changes(timed, "main")
    for hour in range(24):
        at = NOW + hour * 3600
        assert apart(timed, "main", at) == table(timed, "main", at)
    assert apart._found == {}


def test_many_models_are_looked_up_here(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def counting(model: str, address: str | None) -> module.Found:
        asked.append(model)
        return module.Found(known=True)

    monkeypatch.setattr(module, "_ask", counting)
    apart = PricesApart(ADDRESSES)
    assert [apart(model, "main", NOW) for model in ("a", "b")] == [None, None]
    assert apart("gpt-4o", "main", NOW) == BuiltInPrices(ADDRESSES)("gpt-4o", "main", NOW)
    assert asked == ["a", "b"]


@pytest.mark.parametrize("failure", [OSError(), subprocess.TimeoutExpired("x", 1.0), b"nonsense"])
def test_where_no_process_answers_the_table_is_loaded_here(monkeypatch: pytest.MonkeyPatch, failure: Any) -> None:
    def run(*_: Any, **__: Any) -> Any:
        if isinstance(failure, Exception):
            raise failure
        return subprocess.CompletedProcess([], 0, stdout=failure)

    monkeypatch.setattr(subprocess, "run", run)
    assert PricesApart(ADDRESSES)("gpt-4o", "main", NOW) == BuiltInPrices(ADDRESSES)("gpt-4o", "main", NOW)
