"""Percentiles, medians and ratios. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

__all__ = ["median", "percentile", "ratio_of_rounds"]


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: a value that was really measured. NaN of nothing."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the middle two. NaNs (a round that failed) are left out."""
    ordered = sorted(value for value in values if not math.isnan(value))
    if not ordered:
        return math.nan
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def ratio_of_rounds(values: Mapping[int, float], against: Mapping[int, float]) -> float:
    """The median of the ratios within each round: a machine that was slow for a round was slow for both."""
    return median([value / against[round_] for round_, value in values.items() if against.get(round_)])
