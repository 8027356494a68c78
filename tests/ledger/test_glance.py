"""ledger/glance.py: whether keys have changed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.postgres import Postgres
from tidegate.ledger import glance as glances
from tidegate.ledger.database import Database, LedgerAway
from tidegate.ledger.glance import Glance
from tidegate.ledger.keys import KeyRow, KeyStore
from tidegate.ledger.tables import keys


@pytest.fixture
def on_disk(tmp_path: Path) -> Iterator[Database]:
    """A SQLite ledger of its own."""
    database = Database(f"sqlite:///{tmp_path / 'x.db'}")
    database.open()
    yield database
    database.close()


def test_it_is_the_version_at_every_moment(database: Database) -> None:
    store = KeyStore(database)
    glance = Glance(database, store)
    assert glance.version() == 0
    for number in range(1, 5):
        store.create(KeyRow(id=f"key-{number}", name="x"), f"d{number}", actor="cli")
        assert glance.version() == number == glance.version()
    glance.close()
    assert glance.version() == 4
    glance.close()


def test_other_processes_are_seen(database: Database, url: str) -> None:
    glance = Glance(database, KeyStore(database))
    program = (
        "import sys; from tidegate.ledger.database import Database; from tidegate.ledger.keys import *\n"
        "made = Database(sys.argv[1]); made.open()\n"
        "KeyStore(made).create(KeyRow(id=sys.argv[2], name='x'), sys.argv[2], actor='cli'); made.close()"
    )
    for number in range(1, 4):
        subprocess.run([sys.executable, "-c", program, url, f"key-{number}"], check=True, timeout=50)
        assert glance.version() == number
    glance.close()


def test_only_sqlite_is_asked_on_the_event_loop(database: Database) -> None:
    assert Glance(database, KeyStore(database)).quick == database.sqlite


def test_a_database_that_is_not_there_is_away(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'nowhere' / 'x.db'}")
    with pytest.raises(LedgerAway):
        Glance(database, KeyStore(database)).version()


def test_a_file_without_tables_is_away_too_and_works_once_they_are_there(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'x.db'}")
    glance = Glance(database, KeyStore(database))
    with pytest.raises(LedgerAway):
        glance.version()
    database.open()
    assert glance.version() == 0
    glance.close()
    database.close()


def test_a_postgresql_that_was_restarted_is_asked_again(postgres: Postgres) -> None:
    database = Database(postgres.url)
    database.open()
    glance = Glance(database, KeyStore(database))
    before = glance.version()
    postgres.stop()
    with pytest.raises(LedgerAway):
        glance.version()
    postgres.start()
    assert glance.version() == before
    glance.close()
    database.close()


def test_nothing_is_asked_of_sqlite_while_nobody_commits(on_disk: Database) -> None:
    store = KeyStore(on_disk)
    glance = Glance(on_disk, store)
    assert [glance.version(), glance.version()] == [0, 0]
    asked: list[str] = []
    glance._connection.set_trace_callback(asked.append)
    assert [glance.version() for _ in range(100)] == [0] * 100
    assert asked == []
    store.create(KeyRow(id="key-1", name="x"), "d", actor="cli")
    assert glance.version() == 1
    assert asked[0] == "PRAGMA data_version"
    glance.close()


def test_a_rolled_back_transaction_and_a_reader_change_nothing(on_disk: Database) -> None:
    store = KeyStore(on_disk)
    glance = Glance(on_disk, store)
    with suppress(LookupError), on_disk.writing() as connection:
        connection.execute(keys.delete())
        raise LookupError
    store.all()
    assert [glance.version(), glance.version()] == [0, 0]
    glance.close()


def test_the_locks_of_a_connection_outlive_a_glance_at_the_same_file(on_disk: Database, tmp_path: Path) -> None:
    """SQLite's locks are the process's: had a file been closed, another process would take the database for unused."""
    glance = Glance(on_disk, KeyStore(on_disk))
    glance.version()
    glance.close()
    again = Glance(on_disk, KeyStore(on_disk))
    assert again.version() == 0
    again.close()
    with on_disk.reading() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM keys").all()
        locks = Path("/proc/locks").read_text().splitlines()
        inode = (tmp_path / "x.db-shm").stat().st_ino
        held = [line for line in locks if f":{inode} " in line and f" {os.getpid()} " in line]
        assert held, "nobody holds the index of the log"


def test_a_file_system_without_a_shared_index_is_asked_every_time(on_disk: Database, monkeypatch: Any) -> None:
    monkeypatch.setattr(glances, "_index_of", lambda _: None)
    store = KeyStore(on_disk)
    glance = Glance(on_disk, store)
    for number in range(1, 4):
        store.create(KeyRow(id=f"key-{number}", name="x"), f"d{number}", actor="cli")
        assert glance.version() == number == glance.version()
    glance.close()


@pytest.mark.parametrize("content", [None, b"", b"x" * 95])
def test_what_is_not_an_index_is_not_looked_at(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.db-shm"
    if content is not None:
        path.write_bytes(content)
    assert glances._index_of(str(path)) is None


WRITER = """
import sys
from tidegate.ledger.database import Database
from tidegate.ledger.keys import KeyRow, KeyStore

database = Database(sys.argv[1])
for number, mode in enumerate(["PASSIVE", "RESTART", "TRUNCATE", "", "reopen"] * 10):
    store = KeyStore(database)
    store.create(KeyRow(id=f"key-{number}", name="x"), f"d{number}", actor="cli")
    if mode == "reopen":
        database.close()
        database = Database(sys.argv[1])
    elif mode:
        with database.engine.connect() as connection:
            connection.connection.driver_connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
    print(number + 1, flush=True)
    sys.stdin.readline()
"""


def test_no_commit_is_missed_whatever_another_process_does_to_the_log(on_disk: Database) -> None:
    """Checkpoints begin the log anew, and a process that opens the file may be the first or the last of its own."""
    glance = Glance(on_disk, KeyStore(on_disk))
    assert glance.version() == 0
    argv = [sys.executable, "-c", WRITER, str(on_disk.url)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdin is not None
        committed = []
        for line in writer.stdout:
            committed.append(int(line))
            assert glance.version() == committed[-1] == glance.version()
            writer.stdin.write("\n")
            writer.stdin.flush()
    assert committed == list(range(1, 51))
    glance.close()
