"""The ledger as one thing: what the gateway, the admin API and the command line hold on to."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import structlog
from sqlalchemy import bindparam, func, select

from tidegate.ledger import audit
from tidegate.ledger.database import Database, LedgerAway
from tidegate.ledger.options import LedgerOptions
from tidegate.ledger.tables import totals
from tidegate.ledger.writer import Writer

__all__ = ["Ledger"]

_NANOS_PER_MICRO = 1000
_HOUR = 3600

# Made once: to put a statement together costs more than to ask it.
_SPENT = select(func.coalesce(func.sum(totals.c.cost), 0)).where(
    totals.c.dimension == bindparam("dimension"),
    totals.c.value == bindparam("value"),
    totals.c.hour >= bindparam("since"),
)

_log = structlog.get_logger()


class Ledger:
    """Every method blocks on the database; on the event loop, call it with ``asyncio.to_thread``.

    :param database: where it is kept; :meth:`Database.open` it first, or :meth:`open` all of this.
    :param options: how it is written to.
    """

    def __init__(self, database: Database, options: LedgerOptions | None = None) -> None:
        self.database = database
        self.writer = Writer(database, options or LedgerOptions())

    def open(self) -> None:
        """Bring the tables up to date and begin to write. A database that is away is tried again and again.

        :raises ConfigError: the ledger is of a newer version of Tidegate.
        """
        try:
            self.database.open()
        except LedgerAway as error:
            _log.error("ledger.away", error=str(error), effect="entries wait in the spool")
        self.writer.start()

    def audit(self, action: str, *, actor: str, subject: str, detail: Mapping[str, Any] | None = None) -> None:
        """Put one admin action on the audit chain, in a transaction of its own.

        Where the action itself is written to the database, append to the chain in that transaction instead, so that
        one is not there without the other::

            with ledger.database.writing() as connection:
                connection.execute(keys.insert(), row)
                audit.append(connection, [audit.Entry(action="key.create", actor=who.id, subject=row["id"])])

        :raises LedgerAway: the database does not take it.
        """
        entry = audit.Entry(action=action, actor=actor, subject=subject, detail=detail or {})
        with self.database.writing() as connection:
            audit.append(connection, [entry])

    def spent(self, *, since: float, key: str | None = None, tag: tuple[str, str] | None = None) -> Decimal:
        """Micro-dollars that ended streams of one key, or of one tag (name and value), have cost since ``since``.

        :param since: Unix seconds, on a full hour (as every day, week and month in UTC begins): the whole hour counts.
        :raises LedgerAway: the database does not answer.
        """
        dimension, value = ("key", key) if tag is None else ("tag", f"{tag[0]}={tag[1]}")
        asked = {"dimension": dimension, "value": value, "since": int(since // _HOUR)}
        with self.database.reading() as connection:
            return Decimal(int(connection.execute(_SPENT, asked).scalar_one())) / _NANOS_PER_MICRO

    def close(self) -> None:
        """Write what is left and let go of the database."""
        self.writer.close()
        self.database.close()
