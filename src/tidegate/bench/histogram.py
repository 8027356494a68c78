"""PURE. Percentiles of millions of durations in a few kilobytes."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from itertools import accumulate
from typing import Final

__all__ = ["Histogram"]

_GROWTH: Final = 1.01
_SCALE: Final = 1.0 / math.log(_GROWTH)
_LEAST: Final = 1e-7
"""Below the resolution of any clock here; shorter durations count as this one."""


class Histogram:
    """Counts in buckets that are 1 % wide, so a percentile is at most 1 % off; minimum, maximum and sum are exact.

    An unbounded list would make a long load test grow while it watches others for growth.
    """

    __slots__ = ("_counts", "count", "maximum", "minimum", "total")

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self.count = 0
        self.total = 0.0
        self.minimum = math.inf
        self.maximum = 0.0

    def add(self, seconds: float, times: int = 1) -> None:
        """Count a duration, not negative, ``times`` over."""
        if times < 1:
            return
        self._counts[math.ceil(math.log(max(seconds, _LEAST)) * _SCALE)] += times
        self.count += times
        self.total += seconds * times
        if seconds > self.maximum:
            self.maximum = seconds
        if seconds < self.minimum:
            self.minimum = seconds

    @property
    def mean(self) -> float | None:
        """``None`` when nothing was counted."""
        return self.total / self.count if self.count else None

    def percentile(self, share: float) -> float | None:
        """The duration that ``share`` (0 to 1) of all do not exceed: the nearest rank; ``None`` for nothing counted."""
        if not self.count:
            return None
        buckets = sorted(self._counts)
        so_far = list(accumulate(self._counts[bucket] for bucket in buckets))
        bucket = buckets[bisect_left(so_far, max(1, math.ceil(share * self.count)))]
        return float(min(self.maximum, max(self.minimum, _GROWTH**bucket)))

    def summary(self) -> dict[str, float | int | None]:
        """Count, mean, p50, p90, p99 and maximum, in seconds."""
        return {
            "count": self.count,
            "mean": self.mean,
            "p50": self.percentile(0.50),
            "p90": self.percentile(0.90),
            "p99": self.percentile(0.99),
            "max": self.maximum if self.count else None,
        }
