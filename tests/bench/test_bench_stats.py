"""Percentiles, medians, ratios."""

from __future__ import annotations

import math

from bench.stats import median, percentile, ratio_of_rounds


def test_a_percentile_is_a_value_that_was_measured() -> None:
    """Nearest rank: nothing is interpolated."""
    values = [float(value) for value in range(100, 0, -1)]
    assert percentile(values, 0.50) == 50.0
    assert percentile(values, 0.99) == 99.0
    assert percentile([7.0], 0.99) == 7.0


def test_the_percentile_of_nothing_is_nan() -> None:
    """A relay that sent no stamp has no transit time, not zero."""
    assert math.isnan(percentile([], 0.5))


def test_the_median_leaves_failed_rounds_out() -> None:
    """A NaN is a round without a figure."""
    assert median([3.0, math.nan, 1.0]) == 2.0
    assert median([5.0, 1.0, 3.0]) == 3.0
    assert math.isnan(median([math.nan]))


def test_ratios_are_taken_within_a_round() -> None:
    """A round in which the machine was slow for both does not move the ratio."""
    assert ratio_of_rounds({0: 30.0, 1: 300.0, 2: 45.0}, {0: 20.0, 1: 200.0, 2: 30.0}) == 1.5


def test_a_round_that_the_other_missed_gives_no_ratio() -> None:
    """Only rounds that both have count."""
    assert ratio_of_rounds({0: 30.0, 1: 999.0}, {0: 20.0}) == 1.5
    assert math.isnan(ratio_of_rounds({0: 30.0}, {}))
