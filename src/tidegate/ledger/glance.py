"""How often keys have changed, asked before every request that brings one: microseconds on SQLite.

SQLite's ``data_version`` says whether anybody else has committed anything, without reading the file; only then is the
counter read. PostgreSQL is asked over its connection, which is for a thread and not for the event loop.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from tidegate.ledger.database import Database, LedgerAway
from tidegate.ledger.keys import VERSION, KeyStore

__all__ = ["Glance"]


class Glance:
    """Use it from one thread at a time.

    :param database: opened already.
    """

    def __init__(self, database: Database, store: KeyStore) -> None:
        self._database = database
        self._store = store
        self.quick = database.sqlite
        """May be asked on the event loop."""
        self._connection: Any = None
        self._data_version = -1
        self._version = -1

    def version(self) -> int:
        """Counts changes of keys.

        :raises LedgerAway: the database does not answer.
        """
        return self._of_sqlite() if self.quick else self._store.version()

    def _of_sqlite(self) -> int:
        try:
            if self._connection is None:
                # For good: data_version only compares what one and the same connection sees.
                pooled = self._database.engine.raw_connection()
                self._connection = pooled.driver_connection
                pooled.detach()
            ((data_version,),) = self._connection.execute("PRAGMA data_version").fetchall()
            if data_version != self._data_version:
                rows = self._connection.execute("SELECT value FROM meta WHERE name = ?", (VERSION,)).fetchall()
                self._version = int(rows[0][0]) if rows else 0
                self._data_version = data_version
        except (sqlite3.Error, SQLAlchemyError) as error:
            self.close()
            raise LedgerAway(f"{self._database.name}: {type(error).__name__}") from error
        return self._version

    def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        self._data_version = -1
        if connection is not None:
            connection.close()
