"""What an answer costs: a table of prices, what the configuration says otherwise, and the sum. PURE.

Money is in micro-dollars, because US dollars per million tokens, as providers write their prices, are micro-dollars per
token. A model that nobody has a price for has none: ``None``, never zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tidegate.events import Usage
from tidegate.policy.names import Names
from tidegate.policy.options import PriceOptions

__all__ = ["PriceTable", "Prices", "Rates"]

_REMEMBERED: Final = 512
"""Pairs of model and upstream whose place in the configuration is remembered; clients choose names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Micro-dollars per token. What has no rate of its own costs what its kind costs."""

    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    reasoning: Decimal | None = None
    audio_input: Decimal | None = None
    audio_output: Decimal | None = None
    above: tuple[tuple[int, Rates], ...] = ()
    """Prompts of more than so many tokens have other rates, for all of their tokens; ascending."""

    def of(self, prompt_tokens: int) -> Rates:
        """The rates of a request with a prompt of that size."""
        found = self
        for start, rates in self.above:
            if prompt_tokens > start:
                found = rates
        return found

    def cost(self, usage: Usage) -> Decimal:
        """Micro-dollars. Cached, audio and reasoning tokens are parts of prompt and output."""
        rates = self.of(usage.prompt_tokens) if self.above else self
        if usage.plain:
            return usage.prompt_tokens * rates.input + usage.output_tokens * rates.output
        cached = min(usage.cached_tokens, usage.prompt_tokens)
        heard = min(usage.audio_prompt_tokens, usage.prompt_tokens - cached)
        thought = min(usage.reasoning_tokens, usage.output_tokens)
        spoken = min(usage.audio_output_tokens, usage.output_tokens - thought)
        return (
            (usage.prompt_tokens - cached - heard) * rates.input
            + cached * _or(rates.cached, rates.input)
            + heard * _or(rates.audio_input, rates.input)
            + (usage.output_tokens - thought - spoken) * rates.output
            + thought * _or(rates.reasoning, rates.output)
            + spoken * _or(rates.audio_output, rates.output)
        )


PriceTable = Callable[[str, str, float | None], Rates | None]
"""``(model, upstream, Unix seconds or None for now)`` to its rates. Some providers are cheaper at night."""


class Prices:
    """The prices of one configuration.

    :param options: ``[[price]]``, in order: the first that covers a model wins over the table.
    :param table: everybody else's prices.
    """

    __slots__ = ("_known", "_own", "_table")

    def __init__(self, options: Sequence[PriceOptions] = (), table: PriceTable | None = None) -> None:
        self._own = [(price.upstream, Names((price.model,)), _rates(price)) for price in options]
        self._table = table
        self._known: dict[tuple[str, str], Rates | None] = {}

    def rates(self, model: str, upstream: str, at: float | None = None) -> Rates | None:
        """The rates of a model on an upstream; ``None`` when nobody knows.

        :param model: the upstream's own name of it.
        :param at: Unix seconds; now, when not given.
        """
        own = self._configured(model, upstream) if self._own else None
        if own is not None or self._table is None:
            return own
        return self._table(model, upstream, at)

    def cost(self, model: str, upstream: str, usage: Usage, at: float | None = None) -> Decimal | None:
        """Micro-dollars for ``usage``; ``None`` for a model without a price."""
        rates = self.rates(model, upstream, at)
        return None if rates is None else rates.cost(usage)

    def _configured(self, model: str, upstream: str) -> Rates | None:
        pair = (model, upstream)
        if pair in self._known:
            return self._known[pair]
        found = next(
            (rates for name, models, rates in self._own if name in ("", upstream) and models.covers(model)), None
        )
        if len(self._known) < _REMEMBERED:
            self._known[pair] = found
        return found


def _or(rate: Decimal | None, instead: Decimal) -> Decimal:
    return instead if rate is None else rate


def _rates(price: PriceOptions) -> Rates:
    return Rates(
        input=_exact(price.input),
        output=_exact(price.output),
        cached=_given(price.cached),
        reasoning=_given(price.reasoning),
        audio_input=_given(price.audio_input),
        audio_output=_given(price.audio_output),
    )


def _given(rate: float | None) -> Decimal | None:
    return None if rate is None else _exact(rate)


def _exact(rate: float) -> Decimal:
    """What stands in the file, not what binary makes of it."""
    return Decimal(repr(rate))
