"""Prometheus: counts and histograms of ended streams, rendered for ``/metrics``.

Paid once per stream on the event loop, so it is kept cheap: numbers go into plain lists (a bisect and two additions
for each histogram; prometheus_client's own ``observe`` walks the buckets under two locks), and metric names, labels
and cumulative sums are made when somebody scrapes. No locks: streams end, and ``/metrics`` is rendered, on one loop.

The ``gen_ai_client_*`` names are OpenTelemetry's GenAI conventions as Prometheus spells them, from the gateway's side:
the operation is the call to the model, so it begins when the request was sent, not when it was accepted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from tidegate import __version__
from tidegate.telemetry.record import StreamRecord
from tidegate.wire import seen

__all__ = ["PrometheusHook", "ReaderCounts"]

# OpenTelemetry's bounds for its three client durations, and finer ones below for what the gateway itself adds.
SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
FINE_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
TOKENS = tuple(float(4**power) for power in range(14))

MAX_MODELS = 100
"""Distinct model names that get a label of their own. Behind a ``*`` clients choose the names, and every label value
is kept for ever by us and by Prometheus."""
MAX_MODEL_LENGTH = 128

MAX_FRESH = 256
"""Ended streams that are counted together."""

ReaderCounts = tuple[Mapping[str, int], Sequence[int]]
"""Ends as pages of readers reported them, by name, and how often text was painted in which bucket of time."""


class _Histogram:
    """Counts by bucket, and a sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times

    def median(self) -> float | None:
        """Read off the buckets, evenly spread within one; ``None`` before the first value."""
        half, below = sum(self.counts) / 2, 0.0
        if not half:
            return None
        for place, count in enumerate(self.counts):
            if count and below + count >= half:
                low = self.bounds[place - 1] if place else 0.0
                high = self.bounds[place] if place < len(self.bounds) else low
                return low + (high - low) * (half - below) / count
            below += count
        return None

    def buckets(self) -> list[tuple[str, float]]:
        names = [*map(repr, self.bounds), "+Inf"]
        return list(zip(names, map(float, accumulate(self.counts)), strict=True))


class _Cell:
    """Everything measured for one model on one upstream."""

    __slots__ = (
        "added",
        "cancel",
        "chunk",
        "duration",
        "first_chunk",
        "gap",
        "input_tokens",
        "operation",
        "output_tokens",
        "queue",
        "tpot",
        "ttft",
    )

    def __init__(self) -> None:
        self.ttft = _Histogram(SECONDS)
        self.tpot = _Histogram(FINE_SECONDS)
        self.gap = _Histogram(SECONDS)
        self.queue = _Histogram(FINE_SECONDS)
        self.added = _Histogram(FINE_SECONDS)
        self.cancel = _Histogram(FINE_SECONDS)
        self.duration = _Histogram(SECONDS)
        self.first_chunk = _Histogram(SECONDS)
        self.chunk = _Histogram(SECONDS)
        self.input_tokens = _Histogram(TOKENS)
        self.output_tokens = _Histogram(TOKENS)
        self.operation: dict[str, _Histogram] = {}


# Metric, help, and which histogram of a cell it is.
_HISTOGRAMS: tuple[tuple[str, str, Callable[[_Cell], _Histogram]], ...] = (
    ("tidegate_ttft_seconds", "Request accepted to first token written to the reader.", lambda cell: cell.ttft),
    ("tidegate_tpot_seconds", "Mean time per output token after the first, of each stream.", lambda cell: cell.tpot),
    ("tidegate_max_gap_seconds", "Longest wait between two tokens of each stream.", lambda cell: cell.gap),
    ("tidegate_queue_seconds", "Request accepted to request sent, retries included.", lambda cell: cell.queue),
    ("tidegate_added_latency_seconds", "What the gateway adds to the first token.", lambda cell: cell.added),
    ("tidegate_cancel_latency_seconds", "Reader gone to upstream closed.", lambda cell: cell.cancel),
    ("tidegate_stream_seconds", "Request accepted to stream ended.", lambda cell: cell.duration),
)
_GEN_AI_LABELS = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")


class PrometheusHook(Collector):
    """A :class:`~tidegate.telemetry.record.StreamHook` that is scraped.

    :param registry: where to register. Without one it makes its own, with the process's CPU, memory and collector
        figures beside ours; a registry that is given (an application that mounts the gateway) gets only ours.
    :param models: names that always have a label of their own, such as those of the configuration; up to
        :data:`MAX_MODELS` more as they come, and ``other`` for the rest.
    """

    def __init__(self, registry: CollectorRegistry | None = None, *, models: Iterable[str] = ()) -> None:
        self._models = {model: model for model in models}
        self._room = len(self._models) + MAX_MODELS
        # By model, upstream and operation; those of other operations than chat are told by the conventions' names only.
        self._cells: dict[tuple[str, str, str], _Cell] = {}
        self._ends: Counter[tuple[str, str, str, str]] = Counter()
        self._live = 0
        self._fresh: list[StreamRecord] = []
        self._bytes_in = 0
        self._bytes_out = 0
        self._retries: Counter[str] = Counter()
        self._malformed: Counter[str] = Counter()
        self._tokens: Counter[str] = Counter()
        self._safety: Counter[tuple[str, str]] = Counter()
        self._reader_ends: Counter[str] = Counter()
        self._perceived = _Histogram(SECONDS)
        if registry is None:
            registry = CollectorRegistry(auto_describe=False)
            ProcessCollector(registry=registry)
            PlatformCollector(registry=registry)
            GCCollector(registry=registry)
        self.registry = registry
        registry.register(self)

    def opened(self) -> None:
        self._live += 1

    def ended(self, record: StreamRecord) -> None:
        self._live -= 1
        self._fresh.append(record)
        if len(self._fresh) >= MAX_FRESH:
            self._count()

    def _count(self) -> None:
        """Everything that has ended since the last time: in a row, it costs a third of what it costs one by one."""
        fresh, self._fresh = self._fresh, []
        for record in fresh:
            self._add(record)

    def _add(self, record: StreamRecord) -> None:
        model = self.label(record.model)
        upstream = record.upstream or "none"
        place = (model, upstream, record.operation)
        cell = self._cells.get(place)
        if cell is None:
            cell = self._cells[place] = _Cell()
        self._ends[(record.reason, model, upstream, record.framing)] += 1
        self._bytes_in += record.bytes_in
        self._bytes_out += record.bytes_out
        if record.retries:
            self._retries[upstream] += record.retries
        if record.malformed:
            self._malformed[upstream] += record.malformed
        if record.safety:
            self.found(record.safety)
        self._times(cell, record)
        self._count_tokens(cell, model, record)

    def found(self, hits: Iterable[tuple[str, str, int]]) -> None:
        """What safety rules found: rule, action, how often. Rules are those of the configuration, and no others."""
        for rule, action, count in hits:
            self._safety[rule, action] += count

    def seen(self, report: Mapping[str, float | bool | None]) -> None:
        """What the reader's own page measured of one stream: how it ended there, and when the first text was painted.

        :param report: as :mod:`tidegate.wire.seen` reads it.
        """
        end = seen.reader_end(report)
        if end is not None:
            self._reader_ends[end] += 1
        painted = seen.perceived_latency(report)
        if painted is not None:
            self._perceived.observe(painted)

    def completion_ratio(self) -> float | None:
        """Streams that readers saw finish, of all but those that they stopped themselves; ``None`` before the first."""
        return seen.completion_ratio(self._reader_ends)

    def reader_counts(self) -> ReaderCounts:
        """What pages of readers reported here: ends by name, and times until text was painted by bucket."""
        return dict(self._reader_ends), list(self._perceived.counts)

    def readers(self, others: Iterable[ReaderCounts] = ()) -> dict[str, float | int | None]:
        """Of the pages of readers: how many reported, which share finished, the median until text was painted.

        :param others: what other processes counted.
        """
        ends, perceived = self._reader_ends.copy(), _Histogram(SECONDS)
        perceived.counts = list(self._perceived.counts)
        for more, counts in others:
            ends.update({name: count for name, count in more.items() if name in seen.READER_ENDS})
            if len(counts) == len(perceived.counts):
                perceived.counts = [a + b for a, b in zip(perceived.counts, counts, strict=True)]
        return {
            "reports": sum(ends.values()),
            "completion_ratio": _rounded(seen.completion_ratio(ends)),
            "perceived_latency": _rounded(perceived.median()),
        }

    def render(self) -> tuple[bytes, str]:
        """The body of ``/metrics`` and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_PLAIN_0_0_4

    def label(self, model: str) -> str:
        """The label of a model's name: itself, ``other`` when there are too many, ``unknown`` for none."""
        return self._models.get(model) or self._new_model(model)

    def _new_model(self, model: str) -> str:
        if not model:
            return "unknown"
        if len(self._models) >= self._room or len(model) > MAX_MODEL_LENGTH:
            return "other"
        self._models[model] = model
        return model

    @staticmethod
    def _times(cell: _Cell, record: StreamRecord) -> None:
        duration, queue, ttft = record.duration, record.queue_time, record.ttft
        cell.duration.observe(duration)
        sent = 0.0 if queue is None else queue
        if queue is not None:
            cell.queue.observe(queue)
        if ttft is not None:
            cell.ttft.observe(ttft)
            cell.first_chunk.observe(max(0.0, ttft - sent))
        if record.tpot is not None:
            cell.tpot.observe(record.tpot)
            # The convention counts every chunk; with the mean, count and sum are exact and only the spread is not.
            cell.chunk.observe(record.tpot, record.tokens - 1)
        if record.max_gap is not None:
            cell.gap.observe(record.max_gap)
        if record.added_latency is not None:
            cell.added.observe(record.added_latency)
        if record.cancel_latency is not None:
            cell.cancel.observe(record.cancel_latency)
        error = record.error_code or ""
        operation = cell.operation.get(error)
        if operation is None:
            operation = cell.operation[error] = _Histogram(SECONDS)
        operation.observe(max(0.0, duration - sent))

    def _count_tokens(self, cell: _Cell, model: str, record: StreamRecord) -> None:
        usage = record.usage
        if usage is None:
            output = record.tokens
        else:
            output = usage.output_tokens
            cell.input_tokens.observe(usage.prompt_tokens)
        if output:
            self._tokens[model] += output
            cell.output_tokens.observe(output)

    def collect(self) -> Iterator[Metric]:
        self._count()
        yield from self._counters()
        for name, text, pick in _HISTOGRAMS:
            family = HistogramMetricFamily(name, text, labels=("model", "upstream"))
            for (model, upstream, operation), cell in self._cells.items():
                if operation == "chat":
                    _add(family, (model, upstream), pick(cell))
            yield family
        yield from self._readers()
        yield from self._gen_ai()

    def _readers(self) -> Iterator[Metric]:
        """What readers saw, as far as their pages told."""
        painted = HistogramMetricFamily(
            "tidegate_perceived_latency_seconds", "Submit to first text painted.", labels=()
        )
        _add(painted, (), self._perceived)
        yield painted
        # Without a sample as long as no stream has ended: there is no ratio of nothing.
        yield GaugeMetricFamily(
            "tidegate_completion_ratio",
            "Finished, of finished + left + cut + failed; stopped ones apart.",
            value=self.completion_ratio(),
        )

    def _counters(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("tidegate_streams_live", "Streams that have not ended.", value=self._live)
        build = GaugeMetricFamily("tidegate_build_info", "The running version.", labels=("version",))
        build.add_metric((__version__,), 1)
        yield build
        moved = CounterMetricFamily("tidegate_bytes_total", "From upstreams, and to readers.", labels=("direction",))
        moved.add_metric(("in",), self._bytes_in)
        moved.add_metric(("out",), self._bytes_out)
        yield moved
        ends = CounterMetricFamily(
            "tidegate_streams_total", "Streams that ended.", labels=("reason", "model", "upstream", "framing")
        )
        for labels, count in self._ends.items():
            ends.add_metric(labels, count)
        yield ends
        hits = CounterMetricFamily(
            "tidegate_safety_hits_total", "What safety rules found in prompts and answers.", labels=("rule", "action")
        )
        for found, count in self._safety.items():
            hits.add_metric(found, count)
        yield hits
        for name, text, label, counts in (
            ("tidegate_retries_total", "Further tries before the first token.", "upstream", self._retries),
            ("tidegate_malformed_events_total", "Upstream events that were not valid.", "upstream", self._malformed),
            ("tidegate_output_tokens_total", "Output tokens delivered.", "model", self._tokens),
            ("tidegate_reader_ends_total", "Ends as readers' own pages reported them.", "end", self._reader_ends),
        ):
            family = CounterMetricFamily(name, text, labels=(label,))
            for value, count in counts.items():
                family.add_metric((value,), count)
            yield family

    def _gen_ai(self) -> Iterator[Metric]:
        prefix = "gen_ai_client_operation"
        cells = [((operation, upstream, model), cell) for (model, upstream, operation), cell in self._cells.items()]
        duration = HistogramMetricFamily(
            f"{prefix}_duration_seconds", "GenAI operation duration.", labels=(*_GEN_AI_LABELS, "error_type")
        )
        first = HistogramMetricFamily(
            f"{prefix}_time_to_first_chunk_seconds", "Request sent to first chunk.", labels=_GEN_AI_LABELS
        )
        chunk = HistogramMetricFamily(
            f"{prefix}_time_per_output_chunk_seconds", "Time per chunk after the first.", labels=_GEN_AI_LABELS
        )
        usage = HistogramMetricFamily(
            "gen_ai_client_token_usage", "Input and output tokens.", labels=(*_GEN_AI_LABELS, "gen_ai_token_type")
        )
        for labels, cell in cells:
            for error, histogram in cell.operation.items():
                _add(duration, (*labels, error), histogram)
            _add(first, labels, cell.first_chunk)
            _add(chunk, labels, cell.chunk)
            _add(usage, (*labels, "input"), cell.input_tokens)
            _add(usage, (*labels, "output"), cell.output_tokens)
        yield from (duration, first, chunk, usage)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _add(family: HistogramMetricFamily, labels: tuple[str, ...], histogram: _Histogram) -> None:
    if any(histogram.counts):  # a series that never had a value says nothing and costs fifteen lines
        family.add_metric(labels, buckets=histogram.buckets(), sum_value=histogram.total)
