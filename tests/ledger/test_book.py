"""ledger/book.py: what the writer does to the database."""

from __future__ import annotations

import msgspec
from sqlalchemy import event, func, select

from tests.ledger.rows import begun, ended, leg_row
from tidegate.ledger import book
from tidegate.ledger.database import Database
from tidegate.ledger.entries import GATEWAY_CRASH, Ended, Item
from tidegate.ledger.tables import audit, begins, instances, legs, texts, totals
from tidegate.ledger.verify import verify


def enter(database: Database, *items: Item, careful: bool = True) -> None:
    with database.writing() as connection:
        book.enter(connection, items, careful=careful)


def reasons(database: Database) -> list[tuple[str, str]]:
    with database.reading() as connection:
        rows = connection.execute(select(legs.c.id, legs.c.reason).order_by(legs.c.id)).all()
    return [(row.id[-4:], row.reason) for row in rows]


def count(database: Database, table: object) -> int:
    with database.reading() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()  # type: ignore[arg-type]


def assert_whole(database: Database) -> None:
    with database.reading() as connection:
        assert verify(connection).problems == []
        streams = connection.execute(select(func.sum(totals.c.streams)).where(totals.c.dimension == "all")).scalar()
        assert int(streams or 0) == connection.execute(select(func.sum(legs.c.final))).scalar()


def test_a_stream_that_began_and_ended_leaves_its_rows_and_a_record(database: Database) -> None:
    enter(database, begun(1), begun(2), careful=False)
    assert count(database, begins) == 2
    enter(database, ended(1), careful=False)
    assert (count(database, begins), reasons(database)) == (1, [("01/0"[-4:], "stop")])
    assert_whole(database)


def test_whatever_is_entered_again_is_there_once(database: Database) -> None:
    items: list[Item] = [begun(1), ended(1), ended(2), begun(3)]
    enter(database, *items, careful=False)
    for again in (items, items[:1], items[1:], [*items, ended(4)]):
        enter(database, *again)
    enter(database, ended(1))
    assert [reason for _, reason in reasons(database)] == ["stop"] * 3
    assert count(database, audit) == 3
    assert_whole(database)


def test_a_begin_that_is_beside_its_end_is_neither_written_nor_looked_for(database: Database) -> None:
    enter(database, begun(2), begun(3), careful=False)
    asked: list[tuple[str, str]] = []

    def note(_: object, __: object, statement: str, parameters: object, *___: object) -> None:
        if "begins" in statement:
            asked.append((statement.split()[0], str(parameters)))

    event.listen(database.engine, "before_cursor_execute", note)
    enter(database, begun(1), ended(1), ended(2), careful=False)
    ((verb, which),) = asked
    assert verb == "DELETE"
    assert ended(2).stream_id in which
    assert ended(1).stream_id not in which
    asked.clear()
    enter(database, begun(4), ended(4), careful=False)
    assert asked == []
    enter(database, begun(5), ended(5))
    assert [verb for verb, _ in asked] == ["DELETE"], "with care, it may be there already"
    assert count(database, begins) == 1
    assert_whole(database)


def test_every_leg_of_a_stream_is_a_row(database: Database) -> None:
    first = leg_row(1, final=0, reason="upstream_error", output_tokens=0, delivered=0, prompt_tokens=0, cost=None)
    last = msgspec.structs.replace(leg_row(1), id=f"{first.stream_id}/1", leg=1, retries=1)
    enter(database, Ended(legs=[first, last]))
    assert [reason for _, reason in reasons(database)] == ["upstream_error", "stop"]
    assert_whole(database)


def test_a_gateway_that_died_has_its_streams_closed(database: Database) -> None:
    enter(database, begun(1, "dead"), begun(2, "dead"), begun(3, "alive"))
    enter(database, ended(2, instance="dead"))
    with database.writing() as connection:
        assert book.close_crashed(connection, ["dead"], 8000.0) == 1
        assert book.close_crashed(connection, ["dead"], 8000.0) == 0
    assert [reason for _, reason in reasons(database)] == [GATEWAY_CRASH, "stop"]
    assert count(database, begins) == 1
    assert_whole(database)


def test_what_a_gateway_knows_that_was_taken_for_dead_counts(database: Database) -> None:
    enter(database, begun(1, "slow"))
    with database.writing() as connection:
        book.close_crashed(connection, ["slow"], 8000.0)
    enter(database, ended(1, instance="slow"))
    enter(database, ended(1, instance="slow"))
    assert [reason for _, reason in reasons(database)] == ["stop"]
    assert count(database, audit) == 2
    assert_whole(database)


def test_a_beginning_that_comes_after_its_end_is_closed_without_a_row(database: Database) -> None:
    enter(database, ended(1))
    enter(database, begun(1, "dead"))
    with database.writing() as connection:
        book.close_crashed(connection, ["dead"], 8000.0)
    assert [reason for _, reason in reasons(database)] == ["stop"]
    assert count(database, begins) == 0


def test_a_lease_is_renewed_runs_out_and_is_ended(database: Database) -> None:
    with database.writing() as connection:
        book.renew_lease(connection, "a", "host", 100.0)
        book.renew_lease(connection, "b", "host", 100.0)
        book.renew_lease(connection, "a", "host", 200.0)
        assert book.dead_instances(connection, 150.0) == ["b"]
        book.end_lease(connection, ["a"])
    assert count(database, instances) == 1


def test_texts_are_kept_and_forgotten(database: Database) -> None:
    enter(database, Ended(legs=[leg_row(1)], prompt="Why?", answer="So."), Ended(legs=[leg_row(2)]))
    with database.reading() as connection:
        assert connection.execute(select(texts.c.prompt, texts.c.answer)).all() == [("Why?", "So.")]
    with database.writing() as connection:
        assert book.forget_texts(connection, 7201.0) == 0
        assert book.forget_texts(connection, 7202.0) == 1
