"""bench/report.py: the table, and what a threshold makes of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tidegate.bench.options import Thresholds
from tidegate.bench.report import LoadReport, breaches, table

NONE = {"count": 0, "mean": None, "p50": None, "p90": None, "p99": None, "max": None}
SOME = {"count": 9, "mean": 0.1, "p50": 0.1, "p90": 0.2, "p99": 0.3, "max": 0.4}
GOOD = LoadReport(
    url="http://h/v1/chat/completions",
    framing="sse",
    streams=50,
    seconds=10.0,
    complete=90,
    cancelled=10,
    failures={},
    dishonest=0,
    tokens=5000,
    ttft=SOME,
    tpot=SOME,
    gap=SOME,
    cancel=SOME | {"p99": 0.15, "count": 10},
    added_ttft=SOME,
    never_aborted=0,
    rss_begin=100_000_000,
    rss_end=101_000_000,
    rss_peak=102_000_000,
    stalled=0.0,
    stopped=False,
)


def test_a_good_run_passes_the_acceptance_test() -> None:
    assert breaches(GOOD, Thresholds()) == []
    text = table(GOOD)
    assert "90 complete, 10 cancelled, 0 failed (10.0 a second)" in text
    assert "100.0 → 101.0 MB (+1.0%), peak 102.0 MB" in text
    assert "reached the model server for 10 of 10" in text
    assert "endings  honest" in text


@pytest.mark.parametrize(
    ("change", "limits", "message"),
    [
        ({}, {"ttft_p50": 0.05}, "TTFT p50 is 100.0 ms; at most 50 ms"),
        ({}, {"ttft_p99": 0.2}, "TTFT p99 is 300.0 ms"),
        ({}, {"tpot_p99": 0.2}, "TPOT p99"),
        ({}, {"gap_p99": 0.2}, "gap p99"),
        ({"cancel": SOME}, {}, "cancel p99 is 300.0 ms; at most 200 ms"),
        ({"never_aborted": 2}, {}, "2 generations ran on"),
        ({"dishonest": 1, "failures": {"silent end": 1}}, {"errors": 1.0}, "1 streams ended dishonestly"),
        ({"failures": {"cut": 50}}, {"errors": 0.1}, "33.3% of the streams failed; at most 10.0%"),
        ({"rss_end": 110_000_000}, {}, "memory grew by 10.0%; at most 2.0%"),
        ({}, {"tokens_per_second": 600.0}, "500 tokens a second; at least 600"),
        ({"complete": 0}, {}, "no stream was complete"),
    ],
)
def test_each_threshold_is_told_apart(change: dict[str, Any], limits: dict[str, Any], message: str) -> None:
    found = breaches(dataclasses.replace(GOOD, **change), Thresholds(**limits))
    assert len(found) == 1
    assert message in found[0]


def test_what_nobody_could_tell_is_no_breach_and_is_not_shown() -> None:
    bare = dataclasses.replace(
        GOOD, cancel=None, added_ttft=None, rss_begin=None, rss_end=None, rss_peak=None, ttft=NONE
    )
    assert breaches(bare, Thresholds(ttft_p99=0.001)) == []
    text = table(bare)
    assert "memory" not in text
    assert "TTFT" not in text


def test_a_bad_run_says_what_was_bad() -> None:
    bad = dataclasses.replace(
        GOOD,
        failures={"silent end: no finish reason, no error": 1, "HTTP 429": 2},
        dishonest=1,
        rss_begin=None,
        stalled=3.0,
        stopped=True,
    )
    text = table(bad)
    for part in ("1 × silent end", "2 × HTTP 429", "1 looked like a success", "stood still for 3.0 s", "stopped early"):
        assert part in text
    assert "too short to tell its growth" in text


def test_a_run_without_an_end_has_none_to_judge() -> None:
    empty = dataclasses.replace(GOOD, complete=0, cancelled=0, seconds=0.0, tokens=0)
    assert "none was seen" in table(empty)
