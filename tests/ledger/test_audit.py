"""ledger/audit.py: records on a chain."""

from __future__ import annotations

import hashlib
import json
import threading

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from tidegate.ledger.audit import GENESIS, HEAD, Entry, append, seal
from tidegate.ledger.database import Database
from tidegate.ledger.tables import audit, meta


def entry(number: int) -> Entry:
    return Entry(action="key.create", actor="admin", subject=f"key-{number}", detail={"b": 1, "a": "ä"}, id=str(number))


TEXTS = st.text()


@given(TEXTS, TEXTS, TEXTS, TEXTS, TEXTS, st.integers(), st.floats(allow_nan=False, allow_infinity=False))
def test_a_seal_is_the_hash_of_canonical_json(
    id_: str, action: str, actor: str, subject: str, detail: str, seq: int, at: float
) -> None:
    row = {"seq": seq, "id": id_, "at": at, "action": action, "actor": actor, "subject": subject, "detail": detail}
    text = json.dumps([GENESIS, *row.values()], ensure_ascii=True, separators=(",", ":"))
    assert seal(GENESIS, row) == hashlib.sha256(text.encode()).hexdigest()


def test_each_record_is_sealed_with_the_one_before(database: Database) -> None:
    for start in (0, 2):
        with database.writing() as connection:
            append(connection, [entry(start), entry(start + 1)])
    with database.reading() as connection:
        rows = connection.execute(select(audit).order_by(audit.c.seq)).mappings().all()
        head = connection.execute(select(meta.c.value).where(meta.c.name == HEAD)).scalar()
    assert [row["seq"] for row in rows] == [1, 2, 3, 4]
    before = GENESIS
    for row in rows:
        before = seal(before, dict(row))
        assert row["hash"] == before
    assert head == f"4:{before}"


def test_an_entry_that_is_there_is_not_written_again(database: Database) -> None:
    for _ in range(2):
        with database.writing() as connection:
            append(connection, [entry(1), entry(1), entry(2)])
    with database.reading() as connection:
        assert connection.execute(select(audit.c.id).order_by(audit.c.seq)).scalars().all() == ["1", "2"]


def test_nothing_is_no_record(database: Database) -> None:
    with database.writing() as connection:
        append(connection, [])
    with database.reading() as connection:
        assert connection.execute(select(meta)).all() == []


def test_writers_at_once_keep_one_chain(url: str, database: Database) -> None:
    def write(start: int) -> None:
        mine = Database(url)
        for number in range(start, start + 10):
            with mine.writing() as connection:
                append(connection, [entry(number)])
        mine.close()

    threads = [threading.Thread(target=write, args=(100 * place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.reading() as connection:
        rows = connection.execute(select(audit).order_by(audit.c.seq)).mappings().all()
    assert len(rows) == 40
    before = GENESIS
    for row in rows:
        before = seal(before, dict(row))
        assert row["hash"] == before
