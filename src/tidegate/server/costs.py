"""What models cost, for budgets: before a stream on the upstream that is asked first, after it on the one that was."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import structlog

from tidegate.events import Usage
from tidegate.policy.prices import Prices, Rates
from tidegate.policy.routing import Router
from tidegate.server.admission import Price
from tidegate.telemetry.record import StreamRecord

__all__ = ["Costs"]

_NANOS: Final = 1000
_SAID: Final = 100

_GOOD_FOR: Final = 60
"""Seconds that a price is remembered, at most."""

_REMEMBERED: Final = 512
"""Models; clients choose the names."""

Paid = tuple[Rates, float, float]
"""What a model costs on one upstream, and in nano-dollars a plain token of the prompt and one of the answer."""

_log = structlog.get_logger()


class Costs:
    """A :class:`tidegate.server.admission.Cost`.

    :param router: the routes of this moment.
    """

    def __init__(self, prices: Prices, router: Callable[[], Router]) -> None:
        self._prices = prices
        self._router = router
        self._unpriced: set[str] = set()
        self._known: dict[str, Price | None] = {}
        self._paid: dict[tuple[str, str], Paid | None] = {}
        self._known_of: tuple[Router, int] | None = None

    def expected(self, model: str) -> Price | None:
        # Some prices change with the hour, and all with the routes.
        now = (self._router(), int(time.time()) // _GOOD_FOR)
        if now != self._known_of or len(self._known) + len(self._paid) >= _REMEMBERED:
            self._known, self._paid, self._known_of = {}, {}, now
        if model not in self._known:
            self._known[model] = self._expected(model)
        return self._known[model]

    def _expected(self, model: str) -> Price | None:
        route = next(iter(self._router().candidates(model, lambda: 0.5)), None)
        rates = None if route is None else self._prices.rates(route.model, route.upstream)
        if rates is None:
            if model not in self._unpriced and len(self._unpriced) < _SAID:
                self._unpriced.add(model)
                _log.warning("budget.unpriced", model=model, effect="it spends nothing of a budget; add a [[price]]")
            return None
        return Price(float(rates.input) * _NANOS, float(rates.output) * _NANOS)

    def of(self, record: StreamRecord, usage: Usage) -> int:
        served = record.served_model or record.model, record.upstream
        if served not in self._paid:
            self._paid[served] = self._paid_for(*served)
        paid = self._paid[served]
        if paid is None:
            return 0
        rates, prompt, output = paid
        if rates.above or not usage.plain:
            return round(rates.cost(usage) * _NANOS)
        # To the nano-dollar what the ledger makes of it, for a tenth of the time of its decimals.
        return round(usage.prompt_tokens * prompt + usage.output_tokens * output)

    def _paid_for(self, model: str, upstream: str) -> Paid | None:
        rates = self._prices.rates(model, upstream)
        return None if rates is None else (rates, float(rates.input * _NANOS), float(rates.output * _NANOS))
