"""PURE. How many requests may be in flight: more while it goes well, half as many when the server says so.

Additive increase, multiplicative decrease (Chiu and Jain, 1989), as TCP does it: the number doubles per round trip
until the first sign of trouble, then grows by one per round. Trouble is a refusal (429, 503) or an answer that takes
much longer per token than at the server's best. Time is an argument, in seconds.
"""

from __future__ import annotations

from typing import Final

__all__ = ["Pace"]

_SMOOTHING: Final = 0.1
_DECAY: Final = 1.0005
"""By which the best time fades with each answer: a server that became slower for good is not fought for ever."""
_SETTLED: Final = 20
"""Answers before a slow one means anything."""


class Pace:
    """The limit on requests in flight.

    :param tolerance: how many times the best time per token is still good.
    """

    __slots__ = (
        "_answers",
        "_best",
        "_changed",
        "_limit",
        "_most",
        "_round",
        "_smoothed",
        "_starting",
        "_tolerance",
        "resumes",
    )

    def __init__(self, *, start: int = 4, most: int = 256, tolerance: float = 3.0) -> None:
        self._limit = float(max(1, min(start, most)))
        self._most = most
        self._tolerance = tolerance
        self._starting = True
        self._smoothed = 0.0
        self._best = 0.0
        self._answers = 0
        self._round = 0.0
        self._changed = float("-inf")
        self.resumes = float("-inf")
        """Nothing may begin before this moment: the server asked for it."""

    @property
    def limit(self) -> int:
        """At least 1."""
        return max(1, int(self._limit))

    def answered(self, now: float, seconds: float, tokens: int) -> None:
        """A good answer of ``tokens`` came after ``seconds``."""
        each = seconds / max(tokens, 1)
        self._answers += 1
        self._round = seconds if self._answers == 1 else self._round + _SMOOTHING * (seconds - self._round)
        self._smoothed = each if self._answers == 1 else self._smoothed + _SMOOTHING * (each - self._smoothed)
        self._best = each if self._answers == 1 else min(self._best * _DECAY, self._smoothed)
        if self._answers > _SETTLED and self._smoothed > self._tolerance * self._best:
            self._less(now, 0.8)
        else:
            self._limit = min(float(self._most), self._limit + (1.0 if self._starting else 1.0 / self._limit))

    def refused(self, now: float, retry_after: float | None = None) -> None:
        """The server has too much to do."""
        self._less(now, 0.5)
        if retry_after is not None:
            self.resumes = max(self.resumes, now + retry_after)

    def _less(self, now: float, factor: float) -> None:
        """At most once per round trip: those in flight were sent under the old limit, and tell nothing new."""
        self._starting = False
        if now - self._changed < min(10.0, max(0.1, self._round)):
            return
        self._changed = now
        self._limit = max(1.0, self._limit * factor)
