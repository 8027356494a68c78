"""ledger/verify.py: what was done to the chain is found, and where."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.ledger.rows import ended
from tidegate.ledger import book
from tidegate.ledger.audit import Entry, append
from tidegate.ledger.database import Database
from tidegate.ledger.verify import Verdict, records, verify


@pytest.fixture
def chain(database: Database) -> Database:
    """Ten ends of streams, then an admin's action: eleven records."""
    with database.writing() as connection:
        book.enter(connection, [ended(number) for number in range(10)], careful=False)
        append(connection, [Entry(action="key.create", actor="root", subject="k1", detail={"name": "web"})])
    return database


def verdict(database: Database, head: str | None = None) -> Verdict:
    with database.reading() as connection:
        return verify(connection, head=head)


def test_an_empty_chain_is_whole(database: Database) -> None:
    assert verdict(database).problems == []


def test_a_chain_that_nobody_touched_is_whole(chain: Database) -> None:
    found = verdict(chain)
    assert (found.records, found.legs, found.problems) == (11, 10, [])
    assert verdict(chain, head=found.head).problems == []


@pytest.mark.parametrize(
    ("done", "where", "what"),
    [
        ("UPDATE audit SET actor = 'nobody' WHERE seq = 4", 4, "altered"),
        ("UPDATE audit SET detail = '{}' WHERE seq = 11", 11, "altered"),
        ("UPDATE audit SET at = at + 1 WHERE seq = 1", 1, "altered"),
        ("DELETE FROM audit WHERE seq = 6", 6, "the record was removed"),
        ("DELETE FROM audit WHERE seq <= 3", 1, "3 records were removed"),
        ("DELETE FROM audit WHERE seq = 11", 11, "removed from the end"),
        (
            "UPDATE audit SET seq = CASE seq WHEN 2 THEN 103 ELSE 102 END WHERE seq IN (2, 3)",
            2,
            "2 records were removed",
        ),
        ("UPDATE legs SET cost = 0 WHERE id LIKE '%7/0'", 8, "was altered"),
        ("UPDATE legs SET output_tokens = 1 WHERE id LIKE '%0/0'", 1, "was altered"),
        ("DELETE FROM legs WHERE id LIKE '%5/0'", 6, "was removed"),
    ],
)
def test_whatever_is_done_to_it_is_found_and_where(chain: Database, done: str, where: int, what: str) -> None:
    with chain.writing() as connection:
        connection.execute(text(done))
    problems = verdict(chain).problems
    assert (problems[0].seq, what in problems[0].what) == (where, True), problems


def test_records_that_changed_places_are_found(chain: Database) -> None:
    with chain.writing() as connection:
        for swap in ("seq + 100 WHERE seq IN (4, 5)", "CASE seq WHEN 104 THEN 5 ELSE 4 END WHERE seq > 100"):
            connection.execute(text(f"UPDATE audit SET seq = {swap}"))
    assert [problem.seq for problem in verdict(chain).problems] == [4, 5, 6]


def test_a_row_without_a_record_is_found(chain: Database) -> None:
    with chain.writing() as connection:
        connection.execute(text("UPDATE legs SET stream_id = 'x' WHERE id LIKE '%5/0'"))
    assert any("have no record" in problem.what for problem in verdict(chain).problems)


def test_a_chain_that_was_written_anew_has_not_the_head_that_was_noted(chain: Database) -> None:
    assert any("written anew" in problem.what for problem in verdict(chain, head="f" * 64).problems)


def test_problems_end_somewhere(chain: Database) -> None:
    with chain.writing() as connection:
        book.enter(connection, [ended(number) for number in range(100, 300)], careful=False)
        connection.execute(text("UPDATE legs SET cost = 0"))
    found = verdict(chain)
    assert (len(found.problems), found.more) == (100, 110)


def test_the_export_is_every_record_in_order(chain: Database) -> None:
    with chain.reading() as connection:
        found = list(records(connection))
        assert [row["seq"] for row in records(connection, after=9)] == [10, 11]
    assert [row["seq"] for row in found] == list(range(1, 12))
    assert found[-1]["detail"] == {"name": "web"}
