"""PURE. What a load test found: as values, as a table, and against thresholds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tidegate.bench.options import Thresholds

__all__ = ["LoadReport", "Snapshot", "breaches", "table"]

Summary = Mapping[str, float | int | None]
"""Of a histogram; seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A run at one moment. ``rss`` in bytes, 0 when unknown."""

    seconds: float
    live: int
    complete: int
    cancelled: int
    failed: int
    tokens: int
    ttft_p50: float | None
    rss: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """A run that is over. Seconds and bytes; ``None`` for what nobody could tell."""

    url: str
    framing: str
    streams: int
    seconds: float
    complete: int
    cancelled: int
    failures: Mapping[str, int]
    """By kind."""
    dishonest: int
    """Failures that looked like successes."""
    tokens: int
    ttft: Summary
    tpot: Summary
    gap: Summary
    cancel: Summary | None
    added_ttft: Summary | None
    never_aborted: int
    rss_begin: int | None
    rss_end: int | None
    rss_peak: int | None
    stalled: float
    """Seconds in which the load test itself stood still: it had too much to do, or the machine did."""
    stopped: bool
    """It was ended early."""

    @property
    def failed(self) -> int:
        return sum(self.failures.values())

    @property
    def ended(self) -> int:
        return self.complete + self.cancelled + self.failed

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0

    @property
    def memory_growth(self) -> float | None:
        """As a share."""
        if self.rss_begin is None or self.rss_end is None:
            return None
        return self.rss_end / self.rss_begin - 1.0


def table(report: LoadReport) -> str:
    """For a person."""
    a_second = report.ended / report.seconds if report.seconds else 0.0
    counts = f"{report.complete:,} complete, {report.cancelled:,} cancelled, {report.failed:,} failed"
    lines = [
        f"{report.url}: {report.streams} concurrent streams ({report.framing}), {report.seconds:.1f} s"
        + (", stopped early" if report.stopped else ""),
        "",
        f"  streams  {counts} ({a_second:.1f} a second)",
        f"  tokens   {report.tokens:,} ({report.tokens_per_second:,.0f} a second)",
        "",
        f"  {'ms':<12}{'p50':>9}{'p90':>9}{'p99':>9}{'max':>9}",
    ]
    rows = (
        ("TTFT", report.ttft),
        ("  added", report.added_ttft),
        ("TPOT", report.tpot),
        ("gap", report.gap),
        ("cancel", report.cancel),
    )
    lines += [_row(name, summary) for name, summary in rows if summary is not None and summary["count"]]
    lines.append("")
    if report.failures:
        lines.append("  failures " + "; ".join(f"{count:,} × {kind}" for kind, count in report.failures.items()))
    lines.append(f"  endings  {_endings(report)}")
    if report.cancel is not None and (report.cancel["count"] or report.never_aborted):
        asked = int(report.cancel["count"] or 0) + report.never_aborted
        lines.append(f"  cancel   reached the model server for {report.cancel['count']} of {asked}")
    lines += _memory(report)
    if report.stalled:
        lines.append(f"  caution  the load test itself stood still for {report.stalled:.1f} s: times include that")
    return "\n".join(lines)


def _row(name: str, summary: Summary) -> str:
    cells = (summary[each] for each in ("p50", "p90", "p99", "max"))
    return f"  {name:<12}" + "".join(f"{(value or 0.0) * 1e3:>9,.1f}" for value in cells)


def _endings(report: LoadReport) -> str:
    if not report.ended - report.cancelled:
        return "none was seen"
    if report.dishonest:
        return f"{report.dishonest:,} looked like a success and were not"
    return "honest: every stream has a finish reason, or said that it failed"


def _memory(report: LoadReport) -> Iterator[str]:
    if report.rss_peak is None:
        return
    growth = report.memory_growth
    peak = f"peak {report.rss_peak / 1e6:.1f} MB"
    if growth is None or report.rss_begin is None or report.rss_end is None:
        yield f"  memory   {peak}; too short to tell its growth"
    else:
        yield f"  memory   {report.rss_begin / 1e6:.1f} → {report.rss_end / 1e6:.1f} MB ({growth:+.1%}), {peak}"


def breaches(report: LoadReport, limits: Thresholds) -> list[str]:
    """Why the test failed, one line each; empty when it passed."""
    found = []
    summaries = (
        ("TTFT p50", report.ttft, "p50", limits.ttft_p50),
        ("TTFT p99", report.ttft, "p99", limits.ttft_p99),
        ("TPOT p99", report.tpot, "p99", limits.tpot_p99),
        ("gap p99", report.gap, "p99", limits.gap_p99),
        ("cancel p99", report.cancel, "p99", limits.cancel_p99),
    )
    for name, summary, which, limit in summaries:
        value = summary[which] if summary is not None else None
        if limit is not None and value is not None and value > limit:
            found.append(f"{name} is {value * 1e3:,.1f} ms; at most {limit * 1e3:,g} ms")
    if not report.complete:
        found.append("no stream was complete")
    if report.dishonest:
        found.append(f"{report.dishonest:,} streams ended dishonestly")
    if report.never_aborted and limits.cancel_p99 is not None:
        found.append(f"{report.never_aborted:,} generations ran on after their reader had left")
    share = report.failed / report.ended if report.ended else 0.0
    if share > limits.errors:
        found.append(f"{share:.1%} of the streams failed; at most {limits.errors:.1%}")
    growth = report.memory_growth
    if limits.memory_growth is not None and growth is not None and growth > limits.memory_growth:
        found.append(f"memory grew by {growth:.1%}; at most {limits.memory_growth:.1%}")
    if limits.tokens_per_second is not None and report.tokens_per_second < limits.tokens_per_second:
        found.append(f"{report.tokens_per_second:,.0f} tokens a second; at least {limits.tokens_per_second:,g}")
    return found
