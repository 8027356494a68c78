"""ledger/glance.py: whether keys have changed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.postgres import Postgres
from tidegate.ledger.database import Database, LedgerAway
from tidegate.ledger.glance import Glance
from tidegate.ledger.keys import KeyRow, KeyStore


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
