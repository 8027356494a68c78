"""Prometheus: tokens and cost by model, and how the ledger is doing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["LedgerMetrics", "LedgerState"]


class LedgerState(NamedTuple):
    """What is asked for when somebody scrapes."""

    tokens: Mapping[tuple[str, str, bool], int]
    """By model, kind and whether they are estimated."""
    cost: Mapping[str, float]
    """US dollars by model."""
    unpriced: Mapping[str, int]
    """Streams by model."""
    waiting: int
    """Entries that are not in the database yet."""
    spool_bytes: int
    written: int
    dropped: int
    failed: int
    away: bool


class LedgerMetrics(Collector):
    """:param state: the figures of now.
    :param label: the label of a model's name; not every name that a client makes up gets one.
    """

    def __init__(
        self, registry: CollectorRegistry, state: Callable[[], LedgerState], label: Callable[[str], str]
    ) -> None:
        self._state = state
        self._label = label
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        state, label = self._state(), self._label
        tokens = CounterMetricFamily(
            "tidegate_tokens_total", "Tokens of ended streams.", labels=("model", "type", "estimated")
        )
        for labels, count in _summed(
            ((label(model), kind, "true" if estimated else "false"), count)
            for (model, kind, estimated), count in state.tokens.items()
        ).items():
            tokens.add_metric(labels, count)
        yield tokens
        for name, text, counts in (
            ("tidegate_cost_dollars_total", "Cost of ended streams in US dollars.", state.cost),
            ("tidegate_unpriced_streams_total", "Ended streams of models without a price.", state.unpriced),
        ):
            family = CounterMetricFamily(name, text, labels=("model",))
            for labels, value in _summed(((label(model),), value) for model, value in counts.items()).items():
                family.add_metric(labels, value)
            yield family
        yield GaugeMetricFamily("tidegate_ledger_waiting", "Entries that are not in the database.", value=state.waiting)
        yield GaugeMetricFamily("tidegate_ledger_spool_bytes", "Bytes of them in the spool.", value=state.spool_bytes)
        yield GaugeMetricFamily("tidegate_ledger_away", "1 while the database takes nothing.", value=int(state.away))
        for name, text, total in (
            ("tidegate_ledger_written_total", "Entries that were written to the database.", state.written),
            ("tidegate_ledger_dropped_total", "Entries that are lost.", state.dropped),
            ("tidegate_ledger_failures_total", "Tries to write to the database that failed.", state.failed),
        ):
            counter = CounterMetricFamily(name, text)
            counter.add_metric((), total)
            yield counter


def _summed(entries: Iterator[tuple[tuple[str, ...], float]]) -> dict[tuple[str, ...], float]:
    """Several names may share a label."""
    sums: dict[tuple[str, ...], float] = {}
    for labels, value in entries:
        sums[labels] = sums.get(labels, 0) + value
    return sums
