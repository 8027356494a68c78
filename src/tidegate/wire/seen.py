"""What a reader's own page reports of a stream, read with care: the numbers are from somebody else's clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["MAX_PERCEIVED", "READER_ENDS", "completion_ratio", "perceived_latency", "reader_end"]

READER_ENDS: Final = ("finished", "left", "cut", "failed", "stopped")
"""How a stream ended for its reader, as the reader's page reports it."""

MAX_PERCEIVED: Final = 3600.0
"""Seconds. What no reader waits for is not a measurement."""

Report = Mapping[str, float | bool | None]
"""Figures by name: ``first_paint`` in seconds since the request was submitted, one of :data:`READER_ENDS` true."""


def reader_end(report: Report) -> str | None:
    """How the stream ended there; ``None``: the page does not say."""
    return next((name for name in READER_ENDS if report.get(name) is True), None)


def perceived_latency(report: Report) -> float | None:
    """Seconds from submit to the first text painted; ``None``: nothing was, or it cannot be true."""
    painted = report.get("first_paint")
    if not isinstance(painted, int | float) or isinstance(painted, bool) or not 0 < painted <= MAX_PERCEIVED:
        return None
    return float(painted)


def completion_ratio(ends: Mapping[str, int]) -> float | None:
    """Streams that readers saw finish, of all but those that they stopped themselves; ``None``: there are none.

    :param ends: how many streams ended so, by :data:`READER_ENDS`.
    """
    counted = sum(ends.get(name, 0) for name in READER_ENDS if name != "stopped")
    return ends.get("finished", 0) / counted if counted else None
