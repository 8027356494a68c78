"""ledger/statements.py: what is there already stays, is added to, or is replaced; on both databases."""

from __future__ import annotations

from sqlalchemy import select

from tidegate.ledger.database import Database
from tidegate.ledger.statements import add, delete, insert, replace
from tidegate.ledger.tables import begins, instances, totals


def names(database: Database) -> list[tuple[str, str, float]]:
    with database.reading() as connection:
        rows = connection.execute(select(instances).order_by(instances.c.id)).all()
    return [(row.id, row.host, row.lease_until) for row in rows]


def test_no_rows_are_none(database: Database) -> None:
    with database.writing() as connection:
        insert(connection, instances, [])
        add(connection, totals, [])
        replace(connection, instances, [])
    assert names(database) == []


def test_what_is_known_stays_or_is_replaced(database: Database) -> None:
    with database.writing() as connection:
        insert(connection, instances, [("a", "one", 1.0), ("b", "one", 1.0)])
        insert(connection, instances, [("a", "two", 2.0), ("c", "two", 2.0)], known=True)
    assert names(database) == [("a", "one", 1.0), ("b", "one", 1.0), ("c", "two", 2.0)]
    with database.writing() as connection:
        replace(connection, instances, [("b", "three", 3.0), ("d", "three", 3.0)])
    assert [each[1] for each in names(database)] == ["one", "three", "two", "three"]


def test_figures_become_sums(database: Database) -> None:
    key = ("all", "", "stop", 7)
    with database.writing() as connection:
        add(connection, totals, [(*key, 1, 2, 3, 4, 5, 6, 7, 8)])
        add(connection, totals, [(*key, 1, -2, 0, 10, 0, 10**15, 0, 0), ("key", "x", "stop", 7, *[1] * 8)])
        found = connection.execute(select(totals).order_by(totals.c.dimension)).all()
    assert [tuple(row) for row in found] == [
        (*key, 2, 0, 3, 14, 5, 10**15 + 6, 7, 8),
        ("key", "x", "stop", 7, *[1] * 8),
    ]


def test_many_are_deleted_at_once(database: Database) -> None:
    streams = [f"{number:032x}" for number in range(2000)]
    with database.writing() as connection:
        insert(connection, begins, [(stream, "here", "k", "{}", "m", "sse", 1.0) for stream in streams])
        delete(connection, begins.c.stream_id, [*streams[:-1], "nobody"])
        left = connection.execute(select(begins.c.stream_id)).scalars().all()
    assert list(left) == streams[-1:]
