"""What one limit has counted: tokens or requests of the last minute, live streams, money of a period.

A minute is kept in :data:`SPAN` buckets of :data:`GRAIN` milliseconds. What was counted anywhere in a bucket counts
until the bucket's *end* is a minute old, so no sixty seconds ever hold more than the limit, wherever they begin, and
memory does not grow with the limit. The price: something counts up to one bucket longer than a minute.
"""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["GRAIN", "MINUTE", "SPAN", "Purse", "Window", "bucket_of", "gone"]

MINUTE: Final = 60_000
"""Milliseconds."""

SPAN: Final = 240
"""Buckets of a minute."""

GRAIN: Final = MINUTE // SPAN

_NEVER: Final = 1 << 62


def bucket_of(now: int) -> int:
    """The bucket of a moment in milliseconds."""
    return now // GRAIN


def gone(bucket: int) -> int:
    """The first moment at which a bucket no longer counts."""
    return (bucket + 1 + SPAN) * GRAIN


class Window:
    """The last minute of one limit. Moments are milliseconds of one clock that never goes back."""

    __slots__ = ("_marks", "last", "oldest", "used")

    def __init__(self) -> None:
        self._marks: deque[list[int]] = deque()
        self.last = [-1, 0]
        """The newest bucket with what it counts. Whoever adds to it adds to :attr:`used` as well."""
        self.used = 0
        self.oldest = _NEVER
        """The first bucket that counts: there is something to forget when it is more than :data:`SPAN` ago."""

    def slide(self, now: int) -> int:
        """Forget what is older than a minute; what is left."""
        oldest = now // GRAIN - SPAN
        if self.oldest < oldest:
            marks = self._marks
            while marks and marks[0][0] < oldest:
                self.used -= marks.popleft()[1]
            self.oldest = marks[0][0] if marks else _NEVER
        return self.used

    def add(self, amount: int, bucket: int) -> list[int]:
        """Count ``amount`` in the bucket of this moment; the bucket that it is in, with what it counts: of that, some
        may be taken back while it is remembered.
        """
        marks = self._marks
        self.used += amount
        if marks:
            last = marks[-1]
            if last[0] >= bucket:
                last[1] += amount
                return last
        else:
            self.oldest = bucket
        last = self.last = [bucket, amount]
        marks.append(last)
        return last

    def take_back(self, bucket: int, amount: int) -> None:
        """``amount`` of what was counted in that bucket was not used. Nothing, once the bucket is forgotten."""
        for mark in reversed(self._marks):
            if mark[0] <= bucket:
                if mark[0] == bucket:
                    mark[1] -= amount
                    self.used -= amount
                return

    def wait(self, amount: int, limit: int, now: int) -> int:
        """Milliseconds until ``amount`` fits, if nobody else comes; 0 when it fits now. At most the limit is asked."""
        over = self.slide(now) + amount - limit
        if over <= 0:
            return 0
        for bucket, counted in self._marks:
            over -= counted
            if over <= 0:
                return gone(bucket) - now
        return MINUTE + GRAIN

    def reset(self, now: int) -> int:
        """Milliseconds until nothing counts any more."""
        return max(0, gone(self._marks[-1][0]) - now) if self._marks else 0


class Purse:
    """Money of one period: what was spent, and what live streams hold."""

    __slots__ = ("held", "spent")

    def __init__(self) -> None:
        self.spent = 0
        self.held = 0

    @property
    def used(self) -> int:
        return self.spent + self.held
