"""The ledger and the gate against their limits: rows a second, a report over a million rows, CPU of an admission.

    python -m bench.ledger                 # about two minutes
    python -m bench.ledger --rows 100000   # a smaller ledger for the report

Rows go the whole way: from the event loop's queue through the spool into the database. PostgreSQL and Redis are started
here, where their programs are installed. A report is ``tidegate usage`` as a process, its start included.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.postgres import Postgres

from bench.admission import LIMITS, MOST, TAGS, cpu, gate, look_up, redis_admissions, stream
from tidegate.ledger import book
from tidegate.ledger.database import Database
from tidegate.ledger.entries import Ended, LegRow
from tidegate.ledger.ledger import Ledger
from tidegate.ledger.options import LedgerOptions
from tidegate.policy.budgets import Budget
from tidegate.policy.keys import Principal
from tidegate.policy.meters import Quota
from tidegate.relay.ids import new_id

SUSTAINED = 50_000
"""Rows of the measurement of speed: ten seconds at what it must reach."""

AHEAD = 10_000
"""Rows that may be on their way at once."""

DAY = 86400.0
REASONS = ("stop", "stop", "stop", "length", "tool_calls", "client_cancel", "upstream_cut", "limit")


@dataclass(frozen=True)
class Line:
    """One figure and what it must be; ``must`` is NaN where nothing was promised."""

    figure: str
    measured: float
    must: float
    unit: str
    more: bool = False
    """More is better."""

    def __str__(self) -> str:
        good = self.measured >= self.must if self.more else self.measured <= self.must
        limit = "–" if math.isnan(self.must) else f"{'≥' if self.more else '≤'} {self.must:,g} {self.unit}"
        verdict = "–" if math.isnan(self.must) else "reached" if good else "MISSED"
        size = ",.0f" if self.measured >= 100 else ".2f"
        return f"| {self.figure} | {self.measured:{size}} {self.unit} | {limit} | {verdict} |"


def leg(number: int, rand: random.Random, ended: float) -> Ended:
    """The end of a stream that nobody has had."""
    stream_id = new_id(now=ended)
    output = rand.randrange(1, 800)
    return Ended(
        legs=[
            LegRow(
                id=f"{stream_id}/0",
                stream_id=stream_id,
                leg=0,
                final=1,
                instance="bench",
                key_id=f"key-{number % 200}",
                tags=f'{{"team":"team-{number % 20}"}}',
                model=f"model-{number % 10}",
                served_model=f"model-{number % 10}",
                upstream="main",
                framing="sse",
                started_at=ended - 2.0,
                ended_at=ended,
                ttft=rand.random(),
                tpot=rand.random() / 50,
                prompt_tokens=rand.randrange(2000),
                output_tokens=output,
                delivered=output,
                cost=output * 10_000,
                reason=REASONS[number % len(REASONS)],
                finish_reason="stop",
                status=200,
                bytes_in=output * 200,
                bytes_out=output * 200,
            )
        ]
    )


def sustained(url: str, folder: str, rows: int) -> float:
    """Rows a second, from the queue to the database, until the last of them is there."""
    ledger = Ledger(Database(url), LedgerOptions(url=url, spool=f"{folder}/spool"))
    ledger.open()
    rand = random.Random(1)
    now = time.time()
    items = [leg(number, rand, now) for number in range(rows)]
    begin = time.perf_counter()
    for item in items:
        while ledger.writer.waiting[0] > AHEAD:
            time.sleep(0.005)
        ledger.writer.put(lambda item=item: item)  # type: ignore[misc]
    while ledger.writer.figures.written < rows:
        time.sleep(0.005)
    spent = time.perf_counter() - begin
    assert ledger.writer.figures.dropped == 0
    ledger.close()
    return rows / spent


def filled(url: str, rows: int) -> None:
    """A ledger of thirty days."""
    database = Database(url)
    database.open()
    rand = random.Random(2)
    now = time.time()
    for start in range(0, rows, 20_000):
        items = [
            leg(number, rand, now - 30 * DAY * (rows - number) / rows)
            for number in range(start, min(rows, start + 20_000))
        ]
        with database.writing() as connection:
            book.enter(connection, items, careful=False)
    database.close()


def reports(rows: int) -> Iterator[Line]:
    """``tidegate usage`` over a ledger on SQLite."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/tidegate.db"
        filled(url, rows)
        config = Path(folder) / "tidegate.toml"
        config.write_text(f'[ledger]\nurl = "{url}"\n')
        for options in (["--by", "key"], ["--by", "tag"], ["--by", "model"], ["--by", "day"], ["--since", "10d"]):
            argv = [sys.executable, "-m", "tidegate", "usage", *options, "--config", str(config), "--format", "json"]
            times = []
            for _ in range(3):
                begin = time.perf_counter()
                subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
                times.append(time.perf_counter() - begin)
            yield Line(f"`tidegate usage {' '.join(options)}`, {rows:,} rows", statistics.median(times), 2.0, "s")


async def admissions() -> list[Line]:
    """CPU of one stream's admission and settlement, with every limit there is."""
    who = Principal("key-1", quota=Quota(MOST, MOST, MOST, Budget(MOST * 1_000_000, "day")), tags=TAGS)
    found = [
        Line("admission and settlement in this process, CPU", await cpu(5000, stream(gate(LIMITS), who)), 150, "µs"),
        Line("looking up a virtual key, CPU", await look_up(), math.nan, "µs"),
    ]
    if shutil.which("redis-server"):
        entered, settled, round_trip = await redis_admissions(who)
        found += [
            Line("admission over Redis, one call, CPU", entered, 150, "µs"),
            Line("settlement over Redis, one call, CPU", settled, math.nan, "µs"),
            Line("admission over Redis, from beginning to end", round_trip, math.nan, "µs"),
        ]
    return found


@contextmanager
def postgresql() -> Iterator[str | None]:
    """The URL of a server of our own; ``None`` where there is none to start."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            server = Postgres(Path(folder) / "cluster")
        except Exception as error:
            print(f"PostgreSQL cannot be started here: {type(error).__name__}", file=sys.stderr)
            yield None
            return
        server.start()
        try:
            yield server.url
        finally:
            server.close()


def measured(rows: int) -> Iterator[Line]:
    """Everything, a line at a time."""
    with tempfile.TemporaryDirectory() as folder:
        speed = sustained(f"sqlite:///{folder}/tidegate.db", folder, SUSTAINED)
        yield Line("rows sustained, SQLite", speed, 5000, "rows/s", more=True)
    with postgresql() as url:
        if url is not None:
            with tempfile.TemporaryDirectory() as folder:
                speed = sustained(url, folder, SUSTAINED)
                yield Line("rows sustained, PostgreSQL", speed, math.nan, "rows/s", more=True)
    yield from reports(rows)
    yield from asyncio.run(admissions())


def main() -> None:
    """``python -m bench.ledger``"""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the ledger that is reported on")
    options = parser.parse_args()
    print("| figure | measured | must | verdict |\n|---|---|---|---|")
    for line in measured(options.rows):
        print(line, flush=True)


if __name__ == "__main__":
    main()
