"""The database behind the ledger: an engine by URL, its tables brought up to date, refusals in plain words."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Column, Connection, Engine, MetaData, String, Table, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)

from tidegate.errors import ConfigError
from tidegate.ledger.away import LedgerAway
from tidegate.ledger.tables import metadata

__all__ = ["Database", "LedgerAway", "check_url", "revisions"]

PATIENCE: Final = 5.0
"""Seconds to wait for a connection, and for a SQLite file that another process writes to."""

SLOWEST: Final = 120
"""Seconds that one statement may take on PostgreSQL."""

_VERSION: Final = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
"""Alembic's own table, as it makes it."""

_LOCK: Final = 0x71DE6A7E
"""The advisory lock of writers on PostgreSQL; SQLite has one writer anyway."""


class Database:
    """One database, whoever uses it in this process. Every call blocks: not for the event loop's thread.

    :param url: ``sqlite:///path`` or ``postgresql://…``.
    :raises ConfigError: the URL is not one that we know what to do with.
    """

    def __init__(self, url: str) -> None:
        self.url = check_url(url)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        if self.sqlite:
            arguments: dict[str, Any] = {"timeout": PATIENCE}
        else:
            options = f"-c statement_timeout={SLOWEST * 1000} -c lock_timeout={SLOWEST * 1000}"
            arguments = {"connect_timeout": int(PATIENCE), "options": options, "application_name": "tidegate"}
        try:
            self.engine: Engine = create_engine(
                self.url, connect_args=arguments, pool_pre_ping=not self.sqlite, pool_size=4, hide_parameters=True
            )
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"ledger.url names a database that needs the module {error.name}: pip install 'tidegate[postgres]'"
            ) from None
        if self.sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)

    @property
    def name(self) -> str:
        """The URL as it may be shown: without a password."""
        return self.url.render_as_string(hide_password=True)

    def open(self) -> None:
        """Make the tables, or bring them up to date. Doing it again, or in several processes at once, does no harm.

        :raises ConfigError: the ledger is of a newer version of Tidegate.
        :raises LedgerAway: the database cannot be reached.
        """
        if self.sqlite:
            self._make_file()
        with self.writing() as connection:
            known = revisions()
            found = _revision(connection)
            if found == known[-1]:
                return
            if found is None:
                # Alembic is half a second and 9 MB, which a gateway with a new ledger need not carry. That the
                # migrations come to the same is what a test says.
                _make(connection, known[-1])
                return
            if found is not None and found not in known:
                raise ConfigError(
                    f"The ledger {self.name} was written by a newer version of Tidegate (its revision is "
                    f"{found}, this version knows up to {known[-1]}); update Tidegate, or give it another ledger."
                )
            _upgrade(connection)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction, the only one that writes: committed at the end, undone by an exception.

        :raises LedgerAway: the database could not be reached or failed.
        """
        with self._translated(), self.engine.begin() as connection:
            if not self.sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A consistent view that holds nobody up.

        :raises LedgerAway: the database could not be reached or failed.
        """
        with self._translated(), self.engine.connect() as plain:
            connection = plain.execution_options(reading=True)
            if not self.sqlite:
                connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield connection

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            # The driver's first line says what happened; what follows may be values.
            said = str(error.orig).strip().partition("\n")[0] if isinstance(error, OperationalError) else ""
            refused = isinstance(error, DataError | IntegrityError | NotSupportedError | ProgrammingError)
            raise LedgerAway(f"{self.name}: {said or type(error.orig).__name__}", refused=refused) from error
        except OSError as error:
            raise LedgerAway(f"{self.name}: {error.strerror or type(error).__name__}") from error

    def _make_file(self) -> None:
        """The file with its folder, for the user's own eyes only: tags and names of keys are in it."""
        path = self.url.database
        assert path is not None
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Never one that is there: closing it would drop the locks that SQLite holds on it in this process.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            pass
        except OSError as error:
            raise LedgerAway(f"{self.name}: {error.strerror}") from error


def revisions() -> list[str]:
    """The schema's revisions, oldest first: the first part of each migration's file name."""
    folder = files("tidegate.ledger.migrations").joinpath("versions")
    return sorted(entry.name.partition("_")[0] for entry in folder.iterdir() if entry.name[:1].isdigit())


def check_url(url: str) -> URL:
    """The URL with the driver that we use.

    :raises ConfigError: it is not one that we know what to do with. The message does not repeat it.
    """
    example = 'write "sqlite:///tidegate.db" or "postgresql://user@host/name"'
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigError(f"ledger.url is not a database URL; {example}") from None
    backend = {"postgres": "postgresql"}.get(parsed.get_backend_name(), parsed.get_backend_name())
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise ConfigError(f"ledger.url names {backend}, which is not a database that Tidegate knows; {example}")
    if not parsed.database or parsed.database == ":memory:":
        raise ConfigError(f"ledger.url needs a file, because the ledger has to outlive the process; {example}")
    return parsed.set(database=str(Path(parsed.database).expanduser().absolute()))


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    # We begin transactions ourselves: the driver's own way begins them late and never for reads.
    connection.isolation_level = None
    cursor = connection.cursor()
    _write_ahead(cursor)
    for pragma in (
        # With WAL, a crash of the process loses nothing, and one of the machine at most the last commits.
        "synchronous = NORMAL",
        "temp_store = MEMORY",
        "cache_size = -4096",
        "journal_size_limit = 67108864",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _write_ahead(cursor: sqlite3.Cursor) -> None:
    """Have the file keep a write-ahead log. SQLite does not wait for others here, whatever its time-out says: when
    several processes open a new file at once, it refuses all but one of them."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)


def _begin_sqlite(connection: Connection) -> None:
    # A writer that begins as a reader cannot wait for its turn: SQLite refuses it at once.
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def _make(connection: Connection, revision: str) -> None:
    metadata.create_all(connection)
    _VERSION.create(connection)
    connection.execute(_VERSION.insert(), {"version_num": revision})


def _upgrade(connection: Connection, revision: str = "head") -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "tidegate.ledger:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
