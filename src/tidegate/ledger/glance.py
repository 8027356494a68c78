"""How often keys have changed, asked before every request that brings one: less than a microsecond on SQLite.

Whoever commits to a SQLite file with a write-ahead log, in whatever process, changes the header of its index, which is
memory that all of them share (https://www.sqlite.org/walformat.html, 2.1): as long as those bytes are the same, so is
everything else. When they are not, SQLite's ``data_version`` says whether anybody else has committed anything; only
then is the counter read. PostgreSQL is asked over its connection, which is for a thread and not for the event loop.
"""

from __future__ import annotations

import os
import sqlite3
from mmap import PROT_READ, mmap
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError

from tidegate.ledger.database import Database, LedgerAway
from tidegate.ledger.keys import VERSION, KeyStore

__all__ = ["Glance"]

_HEADER: Final = 96
"""Bytes of the header, which is there twice."""

_KEPT: Final[dict[tuple[int, int], mmap]] = {}
"""Indexes that are looked at, by device and inode, for as long as this process lives: to close a file takes away every
lock that the process has on it, SQLite's own among them (https://www.sqlite.org/howtocorrupt.html, 2.2).
"""


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
        self._shared: mmap | None = None
        self._header = b""
        """As it was when :attr:`_version` was found, or before that."""

    def version(self) -> int:
        """Counts changes of keys.

        :raises LedgerAway: the database does not answer.
        """
        if self._shared is not None and self._shared[:_HEADER] == self._header:
            return self._version
        return self._of_sqlite() if self.quick else self._store.version()

    def _of_sqlite(self) -> int:
        try:
            if self._connection is None:
                # For good: data_version only compares what one and the same connection sees.
                pooled = self._database.engine.raw_connection()
                self._connection = pooled.driver_connection
                pooled.detach()
                self._shared = _index_of(f"{self._database.url.database}-shm")
            header = b"" if self._shared is None else self._shared[:_HEADER]
            ((data_version,),) = self._connection.execute("PRAGMA data_version").fetchall()
            if data_version != self._data_version:
                rows = self._connection.execute("SELECT value FROM meta WHERE name = ?", (VERSION,)).fetchall()
                self._version = int(rows[0][0]) if rows else 0
                self._data_version = data_version
        except (sqlite3.Error, SQLAlchemyError) as error:
            self.close()
            raise LedgerAway(f"{self._database.name}: {type(error).__name__}") from error
        self._header = header
        return self._version

    def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        self._data_version = -1
        self._shared = None
        if connection is not None:
            connection.close()


def _index_of(path: str) -> mmap | None:
    """The index of a write-ahead log that a connection of this process has open; ``None``: there is none to look at."""
    try:
        there = os.stat(path)
        if there.st_size < _HEADER:
            return None
        known = _KEPT.get((there.st_dev, there.st_ino))
        if known is None:
            # Neither this descriptor nor the mapping's own is ever closed.
            known = mmap(os.open(path, os.O_RDONLY), _HEADER, prot=PROT_READ)
            _KEPT[there.st_dev, there.st_ino] = known
    except OSError:
        return None
    return known
