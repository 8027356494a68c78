"""Where things are kept when nobody says where: the user's data folder, by the XDG specification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tidegate.ledger.options import LedgerOptions

__all__ = ["data_folder", "with_places"]

_SQLITE = "sqlite:///"


def data_folder(environ: Mapping[str, str]) -> Path:
    """The user's folder for this program's data; nobody has made it yet."""
    home = environ.get("XDG_DATA_HOME") or Path(environ.get("HOME") or ".") / ".local" / "share"
    return (Path(home) / "tidegate").absolute()


def with_places(ledger: LedgerOptions, environ: Mapping[str, str]) -> LedgerOptions:
    """The options with a URL and a spool folder. Two databases never share a spool."""
    folder = data_folder(environ)
    if not ledger.url:
        ledger = replace(ledger, url=f"{_SQLITE}{folder / 'tidegate.db'}")
    if not ledger.spool:
        spool = f"{ledger.url.removeprefix(_SQLITE)}.spool" if ledger.url.startswith(_SQLITE) else folder / "spool"
        ledger = replace(ledger, spool=str(spool))
    return ledger
