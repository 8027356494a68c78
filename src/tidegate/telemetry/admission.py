"""Prometheus: who was let in, who was not and why, what is live by tag, and how limits are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["MAX_TAGS", "AdmissionMetrics"]

MAX_TAGS = 100
"""Distinct tags that get a label of their own; the rest is ``other`` of its name, and names beyond it are ``other``."""

Tags = Iterable[tuple[str, str]]


class AdmissionMetrics(Collector):
    """Counted on the event loop, rendered when somebody scrapes.

    :param shared: whether Redis is away, how often it was lost and how many decisions were made without it; ``None``
        when limits are not shared.
    """

    def __init__(
        self, registry: CollectorRegistry, *, shared: Callable[[], tuple[bool, int, int]] | None = None
    ) -> None:
        self.admitted = 0
        """Streams that were let in."""
        self._refused: Counter[str] = Counter()
        self._live: Counter[tuple[str, str]] = Counter()
        self._labels: dict[tuple[str, str], tuple[str, str]] = {}
        self._shared = shared
        registry.register(self)

    def refused(self, cause: str) -> None:
        """A request was not let in; ``cause`` is one of our own words."""
        self._refused[cause] += 1

    def entered(self, tags: Tags) -> None:
        """A stream of a key with these tags began."""
        for tag in tags:
            self._live[self._labels.get(tag) or self._label(tag)] += 1

    def left(self, tags: Tags) -> None:
        """And ended."""
        for tag in tags:
            self._live[self._labels.get(tag) or self._label(tag)] -= 1

    def _label(self, tag: tuple[str, str]) -> tuple[str, str]:
        """Of one that is not known yet."""
        if len(self._labels) < MAX_TAGS:
            self._labels[tag] = tag
            return tag
        named = {name for name, _ in self._labels}
        return (tag[0] if tag[0] in named else "other", "other")

    def collect(self) -> Iterator[Metric]:
        admitted = CounterMetricFamily("tidegate_admitted_total", "Streams that were let in.")
        admitted.add_metric((), self.admitted)
        yield admitted
        refused = CounterMetricFamily("tidegate_refused_total", "Requests that were not let in.", labels=("cause",))
        for cause, count in self._refused.items():
            refused.add_metric((cause,), count)
        yield refused
        live = GaugeMetricFamily("tidegate_live_by_tag", "Live streams by tag of their key.", labels=("tag", "value"))
        for tag, count in self._live.items():
            live.add_metric(tag, count)
        yield live
        if self._shared is not None:
            away, losses, alone = self._shared()
            yield GaugeMetricFamily(
                "tidegate_limits_away", "1 while Redis, or the supervisor of workers, does not answer.", value=int(away)
            )
            for name, text, value in (
                ("tidegate_limits_losses_total", "Times that an answer of theirs did not come.", losses),
                ("tidegate_limits_alone_total", "Decisions that were made without them.", alone),
            ):
                family = CounterMetricFamily(name, text)
                family.add_metric((), value)
                yield family
