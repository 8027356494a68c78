"""Prometheus: which other gateways are known, and how often one did not answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["ReplicaMetrics", "ReplicaState"]


class ReplicaState(NamedTuple):
    """What is asked for when somebody scrapes."""

    known: int
    """Gateways that are alive, this one among them."""
    complete: bool
    """There are no others."""
    asked: int
    """Questions to others."""
    silent: int
    """Those of them that somebody did not answer."""


class ReplicaMetrics(Collector):
    """:param state: the figures of now."""

    def __init__(self, registry: CollectorRegistry, state: Callable[[], ReplicaState]) -> None:
        self._state = state
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        state = self._state()
        yield GaugeMetricFamily("tidegate_replicas", "Gateways known to be alive, with this one.", value=state.known)
        yield GaugeMetricFamily(
            "tidegate_replicas_unknown", "1 while there may be others.", value=int(not state.complete)
        )
        for name, text, count in (
            ("tidegate_replica_questions_total", "Questions about streams to other gateways.", state.asked),
            ("tidegate_replica_silences_total", "Questions that a gateway did not answer.", state.silent),
        ):
            family = CounterMetricFamily(name, text)
            family.add_metric((), count)
            yield family
