"""ledger/report.py: every figure is what the rows say."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.ledger.rows import ended
from tidegate.ledger import book
from tidegate.ledger.database import Database
from tidegate.ledger.entries import Ended
from tidegate.ledger.report import GROUPS, Group, Query, since_of, usage

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
            assert row["prompt_tokens"] == sum(leg.prompt_tokens for leg in rows)
            assert row["output_tokens"] == sum(leg.output_tokens for leg in rows)
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
