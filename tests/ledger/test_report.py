"""ledger/report.py: every figure is what the rows say."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from tests.ledger.rows import begun, ended, seen
from tidegate.ledger import book
from tidegate.ledger.database import Database
from tidegate.ledger.entries import Ended
from tidegate.ledger.report import GROUPS, Group, Query, since_of, usage
from tidegate.ledger.tables import legs
from tidegate.ledger.verify import verify

NOW = 1_790_000_000.0


def lives(count: int) -> list[Ended]:
    rand = random.Random(7)
    return [
        ended(
            number,
            key_id=f"key-{rand.randrange(3)}",
            model=f"m{rand.randrange(2)}",
            tags=rand.choice(["{}", '{"team":"blue"}', '{"project":"x","team":"red"}']),
            reason=rand.choice(["stop", "length", "client_cancel", "upstream_cut"]),
            ended_at=NOW - rand.random() * 3 * 86400,
            prompt_tokens=rand.randrange(100),
            output_tokens=rand.randrange(100),
            estimated=rand.randrange(2),
            cost=rand.choice([None, rand.randrange(10**6)]),
            ttft=rand.random(),
        )
        for number in range(count)
    ]


def told(database: Database, query: Query) -> list[dict[str, Any]]:
    with database.reading() as connection:
        return list(usage(connection, query))


def groups_of(item: Ended, by: Group) -> list[str]:
    row = item.legs[0]
    if by == "tag":
        return [pair for pair in ("team=blue", "team=red", "project=x") if pair.replace("=", '":"') in row.tags]
    day = datetime.fromtimestamp(row.ended_at, UTC).date().isoformat()
    return [{"key": row.key_id, "model": row.model, "reason": row.reason, "day": day}[by]]


@pytest.mark.parametrize("reason", [None, "client_cancel"])
@pytest.mark.parametrize("since", [None, NOW - 86400 - 1234.5, NOW - 600, NOW + 1])
def test_every_figure_is_what_the_rows_say(database: Database, since: float | None, reason: str | None) -> None:
    items = lives(300)
    with database.writing() as connection:
        book.enter(connection, items, careful=False)
    counted = [item for item in items if since is None or item.legs[0].ended_at >= since]
    counted = [item for item in counted if reason is None or item.legs[0].reason == reason]
    for by in GROUPS:
        wanted: dict[str, list[Ended]] = {}
        for item in counted:
            for group in groups_of(item, by):
                wanted.setdefault(group, []).append(item)
        found = told(database, Query(by=by, since=since, reason=reason))
        assert [row[by] for row in found] == sorted(wanted)
        for row in found:
            rows = [item.legs[0] for item in wanted[row[by]]]
            assert row["streams"] == len(rows)
            assert row["prompt_tokens"] == sum(leg.prompt_tokens or 0 for leg in rows)
            assert row["output_tokens"] == sum(leg.output_tokens or 0 for leg in rows)
            costs = [leg.cost for leg in rows if leg.cost is not None]
            assert row["cost"] is None or row["cost"] == pytest.approx(sum(costs) / 1e9)
            assert (row["cost"] is None) == (not sum(costs) and row["unpriced"] > 0)
            assert row["estimated_share"] == pytest.approx(sum(leg.estimated for leg in rows) / len(rows), abs=1e-6)
            cancelled = sum(leg.reason == "client_cancel" for leg in rows)
            assert row["cancel_ratio"] == pytest.approx(cancelled / len(rows), abs=1e-6)
            assert ("ttft_p50" in row) == (by == "model")
            if by == "model":
                middle = sorted(leg.ttft or 0.0 for leg in rows)[round((len(rows) - 1) / 2)]
                assert row["ttft_p50"] == pytest.approx(middle, abs=1e-6)


def test_what_nobody_knows_is_in_no_sum_and_is_counted(database: Database) -> None:
    """Not even what a former version wrote of it, which was zero and estimated."""
    with database.writing() as connection:
        streams = [begun(number, "dead") for number in (1, 2)]
        book.enter(connection, [*streams, ended(3, ended_at=8000.0)], careful=False)
        assert book.close_crashed(connection, ["dead"], 8000.0) == 2
        zeros = {"prompt_tokens": 0, "output_tokens": 0, "cached_tokens": 0, "estimated": 1, "cost": None}
        book.enter(
            connection, [ended(4, reason="gateway_crash", key_id="old", ended_at=8000.0, **zeros)], careful=False
        )
    for since in (None, 7990.0):
        app, old = told(database, Query(since=since))
        assert (app["streams"], app["unknown"], app["prompt_tokens"], app["output_tokens"]) == (3, 2, 10, 5)
        assert (app["cost"], app["unpriced"], app["estimated_share"]) == (1.5e-6, 0, 0.0)
        crash, stop = told(database, Query(by="reason", since=since))
        assert (stop["reason"], stop["unknown"], stop["prompt_tokens"]) == ("stop", 0, 10)
        for lost in (crash, old):
            assert (lost["unknown"], lost["unpriced"]) == (lost["streams"], 0)
            names = ("prompt_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "cost", "estimated_share")
            assert [lost[name] for name in names] == [None] * 6
    with database.reading() as connection:
        rows = connection.execute(select(legs).where(legs.c.key_id == "app", legs.c.reason == "gateway_crash"))
        for row in rows.mappings():
            assert [row[name] for name in ("prompt_tokens", "output_tokens", "delivered", "bytes_out", "cost")] == [
                None
            ] * 5
        assert verify(connection).problems == []


def test_percentiles_say_how_many_answers_they_are_of(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The latest ones."""
    monkeypatch.setattr("tidegate.ledger.report.MOST_TIMES", 3)
    rows = [ended(number, model=f"m{number % 2}", ended_at=8000.0 + number, ttft=float(number)) for number in range(6)]
    with database.writing() as connection:
        book.enter(connection, rows, careful=False)
    first, second = told(database, Query(by="model"))
    assert (first["timed"], first["ttft_p99"], second["timed"], second["ttft_p50"]) == (1, 4.0, 2, 3.0)


def test_an_empty_ledger_has_nothing_to_tell(database: Database) -> None:
    for by in GROUPS:
        assert told(database, Query(by=by)) == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30d", NOW - 30 * 86400), ("12h", NOW - 43200), ("90m", NOW - 5400), ("1w", NOW - 604800), ("5s", NOW - 5)],
)
def test_a_time_ago(text: str, seconds: float) -> None:
    assert since_of(text, NOW) == seconds


def test_a_day_and_a_time_are_utc_unless_they_say_otherwise() -> None:
    assert since_of("today", NOW) == NOW // 86400 * 86400
    assert since_of("2026-11-01", NOW) == datetime(2026, 11, 1, tzinfo=UTC).timestamp()
    assert since_of("2026-11-01T08:00+02:00", NOW) == datetime(2026, 11, 1, 6, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("text", ["", "yesterday", "5", "-3d", "2026-13-01", "5y"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        since_of(text, time.time())


def test_what_readers_pages_reported_is_told_by_group(database: Database) -> None:
    """Streams that were stopped are in no ratio; what nobody told is unknown. What is written again counts once."""
    ends = ["finished", "finished", "finished", "left", "stopped", None]
    items = [ended(number, key_id="web", ended_at=NOW + number) for number in range(len(ends))]
    reports = [
        seen(number, end, None if end == "left" else number / 10, NOW + number) for number, end in enumerate(ends)
    ]
    with database.writing() as connection:
        book.enter(connection, [*items, ended(9, key_id="silent", ended_at=NOW), *reports], careful=False)
    with database.writing() as connection:
        book.enter(connection, [*reports, seen(77)], careful=False)  # 77: a stream that nobody knows
    silent, web = told(database, Query(by="key"))
    names = ("readers", "readers_completion_ratio", "perceived_p50", "perceived_p95")
    assert [silent[name] for name in names] == [0, None, None, None]
    assert [web[name] for name in names] == [6, 0.75, 0.2, 0.5]
    for by in GROUPS:
        assert max(row["readers"] for row in told(database, Query(by=by))) == 6
        assert max(row["readers"] for row in told(database, Query(by=by, since=NOW + 3.5))) == 2
        assert told(database, Query(by=by, reason="length")) == []
    with database.reading() as connection:
        assert verify(connection).problems == []  # what a page says touches no row that is sealed
