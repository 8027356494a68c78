"""ledger/database.py: one database of either kind, brought up to date, refused in plain words."""

from __future__ import annotations

import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import inspect, select, text

from tests.fakes.postgres import Postgres
from tests.ledger.rows import ended, leg
from tidegate.errors import ConfigError
from tidegate.ledger.book import enter
from tidegate.ledger.database import Database, LedgerAway, check_url, revisions
from tidegate.ledger.tables import legs, meta, metadata, totals
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

    def test_a_ledger_of_a_newer_version_is_refused(self, database: Database) -> None:
        with database.writing() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(ConfigError) as refused:
            database.open()
        assert "newer version of Tidegate" in refused.value.message
        assert f"up to {revisions()[-1]}" in refused.value.message

    def test_a_ledger_from_before_the_verdicts_keeps_its_rows_and_its_chain(self, database: Database) -> None:
        with database.writing() as connection:
            enter(connection, [ended(1)], careful=True)
            connection.execute(text("ALTER TABLE legs DROP COLUMN validation"))
            connection.execute(text("UPDATE alembic_version SET version_num = :before"), {"before": revisions()[-2]})
        database.open()
        with database.writing() as connection:
            enter(connection, [ended(2, validation='{"valid":true}')], careful=True)
            assert connection.execute(select(legs.c.validation).order_by(legs.c.id)).scalars().all() == [
                None,
                '{"valid":true}',
            ]
            assert verify(connection).problems == []

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


class TestTotals:
    def test_every_leg_is_counted_once_in_each_dimension(self, database: Database) -> None:
        rows = [
            leg(1),
            leg(2, reason="length", cost=None, estimated=1),
            leg(3, final=0, reason="upstream_error", prompt_tokens=0, output_tokens=0, cost=None),
            leg(4, tags='{"team":"blue","project":"x"}', ended_at=10800.0),
        ]
        with database.writing() as connection:
            connection.execute(legs.insert(), rows)
        with database.reading() as connection:
            found = connection.execute(
                select(totals).order_by(totals.c.dimension, totals.c.value, totals.c.reason, totals.c.hour)
            ).all()
        by = {(row.dimension, row.value, row.reason, row.hour): row for row in found}
        assert by[("all", "", "stop", 2)][4:] == (1, 10, 1, 5, 0, 1500, 0, 0)
        assert by[("all", "", "length", 2)][4:] == (1, 10, 1, 5, 0, 0, 1, 1)
        assert by[("key", "app", "upstream_error", 2)].streams == 0
        assert by[("tag", "team=blue", "stop", 3)].streams == 1
        assert by[("tag", "project=x", "stop", 3)].streams == 1
        assert sum(row.streams for row in found if row.dimension == "model") == 3
