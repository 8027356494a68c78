"""The ledger of a configuration, for the commands that read it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tidegate.cli.config import DEFAULT_FILE
from tidegate.errors import ConfigError, GatewayFault

if TYPE_CHECKING:
    from tidegate.ledger.database import Database

__all__ = ["opened_ledger"]


@contextmanager
def opened_ledger(file: str | None) -> Iterator[Database]:
    """The database that ``file``, ``./tidegate.toml`` or the environment names, ready to be read.

    :raises ConfigError: there is none, or it is of a newer version.
    :raises GatewayFault: it cannot be reached.
    """
    from tidegate.config import load
    from tidegate.ledger.database import Database, LedgerAway
    from tidegate.upstream.secrets import resolve

    if file is None and "TIDEGATE_CONFIG" not in os.environ and Path(DEFAULT_FILE).is_file():
        file = DEFAULT_FILE
    ledger = load(file, os.environ, require_upstream=False).ledger
    if not ledger.on:
        raise ConfigError('[ledger] url is "off": this gateway keeps no ledger')
    url = ledger.url
    database = Database(resolve(url, os.environ) if url.startswith(("env:", "file:")) else url)
    try:
        if database.sqlite and not Path(database.url.database or "").is_file():
            raise ConfigError(f"there is no ledger at {database.url.database} yet; a gateway makes it when it starts")
        database.open()
        yield database
    except LedgerAway as error:
        raise GatewayFault(f"the ledger cannot be reached: {error}") from None
    finally:
        database.close()
