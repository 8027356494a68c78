"""bench/seed.py: the whole measurement, small, with real processes; and the figures made from what was seen."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tidegate.bench.abandonment import Abandonment
from tidegate.bench.seed import SeedOptions, Spread, _spread, added, measure

OPTIONS = SeedOptions(
    streams=12,
    readers=24,
    ttft=(0.05, 0.1),
    answer=(0.5, 0.9),
    tps=60.0,
    abandonment=Abandonment(grace=0.3, slope=1.5, distraction=0.0),
)


def test_streaming_keeps_the_readers_that_blocking_loses() -> None:
    told: list[tuple[str, int, int]] = []
    blocking, chunked, sse = asyncio.run(measure(OPTIONS, lambda *what: told.append(what)))
    assert len(told) == 72
    assert (blocking.failed, chunked.failed, sse.failed) == (0, 0, 0)
    # Who waits for the whole answer sees nothing for half a second and more, and a third are gone by then.
    assert blocking.impatient > 0
    assert blocking.tokens_saved > 0
    assert chunked.complete + chunked.impatient == sse.complete + sse.impatient == 24
    assert min(chunked.complete, sse.complete) > blocking.complete
    for way in (blocking, chunked, sse):
        assert way.perceived is not None
        assert way.ttft is not None
        assert way.perceived.p50 >= way.ttft.p50
        assert way.peak_rss > 20_000_000
        assert way.tokens_planned == blocking.tokens_planned
    assert blocking.perceived is not None
    assert sse.perceived is not None
    assert sse.perceived.p50 < blocking.perceived.p50


def test_what_a_profile_adds_is_measured_on_the_same_readers() -> None:
    """The events once more, through a gateway with it."""
    options = replace(OPTIONS, readers=8, safety="strict", abandonment=Abandonment(slope=0.0, distraction=0.0))
    told: list[str] = []
    *others, sse = asyncio.run(measure(options, lambda title, done, total: told.append(title)))
    assert [way.filtered for way in others] == [None, None]
    assert sse.filtered is not None
    assert (sse.filtered.profile, sse.filtered.readers) == ("strict", 8)
    assert abs(sse.filtered.total) < 1.0
    assert told[-1].endswith(", strict")
    assert added("strict", [], []) is None


def test_without_a_link_it_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    options = replace(OPTIONS, readers=2, answer=(0.1, 0.1), phones=2)
    found = asyncio.run(measure(options, lambda *_: None))
    assert {way.mobile for way in found} == {None}
    assert {way.no_link for way in found} == {"There is no program `ip` (Debian's package iproute2)."}


def test_a_spread_of_one_value_is_that_value_and_of_none_nothing() -> None:
    assert _spread([]) is None
    assert _spread([2.0]) == Spread(2.0, 2.0, 2.0)
    assert _spread([float(value) for value in range(11)]) == Spread(1.0, 5.0, 9.0)
