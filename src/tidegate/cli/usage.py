"""``tidegate usage``: who used what, what it cost, how it ended."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

import click

__all__ = ["usage"]

GROUPS = ("key", "tag", "model", "reason", "day")
_SHOWN = {
    "streams": "streams",
    "prompt_tokens": "prompt",
    "output_tokens": "output",
    "cost": "cost $",
    "unknown": "unknown",
    "estimated_share": "estimated",
    "completion_ratio": "completed",
    "cancel_ratio": "cancelled",
    "readers": "readers",
    "readers_completion_ratio": "finished",
    "perceived_p50": "perceived p50",
    "perceived_p95": "p95",
    "ttft_p50": "ttft p50",
    "ttft_p95": "p95",
    "ttft_p99": "p99",
    "tpot_p50": "tpot p50",
    "tpot_p95": "p95",
    "tpot_p99": "p99",
    "timed": "of latest",
}

_OF_READERS = ("readers", "readers_completion_ratio", "perceived_p50", "perceived_p95")
"""Columns of the table only where a page has reported."""


@click.command()
@click.option(
    "--by", type=click.Choice(GROUPS), default="key", show_default=True, help="What a line is of. Days are UTC."
)
@click.option("--since", metavar="WHEN", help="30d, 12h, today, 2026-11-01, 2026-11-01T08:00. [default: everything]")
@click.option("--reason", metavar="REASON", help="Only streams that ended so, such as client_cancel.")
@click.option("--format", "form", type=click.Choice(("table", "json", "csv")), default="table", show_default=True)
@click.option("-c", "--config", "file", metavar="FILE", help="The TOML file, for its [ledger].")
def usage(by: str, since: str | None, reason: str | None, form: str, file: str | None) -> None:
    """Who used what, what it cost, how it ended: from the ledger, whether the gateway runs or not.

    \b
      tidegate usage                                      every key since the beginning
      tidegate usage --by tag --since 30d                 what each team cost this month
      tidegate usage --by model                           with percentiles of TTFT and TPOT, in seconds, of at
                                                          most the latest 100,000 answers
      tidegate usage --reason client_cancel --format csv  cancelled streams, for the provider's bill

    Costs are in US dollars. A model without a price is unpriced, not free: its cost is "-" (null in JSON). What a
    stream used whose gateway died is unknown: it is in no sum, and "unknown" counts such streams. Where readers' pages
    reported, "finished" is how many of their streams did, and "perceived" the seconds from submit to first paint.
    """
    from tidegate.cli.ledger import opened_ledger
    from tidegate.ledger.report import Group, Query, since_of
    from tidegate.ledger.report import usage as report

    try:
        start = None if since is None else since_of(since, time.time())
    except ValueError:
        raise click.BadParameter(
            f'"{since}" is no time; write 30d, 12h, today, 2026-11-01 or 2026-11-01T08:00', param_hint="--since"
        ) from None
    query = Query(by=cast(Group, by), since=start, reason=reason)
    with opened_ledger(file) as database, database.reading() as connection:
        for line in _FORMS[form](by, report(connection, query)):
            click.echo(line)


def as_table(by: str, rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Columns, numbers to the right; the whole of it is needed to know how wide they are."""
    found = list(rows)
    if not found:
        yield "No streams."
        return
    told = any(row["readers"] for row in found)
    names = [by, *(name for name in _SHOWN if name in found[0] and (told or name not in _OF_READERS))]
    lines = [[by, *(_SHOWN[name] for name in names[1:])]]
    lines += [[_cell(name, row[name]) for name in names] for row in found]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        first, *others = (
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        yield "  ".join((first, *others)).rstrip()


def as_json(_: str, rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """One list, an object a line."""
    before = "["
    for row in rows:
        yield before + json.dumps(row, ensure_ascii=False)
        before = ","
    yield "[]" if before == "[" else "]"


def as_csv(_: str, rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """With a head; empty where there is nothing to say."""
    out = _Lines()
    writer = csv.writer(out, lineterminator="")
    for number, row in enumerate(rows):
        if not number:
            writer.writerow(row)
            yield out.line
        writer.writerow("" if value is None else _harmless(value) for value in row.values())
        yield out.line


class _Lines:
    """Takes what csv writes, a line at a time."""

    line = ""

    def write(self, line: str) -> None:
        self.line = line


def _harmless(value: Any) -> Any:
    """Spreadsheets take a text that begins so for a formula; clients choose model names."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name == "cost":
        return f"{value:.6f}"
    if name in ("estimated_share", "completion_ratio", "cancel_ratio", "readers_completion_ratio"):
        return f"{value:.1%}"
    if isinstance(value, float):
        return f"{value:.4f}"
    text = str(value)
    return text if text.isprintable() else ascii(text)[1:-1]


_FORMS: Mapping[str, Callable[[str, Iterable[Mapping[str, Any]]], Iterator[str]]] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
}
