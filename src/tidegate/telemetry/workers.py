"""Prometheus: what several workers count, as if one process had counted it.

A worker tells its samples as they are (:func:`samples_of`); whoever has them all adds them up. What a worker that has
ended counted stays counted: a counter that goes down looks like a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from operator import add
from typing import Final, cast

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from tidegate.telemetry.prometheus import MAX_MODELS
from tidegate.wire.seen import completion_ratio

__all__ = ["Family", "Together", "samples_of"]

Family = tuple[str, str, str, list[tuple[str, dict[str, str], float]]]
"""Name, type, help, and of each sample its name, labels and value."""

GREATEST: Final = frozenset(
    {
        *("tidegate_build_info", "tidegate_limits_away", "tidegate_ledger_away"),
        *("tidegate_replicas", "tidegate_replicas_unknown"),
        *("python_info", "process_max_fds"),
    }
)
"""Of these the sum means nothing: what the worst of them says is so."""

LEAST: Final = frozenset({"process_start_time_seconds"})

MODEL_LABELS: Final = ("model", "gen_ai_request_model")

_Place = tuple[str, tuple[tuple[str, str], ...]]


def samples_of(registry: CollectorRegistry) -> list[Family]:
    """Everything that a process counts, as it can be sent."""
    return [
        (
            metric.name,
            metric.type,
            metric.documentation,
            [(sample.name, sample.labels, sample.value) for sample in metric.samples],
        )
        for metric in registry.collect()
    ]


class _Sum:
    """One metric of them all."""

    __slots__ = ("documentation", "kind", "values")

    def __init__(self, kind: str, documentation: str) -> None:
        self.kind = kind
        self.documentation = documentation
        self.values: dict[_Place, float] = {}

    def copy(self) -> _Sum:
        made = _Sum(self.kind, self.documentation)
        made.values.update(self.values)
        return made


class Together:
    """Of workers by name, what each said last, and what those that have ended had counted.

    :param models: names that always have a label of their own, such as those of the configuration; of others as many
        as in one process, however many workers come and go.
    """

    def __init__(self, models: Iterable[str] = ()) -> None:
        self._models = set(models)
        self._room = len(self._models) + MAX_MODELS
        self._said: dict[str, list[Family]] = {}
        self._ended: dict[str, _Sum] = {}
        self.deaths = 0
        """Workers that ended without having been told to."""

    def name(self, models: Iterable[str]) -> None:
        """These have a label of their own from now on."""
        fresh = set(models) - self._models
        self._models |= fresh
        self._room += len(fresh)

    def say(self, worker: str, families: list[Family]) -> None:
        """What a worker counts now."""
        self._said[worker] = families

    def end(self, worker: str) -> None:
        """A worker has ended: what it counted stays, what it had does not."""
        counted = [family for family in self._said.pop(worker, []) if family[1] in ("counter", "histogram")]
        self._add(self._ended, counted)

    def render(self, ready: int) -> Callable[[], tuple[bytes, str]]:
        """Makes the body of ``/metrics`` and its content type, as of now. With a hundred models that takes a third of a
        second, so it may be done in another thread.

        :param ready: workers that take streams.
        """
        ended = {name: each.copy() for name, each in self._ended.items()}
        return partial(self._rendered, ended, list(self._said.values()), ready)

    def _rendered(self, sums: dict[str, _Sum], said: Iterable[list[Family]], ready: int) -> tuple[bytes, str]:
        for families in said:
            self._add(sums, families)
        _ratio(sums)
        registry = cast(CollectorRegistry, _Collected([*map(_metric, sums.items()), *self.own(ready)]))
        return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4

    def own(self, ready: int) -> Iterator[Metric]:
        """What is known here only.

        :param ready: workers that take streams.
        """
        yield GaugeMetricFamily("tidegate_workers", "Workers that take streams.", value=ready)
        deaths = CounterMetricFamily("tidegate_worker_deaths_total", "Workers that ended without being told to.")
        deaths.add_metric((), self.deaths)
        yield deaths

    def _add(self, sums: dict[str, _Sum], families: Iterable[Family]) -> None:
        for name, kind, documentation, samples in families:
            into = sums.get(name)
            if into is None:
                into = sums[name] = _Sum(kind, documentation)
            join = _join(name)
            for sample, labels, value in samples:
                place = (sample, self._labels(labels))
                known = into.values.get(place)
                into.values[place] = value if known is None else join(known, value)

    def _labels(self, labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        return tuple(
            (name, self._model(value) if name in MODEL_LABELS else value) for name, value in sorted(labels.items())
        )

    def _model(self, model: str) -> str:
        if model in self._models or model in ("other", "unknown"):
            return model
        if len(self._models) >= self._room:
            return "other"
        self._models.add(model)
        return model


class _Collected:
    """Stands for a registry."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _join(name: str) -> Callable[[float, float], float]:
    if name in GREATEST:
        return max
    return min if name in LEAST else add


def _metric(named: tuple[str, _Sum]) -> Metric:
    name, found = named
    metric = Metric(name, found.documentation, found.kind)
    for (sample, labels), value in found.values.items():
        metric.add_sample(sample, dict(labels), value)
    return metric


def _ratio(sums: dict[str, _Sum]) -> None:
    """A ratio of all, not a sum of ratios."""
    ends, ratio = sums.get("tidegate_reader_ends"), sums.get("tidegate_completion_ratio")
    if ends is None or ratio is None:
        return
    found = completion_ratio({dict(labels)["end"]: int(value) for (_, labels), value in ends.values.items()})
    ratio.values.clear()
    if found is not None:
        ratio.values["tidegate_completion_ratio", ()] = found
