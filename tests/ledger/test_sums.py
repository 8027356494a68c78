"""ledger/sums.py: the totals are what the legs add up to."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from tests.ledger.rows import ended, leg_row
from tidegate.ledger import book
from tidegate.ledger.database import Database
from tidegate.ledger.entries import Ended, LegRow
from tidegate.ledger.sums import count
from tidegate.ledger.tables import totals

Totals = dict[tuple[str, str, str, int], tuple[int, ...]]


def kept(database: Database) -> Totals:
    """What is in the table, without what is all zero."""
    with database.reading() as connection:
        rows = connection.execute(select(totals)).all()
    return {tuple(row[:4]): tuple(map(int, row[4:])) for row in rows if any(row[4:])}


def wanted(rows: list[LegRow]) -> Totals:
    """One after another."""
    found: dict[Any, Counter[int]] = {}
    for row in rows:
        figures = (row.final, row.prompt_tokens, row.cached_tokens, row.output_tokens, row.reasoning_tokens, row.cost)
        unpriced = row.cost is None and (row.prompt_tokens or 0) + (row.output_tokens or 0) > 0 and row.final
        tags = [("tag", f"{name}={value}") for name, value in json.loads(row.tags).items()]
        for place in (("all", ""), ("key", row.key_id), ("model", row.model), *tags):
            key = (*place, row.reason, int(row.ended_at // 3600))
            known = found.setdefault(key, Counter())
            for at, figure in enumerate((*figures, row.final * row.estimated, int(unpriced))):
                known[at] += figure or 0
    return {key: tuple(sums[at] for at in range(8)) for key, sums in found.items() if any(sums.values())}


def test_every_leg_is_counted_once_in_each_dimension(database: Database) -> None:
    failed = leg_row(3, final=0, reason="upstream_error", prompt_tokens=0, output_tokens=0, cost=None)
    items = [
        ended(1),
        ended(2, reason="length", cost=None, estimated=1),
        Ended(legs=[failed, leg_row(3, id=f"{3:032x}/1", leg=1)]),
        ended(4, tags='{"team":"blue","project":"x"}', ended_at=10800.0),
    ]
    with database.writing() as connection:
        book.enter(connection, items, careful=False)
    by = kept(database)
    assert by[("all", "", "stop", 2)] == (2, 20, 2, 10, 0, 3000, 0, 0)
    assert by[("all", "", "length", 2)] == (1, 10, 1, 5, 0, 0, 1, 1)
    assert by[("key", "app", "upstream_error", 2)][:1] == (0,)
    assert (by[("tag", "team=blue", "stop", 3)][0], by[("tag", "project=x", "stop", 3)][0]) == (1, 1)
    assert sum(figures[0] for (dimension, *_), figures in by.items() if dimension == "model") == 4


LEGS = st.lists(
    st.builds(
        lambda number, **given: leg_row(number, **given),
        st.integers(0, 10**9),
        key_id=st.sampled_from(["app", "other"]),
        model=st.sampled_from(["m", "n"]),
        tags=st.sampled_from(["{}", '{"team":"blue"}', '{"project":"x","team":"blue"}']),
        reason=st.sampled_from(["stop", "gateway_crash"]),
        final=st.integers(0, 1),
        ended_at=st.sampled_from([0.0, 3599.9, 3600.0, 1.79e9]),
        prompt_tokens=st.none() | st.integers(0, 9),
        output_tokens=st.none() | st.integers(0, 9),
        estimated=st.integers(0, 1),
        cost=st.none() | st.integers(0, 10**12),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(LEGS, LEGS)
def test_what_comes_and_goes_leaves_what_was_before(first: list[LegRow], second: list[LegRow]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/t.db")
        database.open()
        with database.writing() as connection:
            count(connection, first)
        with database.writing() as connection:
            count(connection, second)
        assert kept(database) == wanted(first + second)
        with database.writing() as connection:
            count(connection, second, -1)
        assert kept(database) == wanted(first)
        database.close()
