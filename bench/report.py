"""The table and its verdicts, as Markdown and JSON."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import math
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import torture
from bench.measure import Measurement
from bench.stats import median, ratio_of_rounds
from bench.verdict import verdicts

if TYPE_CHECKING:
    from bench.run import Plan, Results

__all__ = ["machine", "markdown", "print_report", "save_report", "summary"]

RESULTS = Path(__file__).resolve().parent / "results"
FIGURES = (
    "cpu_per_token",
    "tokens_per_second",
    "overhead_p50",
    "overhead_p99",
    "transit_p50",
    "transit_p99",
    "rss_idle",
    "rss_peak",
    "rss_per_stream",
)


COLUMNS = (
    "relay",
    "CPU µs/token",
    "× nginx",
    "tokens/s",
    "added TTFT p50 / p99 ms",
    "transit p50 / p99 ms",
    "RSS idle → peak MB",
    "KB a stream",
    "streams whole",
)


def machine() -> dict[str, str]:
    """What a reader needs to judge the figures; nothing that names the machine."""
    model = ""
    with open("/proc/cpuinfo") as lines:
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return {
        "cores": str(os.cpu_count()),
        "processor": model,
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
    }


def summary(measurements: list[Measurement]) -> list[dict[str, Any]]:
    """One row per shape and relay: medians over the rounds, and ratios to nginx and additions to direct per round."""
    rows: list[dict[str, Any]] = []
    by: dict[tuple[str, str], list[Measurement]] = {}
    for one in measurements:
        by.setdefault((one.shape, one.relay), []).append(one)
    for (shape, relay), ones in by.items():
        row: dict[str, Any] = {"shape": shape, "relay": relay, "rounds": len(ones)}
        for name in FIGURES:
            row[name] = median([getattr(one, name) for one in ones])
        row["whole"] = sum(one.whole for one in ones)
        row["broken"] = sum(one.broken for one in ones)
        for peer in ("nginx", "vllm-router", "sglang-router", "tidegate", "tidegate-prose"):
            row[f"cpu_vs_{peer}"] = ratio_of_rounds(
                {one.round: one.cpu_per_token for one in ones},
                {other.round: other.cpu_per_token for other in by.get((shape, peer), [])},
            )
        direct = {other.round: other for other in by.get((shape, "direct"), [])}
        for name in ("overhead_p50", "overhead_p99"):
            added = [getattr(one, name) - getattr(direct[one.round], name) for one in ones if one.round in direct]
            row[f"added_ttft_{name[-3:]}"] = median(added)
        rows.append(row)
    return rows


def number(value: float, scale: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value * scale:,.{digits}f}"


def pair(row: dict[str, Any], name: str) -> str:
    """``p50 / p99`` in milliseconds."""
    return f"{number(row[f'{name}_p50'], 1e3, 2)} / {number(row[f'{name}_p99'], 1e3, 2)}"


def shape_table(shape: str, rows: list[dict[str, Any]], missing: dict[str, str], left_out: list[str]) -> str:
    """The Markdown table of one shape."""
    lines = [
        f"### {shape}",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|" + "---|" * len(COLUMNS),
    ]
    for row in rows:
        cells = [
            row["relay"],
            number(row["cpu_per_token"], 1e6, 1),
            number(row["cpu_vs_nginx"], 1, 2),
            number(row["tokens_per_second"], 1, 0),
            "–" if row["relay"] == "direct" else pair(row, "added_ttft"),
            pair(row, "transit"),
            f"{number(row['rss_idle'], 1e-6, 0)} → {number(row['rss_peak'], 1e-6, 0)}",
            number(row["rss_per_stream"], 1e-3, 0),
            f"{row['whole']} of {row['whole'] + row['broken']}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [f"| {name} | not measured: {why.replace('|', '/')} | | | | | | | |" for name, why in missing.items()]
    lines += [f"| {name} | only run in the first shape (it takes too long) | | | | | | | |" for name in left_out]
    return "\n".join(lines)


def dict_table(title: str, rows: list[dict[str, Any]]) -> str:
    """A Markdown table of rows that have the same keys."""
    if not rows:
        return ""
    names = list(rows[0])
    lines = [f"### {title}", "", "| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    for row in rows:
        cells = [f"{row[name]:,.2f}" if isinstance(row[name], float) else str(row[name]) for name in names]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def markdown(plan: Plan, results: Results) -> str:
    """The whole report."""
    facts = machine()
    rows = summary(results.measurements)
    conditions = (
        f"{facts['cores']} cores ({facts['processor']}), Linux {facts['kernel']}, Python {facts['python']}; "
        f"medians of {plan.rounds} interleaved rounds, ratios taken within a round. "
        "TTFT added is against the same load without a relay."
    )
    parts = [f"# Benchmark of {dt.date.today().isoformat()}", conditions]
    found = verdicts(rows, results)
    if found:
        parts.append("## What it must reach\n\n| figure | measured | must | aim | verdict |\n|---|---|---|---|---|")
        parts[-1] += "".join(f"\n| {' | '.join(dataclasses.astuple(one))} |" for one in found)
    if rows:
        parts.append("## Relays")
    for shape in dict.fromkeys(row["shape"] for row in rows):
        mine = [row for row in rows if row["shape"] == shape]
        there = {row["relay"] for row in mine} | set(results.missing)
        left_out = [relay.name for relay in plan.relays if relay.slow and relay.name not in there]
        parts.append(shape_table(shape, mine, results.missing, left_out))
    parts.append(
        dict_table(
            "50 streams asked for at the same moment: first token, beyond the model's own time, ms", results.burst
        )
    )
    parts.append(dict_table("Cancel: client gone → upstream closed, ms", results.cancel))
    parts.append(dict_table("RSS over 20 rounds of 50 streams, MB", results.memory))
    parts.append(dict_table("Live streams at one token a second", results.live))
    parts.append(dict_table("200 MB offered to a client that does not read", results.stalled))
    if results.comply:
        parts.append("### llm-comply\n\n" + results.comply["text"])
    if results.torture or results.missing_torture:
        parts.append("### The torture suite\n\n" + torture.markdown(results.torture, results.missing_torture))
    parts.append(dict_table("A batch of requests: pooled connections against one connection a request", results.batch))
    parts.append(
        dict_table("A proxy before the gateway, as `tidegate edge` configures it: 50 streams", results.proxies)
    )
    parts.append(dict_table("Two workers beside one, at saturation", results.workers))
    return "\n\n".join(part for part in parts if part) + "\n"


def print_report(plan: Plan, results: Results) -> None:
    """To standard output."""
    print(markdown(plan, results))


def clean(value: Any) -> Any:
    """JSON has no NaN: None instead."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, dict):
        return {key: clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clean(item) for item in value]
    return value


def save_report(plan: Plan, results: Results) -> str:
    """``results/DATE/``: the table, every figure as JSON, and the plot when matplotlib is there. Returns the folder."""
    from bench.plot import plot

    folder = RESULTS / dt.date.today().isoformat()
    folder.mkdir(parents=True, exist_ok=True)
    rows = summary(results.measurements)
    document = {"machine": machine(), "rounds": plan.rounds, "summary": rows, **dataclasses.asdict(results)}
    (folder / "results.json").write_text(json.dumps(clean(document), indent=1) + "\n")
    text = markdown(plan, results)
    if rows and plot(rows, folder / "bench.png"):
        text += "\n![CPU per token and transit, per shape](bench.png)\n"
    (folder / "README.md").write_text(text)
    return f"bench/results/{folder.name}"
