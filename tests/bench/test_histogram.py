"""bench/histogram.py: percentiles within 1 %, whatever is counted."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.bench.histogram import Histogram

DURATIONS = st.floats(1e-6, 1e4)


@settings(deadline=None)
@given(st.lists(DURATIONS, min_size=1), st.floats(0.0, 1.0))
def test_a_percentile_is_within_one_percent_of_the_nearest_rank(values: list[float], share: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    exact = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    found = histogram.percentile(share)
    assert found is not None
    assert exact * 0.9999 <= found <= exact * 1.0101


@settings(deadline=None)
@given(st.lists(st.tuples(DURATIONS, st.integers(1, 5)), min_size=1))
def test_count_mean_and_extremes_are_exact(values: list[tuple[float, int]]) -> None:
    histogram = Histogram()
    for value, times in values:
        histogram.add(value, times)
    every = [value for value, times in values for _ in range(times)]
    summary = histogram.summary()
    assert summary["count"] == len(every)
    assert summary["max"] == max(every)
    assert histogram.minimum == min(every)
    assert math.isclose(summary["mean"] or 0.0, sum(every) / len(every))


def test_nothing_counted_has_no_percentile() -> None:
    assert Histogram().summary() == {"count": 0, "mean": None, "p50": None, "p90": None, "p99": None, "max": None}


def test_a_duration_of_zero_is_counted_and_none_times_is_not() -> None:
    histogram = Histogram()
    histogram.add(0.0)
    histogram.add(5.0, 0)
    assert (histogram.count, histogram.maximum) == (1, 0.0)
    assert histogram.percentile(0.5) == 0.0
