"""Verdicts, tables and the comparison of compliance."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from bench.comply import compare, score_of
from bench.measure import Measurement
from bench.relays import RELAYS
from bench.report import clean, dict_table, shape_table, summary
from bench.run import Plan, Results
from bench.shapes import SHAPES
from bench.verdict import judge, verdicts

from bench import report

SHAPE = "50x100x10ms"


def one(relay: str, round_: int, cpu: float, overhead: float = 0.001) -> Measurement:
    """A measurement with the figures that these tests are about."""
    return Measurement(
        relay=relay,
        shape=SHAPE,
        round=round_,
        tokens=5000,
        whole=50,
        broken=0,
        cpu_per_token=cpu,
        tokens_per_second=5000.0,
        overhead_p50=overhead,
        overhead_p99=overhead * 2,
        transit_p50=0.0001,
        transit_p99=0.001,
        rss_idle=20e6,
        rss_peak=40e6,
        rss_per_stream=400e3,
    )


def test_must_and_aim_are_told_apart() -> None:
    """Equal is reached."""
    words = [found.verdict for value in (1.4, 1.7, 1.71) if (found := judge("x", value, 1.7, 1.4, "× nginx"))]
    assert words == ["reached, aim too", "reached", "MISSED"]
    assert judge("x", math.nan, 1.0, 1.0, "ms") is None


def test_the_summary_takes_ratios_and_additions_within_a_round() -> None:
    """Medians of each figure; ratios per round; what was added per round."""
    rows = summary(
        [
            *(one("nginx", 0, 20e-6), one("nginx", 1, 40e-6)),
            *(one("tidegate", 0, 30e-6, 0.002), one("tidegate", 1, 60e-6, 0.005)),
            *(one("direct", 0, math.nan, 0.001), one("direct", 1, math.nan, 0.004)),
        ]
    )
    row = next(row for row in rows if row["relay"] == "tidegate")
    assert row["cpu_vs_nginx"] == 1.5
    assert math.isclose(row["added_ttft_p50"], 0.001)
    assert math.isclose(row["cpu_per_token"], 45e-6)


def test_only_measured_figures_get_a_verdict() -> None:
    """A run without the routers says nothing about the routers."""
    rows = summary([one("nginx", 0, 20e-6), one("tidegate", 0, 40e-6)])
    found = {verdict.figure: verdict.verdict for verdict in verdicts(rows, Results())}
    assert found["CPU per token, verbatim"] == "MISSED"
    assert not any("router" in figure for figure in found)


def test_a_peer_that_is_missing_stands_in_the_table_with_its_reason() -> None:
    """Reported, not hidden."""
    table = shape_table(SHAPE, summary([one("nginx", 0, 20e-6)]), {"litellm": "no network"}, [])
    assert "| nginx | 20.0 |" in table
    assert "| litellm | not measured: no network |" in table


def test_json_has_no_nan() -> None:
    """What was not measured is null."""
    assert clean({"a": [math.nan, 1.5]}) == {"a": [None, 1.5]}


def test_a_table_of_nothing_is_nothing() -> None:
    """A part that did not run leaves no heading."""
    assert dict_table("Cancel", []) == ""


def test_a_test_lost_in_the_gateway_misses_even_when_another_is_won() -> None:
    """The score per test counts, not the sum."""
    alone = {"chat-basic": "passed", "chat-image": "failed", "chat-streaming-response": "passed"}
    through = {"chat-basic": "failed", "chat-image": "passed", "chat-streaming-response": "passed"}
    assert compare(alone, through)["lost"] == ["chat-basic"]
    assert not compare(alone, through)["reached"]
    assert compare(alone, {**through, "chat-basic": "passed"})["reached"]


def test_every_streaming_test_must_pass_through_the_gateway() -> None:
    """Also one that the model server fails alone."""
    both = score_of({"results": [{"id": "chat-streaming-usage", "status": "failed"}]})
    assert not compare(both, both)["reached"]


def test_a_saved_run_is_a_table_and_every_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``results/DATE/``: README.md for people, results.json for programs; no name of the machine in either."""
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    plan = Plan(
        relays=[RELAYS["nginx"], RELAYS["litellm"]],
        shapes=[SHAPES[SHAPE]],
        parts=["shapes"],
        rounds=1,
        save=True,
        slow_everywhere=False,
    )
    report.save_report(plan, Results(measurements=[one("nginx", 0, 20e-6)], missing={"litellm": "no network"}))
    (folder,) = tmp_path.iterdir()
    document = json.loads((folder / "results.json").read_text())
    assert document["summary"][0]["relay"] == "nginx"
    assert document["missing"] == {"litellm": "no network"}
    assert set(document["machine"]) == {"cores", "processor", "kernel", "python"}
    assert "| litellm | not measured: no network |" in (folder / "README.md").read_text()
