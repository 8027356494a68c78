"""relay/timing.py: figures that follow from moments."""

from __future__ import annotations

from tidegate.relay.timing import Timing


def pace(timing: Timing) -> float | None:
    """A call, so that no type checker takes what it was for what it is."""
    return timing.tpot


def test_nothing_is_known_before_it_has_happened() -> None:
    timing = Timing(10.0)
    assert (timing.ttft, timing.tpot, timing.queue, timing.added, timing.cancel_latency) == (None,) * 5
    assert timing.duration(12.0) == 2.0


def test_the_figures_are_differences_of_moments() -> None:
    timing = Timing(10.0)
    timing.sent, timing.first_read, timing.first_token = 10.25, 11.0, 11.5
    timing.on_tokens(11.0, 1)
    assert pace(timing) is None, "one token has no pace"
    timing.on_tokens(11.5, 2)
    timing.on_tokens(13.0, 5)
    timing.on_tokens(13.25, 6)
    timing.gone, timing.closed, timing.ended = 14.0, 14.5, 15.0
    assert (timing.queue, timing.ttft, timing.added) == (0.25, 1.5, 0.75)
    assert (pace(timing), timing.max_gap, timing.tokens) == (0.45, 1.5, 6)
    assert (timing.cancel_latency, timing.duration(99.0)) == (0.5, 5.0)


def test_latency_is_unknown_while_half_of_it_is() -> None:
    timing = Timing(0.0)
    timing.sent = 1.0
    assert timing.added is None
    timing.first_read = 2.0
    assert timing.added is None
    timing.gone = 3.0
    assert timing.cancel_latency is None
