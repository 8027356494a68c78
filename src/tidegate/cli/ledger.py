"""The ledger of a configuration, for the commands that read it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tidegate.cli.config import file_here
from tidegate.errors import ConfigError, GatewayFault

if TYPE_CHECKING:
    from tidegate.ledger.database import Database
    from tidegate.ledger.options import LedgerOptions

__all__ = ["database_of", "opened_ledger"]


@contextmanager
def opened_ledger(file: str | None) -> Iterator[Database]:
    """The database that ``file``, ``./tidegate.toml`` or the environment names, ready to be read.

    :raises ConfigError: there is none, or it is of a newer version.
    :raises GatewayFault: it cannot be reached.
    """
    from tidegate.config import load

    ledger = load(file or file_here(os.environ), os.environ, require_upstream=False).ledger
    if not ledger.on:
        raise ConfigError('[ledger] url is "off": this gateway keeps no ledger')
    with database_of(ledger) as database:
        yield database


@contextmanager
def database_of(ledger: LedgerOptions, *, make: bool = False) -> Iterator[Database]:
    """A ledger's database, open for as long as it takes.

    :param make: one that is not there yet is made.
    :raises ConfigError: it is not there, or of a newer version.
    :raises GatewayFault: it cannot be reached.
    """
    from tidegate.ledger.database import Database, LedgerAway
    from tidegate.upstream.secrets import resolve_url

    database = Database(resolve_url(ledger.url, os.environ))
    try:
        if not make and database.sqlite and not Path(database.url.database or "").is_file():
            raise ConfigError(f"there is no ledger at {database.url.database} yet; a gateway makes it when it starts")
        database.open()
        yield database
    except LedgerAway as error:
        raise GatewayFault(f"the ledger cannot be reached: {error}") from None
    finally:
        database.close()
