"""Everybody's prices: the table that ``genai-prices`` maintains and ships. Nothing is downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from threading import Lock
from typing import Any, Final

from tidegate.policy.prices import Rates

__all__ = ["BuiltInPrices"]

_REMEMBERED: Final = 1024


class BuiltInPrices:
    """A :data:`tidegate.policy.prices.PriceTable`.

    An upstream whose address is a known provider's has that provider's prices. One at any other address (a proxy, a
    server of one's own) has those of the model's maker, as far as the name tells who that is.

    :param addresses: the base URL of each upstream, by its name.
    """

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._addresses = addresses
        self._found: dict[tuple[str, str], Any] = {}
        self._rates: dict[int, tuple[Any, Rates | None]] = {}
        self._lock = Lock()

    def __call__(self, model: str, upstream: str, at: float | None = None) -> Rates | None:
        with self._lock:
            found = self._find(model, upstream)
            if found is None:
                return None
            prices = found.get_prices(datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC))
            # Its own objects, which live as long as the table; kept beside the rates so that their ids stay theirs.
            known = self._rates.get(id(prices))
            if known is None:
                known = self._rates[id(prices)] = (prices, _as_rates(prices))
            return known[1]

    def changes(self, model: str, upstream: str) -> bool:
        """Whether a model's price depends on when it is asked."""
        with self._lock:
            found = self._find(model, upstream)
        return found is not None and isinstance(found.prices, list)

    def _find(self, model: str, upstream: str) -> Any:
        pair = (model, upstream)
        if pair in self._found:
            return self._found[pair]
        found = _find(model, self._addresses.get(upstream))
        if len(self._found) < _REMEMBERED:
            self._found[pair] = found
        return found


def _find(model: str, address: str | None) -> Any:
    # Imported here because it takes a third of a second, which a gateway without an answer yet need not wait for.
    from genai_prices.data_snapshot import get_snapshot

    table = get_snapshot()
    for where in (address, None):
        try:
            return table.find_provider_model(model, None, None, where)[1]
        except LookupError:
            continue
    return None


def _as_rates(prices: Any) -> Rates | None:
    """One model's prices at every size of prompt; ``None`` when it is not sold by the token."""
    tiers = sorted(
        {
            tier.start
            for price in (prices.__dict__.get(name) for name in _NAMES.values())
            if price is not None and not isinstance(price, Decimal)
            for tier in price.tiers
        }
    )
    base = _rates_at(prices, 0)
    if base is None:
        return None
    above = tuple((start, rates) for start in tiers if (rates := _rates_at(prices, start + 1)) is not None)
    return Rates(**{name: getattr(base, name) for name in _NAMES}, above=above)


_NAMES: Final = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached": "cache_read_mtok",
    "reasoning": "output_reasoning_mtok",
    "audio_input": "input_audio_mtok",
    "audio_output": "output_audio_mtok",
}


def _rates_at(prices: Any, prompt_tokens: int) -> Rates | None:
    found: dict[str, Any] = {}
    for name, field in _NAMES.items():
        price = prices.__dict__.get(field)
        if price is not None and not isinstance(price, Decimal):
            price = next((tier.price for tier in reversed(price.tiers) if prompt_tokens > tier.start), price.base)
        found[name] = price
    given, made = found.pop("input"), found.pop("output")
    if given is None and made is None:
        return None
    return Rates(input=given or Decimal(0), output=made or Decimal(0), **found)
