"""ledger/database.py: one database of either kind, brought up to date, refused in plain words."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import func, inspect, select, text

from tests.fakes.postgres import Postgres
from tests.ledger.rows import begun, ended, leg_row
from tidegate.errors import ConfigError
from tidegate.ledger import book
from tidegate.ledger import database as database_module
from tidegate.ledger.audit import append
from tidegate.ledger.database import _VERSION, Database, LedgerAway, _upgrade, check_url, revisions
from tidegate.ledger.entries import Ended
from tidegate.ledger.keys import KeyRow, KeyStore
from tidegate.ledger.tables import begins, legs, meta, metadata, totals
from tidegate.ledger.verify import verify


class TestOpening:
    def test_the_migrations_make_what_the_code_knows(self, database: Database) -> None:
        found = inspect(database.engine)
        assert set(found.get_table_names()) == {*metadata.tables, "alembic_version"}
        for table in metadata.tables.values():
            columns = {column["name"]: column["nullable"] for column in found.get_columns(table.name)}
            assert columns == {column.name: column.nullable for column in table.columns}
            indexed = {tuple(index["column_names"]) for index in found.get_indexes(table.name)}
            wanted = {tuple(column.name for column in index.columns) for index in table.indexes}
            assert wanted <= indexed

    def test_a_new_ledger_is_what_every_migration_in_turn_makes_of_an_empty_database(
        self, url: str, tmp_path: Path
    ) -> None:
        """So that a new one needs no Alembic."""
        shapes = []
        for migrated in (False, True):
            made = Database(url)
            with made.writing() as connection:
                if migrated:
                    for table in (*metadata.sorted_tables, _VERSION):
                        table.drop(connection)
                    _upgrade(connection)
            made.open()
            found = inspect(made.engine)
            shapes.append(
                {
                    name: (
                        [
                            (each["name"], str(each["type"]), each["nullable"], each["default"])
                            for each in found.get_columns(name)
                        ],
                        found.get_pk_constraint(name)["constrained_columns"],
                        sorted((index["column_names"], bool(index["unique"])) for index in found.get_indexes(name)),
                        sorted(unique["column_names"] for unique in found.get_unique_constraints(name)),
                    )
                    for name in found.get_table_names()
                }
            )
            if made.sqlite:
                with made.reading() as connection:
                    told = text("SELECT sql LIKE '%WITHOUT ROWID%' FROM sqlite_master WHERE name = 'totals'")
                    assert connection.execute(told).scalar() == 1
                    told = text("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'")
                    assert connection.execute(told).scalar() == 0
            made.close()
        assert shapes[0] == shapes[1]

    def test_a_new_ledger_is_made_and_written_without_alembic_and_the_other_database(self, tmp_path: Path) -> None:
        """Memory is what a gateway is small by."""
        program = """
import sys
from tidegate.ledger import book
from tidegate.ledger import database as database_module
from tidegate.ledger.database import Database
from tidegate.ledger.writer import Writer

made = Database(sys.argv[1])
made.open()
with made.writing() as connection:
    book.renew_lease(connection, "a", "b", 1.0)
print([name for name in ("alembic", "sqlalchemy.dialects.postgresql", "sqlalchemy.orm") if name in sys.modules])
"""
        url = f"sqlite:///{tmp_path}/t.db"
        done = subprocess.run(
            [sys.executable, "-c", program, url], check=True, capture_output=True, text=True, timeout=60
        )
        assert done.stdout.strip() == "[]"

    def test_again_changes_nothing(self, database: Database) -> None:
        with database.writing() as connection:
            connection.execute(meta.insert(), {"name": "a", "value": "1"})
        database.open()
        with database.reading() as connection:
            assert connection.execute(select(meta.c.value).where(meta.c.name == "a")).scalar() == "1"

    def test_several_at_once_make_one(self, url: str) -> None:
        databases = [Database(url) for _ in range(4)]
        failures: list[Exception] = []

        def open_it(database: Database) -> None:
            try:
                database.open()
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=open_it, args=(database,)) for database in databases]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for database in databases:
            database.close()
        assert failures == []

    def test_a_new_file_that_another_process_writes_to_is_waited_for(self, tmp_path: Path) -> None:
        """SQLite itself refuses at once to turn on the log that is written ahead."""
        path = tmp_path / "ledger.db"
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.2, other.execute, ["COMMIT"])
        release.start()
        database = Database(f"sqlite:///{path}")
        database.open()
        with database.reading() as connection:
            assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        database.close()
        release.join()
        other.close()

    def test_a_file_that_is_never_free_is_given_up(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(database_module, "PATIENCE", 0.1)
        other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        database = Database(f"sqlite:///{tmp_path}/ledger.db")
        with pytest.raises(LedgerAway, match="locked"):
            database.open()
        database.close()
        other.close()

    def test_a_ledger_of_a_newer_version_is_refused(self, database: Database) -> None:
        with database.writing() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(ConfigError) as refused:
            database.open()
        assert "newer version of Tidegate" in refused.value.message
        assert f"up to {revisions()[-1]}" in refused.value.message

    def test_a_ledger_from_before_the_verdicts_keeps_its_rows_and_its_chain(self, database: Database) -> None:
        with database.writing() as connection:
            book.enter(connection, [ended(1)], careful=True)
            connection.execute(text("ALTER TABLE legs DROP COLUMN validation"))
            for late in ("compression", "obfuscation"):
                connection.execute(text(f"ALTER TABLE keys DROP COLUMN {late}"))
            connection.execute(text("DROP TABLE seen"))
            connection.execute(text("UPDATE alembic_version SET version_num = '0002'"))
        database.open()
        with database.writing() as connection:
            book.enter(connection, [ended(2, validation='{"valid":true}')], careful=True)
            assert connection.execute(select(legs.c.validation).order_by(legs.c.id)).scalars().all() == [
                None,
                '{"valid":true}',
            ]
            assert verify(connection).problems == []

    def test_a_key_from_before_compression_asks_for_none(self, database: Database) -> None:
        store = KeyStore(database)
        store.create(KeyRow(id="key-1", name="web"), "d1", actor="cli")
        with database.writing() as connection:
            for late in ("compression", "obfuscation"):
                connection.execute(text(f"ALTER TABLE keys DROP COLUMN {late}"))
            connection.execute(text("DROP TABLE seen"))
            connection.execute(text("UPDATE alembic_version SET version_num = '0003'"))
        database.open()
        (kept,) = store.all()
        assert (kept.name, kept.compression, kept.obfuscation) == ("web", False, False)
        made = store.create(KeyRow(id="key-2", name="phone", compression=True), "d2", actor="cli")
        assert store.find("d2")[1] == made

    def test_opening_again_leaves_the_locks_of_sqlite_alone(self, tmp_path: Path) -> None:
        """Whoever closes the file in a process that has it open drops its locks, and others then take its log away."""
        url = f"sqlite:///{tmp_path / 'tidegate.db'}"
        made = Database(url)
        made.open()
        made.open()
        with made.reading() as connection:
            assert connection.execute(select(meta)).all() == []
            look = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM meta').fetchone()"
            subprocess.run([sys.executable, "-c", look, tmp_path / "tidegate.db"], check=True, timeout=30)
            assert (tmp_path / "tidegate.db-wal").exists()
        made.close()

    def test_a_sqlite_file_is_for_its_owner_only(self, tmp_path: Path) -> None:
        made = Database(f"sqlite:///{tmp_path / 'new' / 'tidegate.db'}")
        made.open()
        made.close()
        assert stat.S_IMODE((tmp_path / "new" / "tidegate.db").stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700

    def test_a_file_that_is_no_database_is_away(self, tmp_path: Path) -> None:
        (tmp_path / "x.db").write_bytes(b"not a database, but long enough to be looked at" * 100)
        made = Database(f"sqlite:///{tmp_path / 'x.db'}")
        with pytest.raises(LedgerAway, match=r"x\.db"):
            made.open()
        made.close()

    def test_a_folder_that_cannot_be_made_is_away(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        made = Database(f"sqlite:///{tmp_path / 'file' / 'tidegate.db'}")
        with pytest.raises(LedgerAway):
            made.open()

    def test_a_server_that_is_not_there_is_away_and_its_password_unsaid(self, postgres: Postgres) -> None:
        made = Database("postgresql://tidegate:hunter2@127.0.0.1:1/postgres")
        with pytest.raises(LedgerAway) as away:
            made.open()
        assert "hunter2" not in str(away.value)
        made.close()


class TestUpgrade:
    def test_a_ledger_of_the_first_version_keeps_its_rows_and_their_seals(self, url: str) -> None:
        """Rows, totals and indexes are there as before; figures may be unknown from then on."""
        made = Database(url)
        if made.sqlite:
            made._make_file()
        with made.writing() as connection:
            _upgrade(connection, "0001")
        assert not {each["name"]: each for each in inspect(made.engine).get_columns("legs")}["delivered"]["nullable"]
        with made.writing() as connection:
            rows = [leg_row(1), leg_row(2, estimated=1)]
            late = ("validation",)
            known = [
                {name: value for name, value in msgspec.structs.asdict(row).items() if name not in late} for row in rows
            ]
            connection.execute(legs.insert(), known)
            connection.execute(begins.insert(), msgspec.structs.asdict(begun(3, "dead")))
            append(connection, [book._record(Ended(legs=[row]), again=False) for row in rows])
        with made.reading() as connection:
            before = connection.execute(select(totals)).all()
        made.open()
        with made.writing() as connection:
            assert connection.execute(select(totals)).all() == before
            assert book.close_crashed(connection, ["dead"], 8000.0) == 1
            book.enter(connection, [ended(3), ended(4)], careful=True)
        with made.reading() as connection:
            assert verify(connection).problems == []
            assert connection.execute(select(func.count()).select_from(legs)).scalar() == 4
            counted = select(func.sum(totals.c.streams)).where(totals.c.dimension == "all")
            assert int(connection.execute(counted).scalar_one()) == 4
        assert {index["name"] for index in inspect(made.engine).get_indexes("legs")} >= {"legs_ended"}
        made.close()


class TestUrl:
    @pytest.mark.parametrize(
        ("url", "problem"),
        [
            ("tidegate.db", "is not a database URL"),
            ("mysql://root@localhost/x", "names mysql, which is not a database that Tidegate knows"),
            ("sqlite://", "needs a file"),
            ("sqlite:///:memory:", "needs a file"),
        ],
    )
    def test_what_cannot_be_is_refused(self, url: str, problem: str) -> None:
        with pytest.raises(ConfigError, match=problem):
            check_url(url)

    def test_both_spellings_of_postgresql_are_known(self) -> None:
        for scheme in ("postgres", "postgresql"):
            assert check_url(f"{scheme}://me@here/x").drivername == "postgresql+psycopg"


class TestTransactions:
    def test_an_exception_undoes_it(self, database: Database) -> None:
        def write() -> None:
            with database.writing() as connection:
                connection.execute(meta.insert(), {"name": "a", "value": "1"})
                raise RuntimeError

        with pytest.raises(RuntimeError):
            write()
        with database.reading() as connection:
            assert connection.execute(select(meta.c.value)).all() == []

    def test_a_row_that_cannot_be_is_away_without_its_values(self, database: Database) -> None:
        with pytest.raises(LedgerAway) as away, database.writing() as connection:
            connection.execute(meta.insert(), [{"name": "a", "value": "secret"}, {"name": "a", "value": "secret"}])
        assert "secret" not in str(away.value)

    def test_a_reader_sees_one_moment(self, database: Database) -> None:
        with database.reading() as reader:
            assert reader.execute(select(meta.c.name)).all() == []
            with database.writing() as writer:
                writer.execute(meta.insert(), {"name": "a", "value": "1"})
            assert reader.execute(select(meta.c.name)).all() == []
