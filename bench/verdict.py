"""The figures that the relay must reach, and whether it does. Pure: rows in, verdicts out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.run import Results

__all__ = ["Verdict", "judge", "verdicts"]

FIRST = "50x100x10ms"
MANY = "2000x60x50ms"


@dataclass(frozen=True)
class Verdict:
    """One line of the table, in words."""

    figure: str
    measured: str
    must: str
    aim: str
    verdict: str


def judge(figure: str, value: float, must: float, aim: float, unit: str) -> Verdict | None:
    """Lower is better. None when it was not measured."""
    if math.isnan(value):
        return None
    verdict = "reached, aim too" if value <= aim else "reached" if value <= must else "MISSED"
    return Verdict(figure, f"{value:.2f} {unit}", f"≤ {must:g} {unit}", f"≤ {aim:g} {unit}", verdict)


def beats(figure: str, ratio: float) -> Verdict | None:
    """Lower than a peer's."""
    if math.isnan(ratio):
        return None
    return Verdict(figure, f"{ratio:.2f} ×", "< 1 ×", "–", "reached" if ratio < 1 else "MISSED")


def verdicts(rows: list[dict[str, Any]], results: Results) -> list[Verdict]:
    """All lines of the table that this run has figures for."""
    by = {(row["shape"], row["relay"]): row for row in rows}
    nothing: dict[str, float] = {}

    def figure(shape: str, relay: str, name: str) -> float:
        value: float = by.get((shape, relay), nothing).get(name, math.nan)
        return value

    found = [
        judge("CPU per token, verbatim", figure(FIRST, "tidegate", "cpu_vs_nginx"), 1.7, 1.4, "× nginx"),
        beats("CPU per token against vllm-router", figure(FIRST, "tidegate", "cpu_vs_vllm-router")),
        beats("CPU per token against sglang-router", figure(FIRST, "tidegate", "cpu_vs_sglang-router")),
        judge("CPU per token, NDJSON", figure(FIRST, "tidegate-ndjson", "cpu_vs_nginx"), 2.1, 1.7, "× nginx"),
        judge("CPU per token, everything on", figure(FIRST, "tidegate-on", "cpu_vs_tidegate"), 1.05, 1.0, "× off"),
        judge("CPU per token, strict", figure(FIRST, "tidegate-strict", "cpu_vs_tidegate-prose"), 1.6, 1.3, "× off"),
        judge("CPU per token, gzip", figure(FIRST, "tidegate-gzip", "cpu_vs_tidegate"), 1.25, 1.1, "× without"),
        judge("CPU per token, HTTP/2 with TLS", figure(FIRST, "tidegate-h2", "cpu_vs_tidegate"), 2.0, 1.1, "× without"),
        judge("added TTFT p99, HTTP/2 with TLS", figure(FIRST, "tidegate-h2", "added_ttft_p99") * 1e3, 8, 2, "ms"),
        judge("added TTFT p50, 50 streams", figure(FIRST, "tidegate", "added_ttft_p50") * 1e3, 1.5, 0.5, "ms"),
        judge("added TTFT p99, 50 streams", figure(FIRST, "tidegate", "added_ttft_p99") * 1e3, 6, 2, "ms"),
        judge("RSS, 50 live streams", figure(FIRST, "tidegate", "rss_peak") / 1e6, 60, 45, "MB"),
        judge("RSS, 2,000 live streams", figure(MANY, "tidegate", "rss_peak") / 1e6, 110, 70, "MB"),
    ]
    for relay, must, aim in (("tidegate", 25.0, 15.0), ("tidegate-gzip", 65.0, 40.0), ("tidegate-h2", 60.0, 30.0)):
        kilobytes = figure(MANY, relay, "rss_per_stream") / 1e3
        found.append(judge(f"RSS per live stream of 2,000, {relay}", kilobytes, must, aim, "KB"))
    for row in results.cancel:
        if row["relay"] == "tidegate":
            must, aim = (20.0, 5.0) if row["streams"] == 50 else (200.0, 50.0)
            found.append(judge(f"cancel p99, {row['streams']} streams", row["p99"], must, aim, "ms"))
    found += [
        judge("RSS after 20 rounds against round 2", row["growth %"], 2.0, 0.0, "%")
        for row in results.memory
        if row["relay"] == "tidegate"
    ]
    for row in results.live:
        if row["relay"] == "tidegate":
            found.append(
                judge(f"{row['streams']:,} live streams, not whole", row["streams"] - row["whole"], 0.0, 0.0, "streams")
            )
            found.append(judge(f"RSS, {row['streams']:,} live streams", row["RSS MB"], 350.0, 200.0, "MB"))
    found += [
        judge("RSS growth, reader stalled", row["growth KB"], 1000.0, 256.0, "KB")
        for row in results.stalled
        if row["relay"] == "tidegate"
    ]
    found += [
        judge(f"gap p99 behind {row['proxy']}, added", row["added to gap p99"], 5.0, 1.0, "ms")
        for row in results.proxies
        if isinstance(row["added to gap p99"], float)
    ]
    if results.comply:
        found.append(
            Verdict(
                "llm-comply through the gateway",
                results.comply["measured"],
                "no lower than the model server; streaming all pass",
                "–",
                "reached" if results.comply["reached"] else "MISSED",
            )
        )
    return [one for one in found if one is not None]
