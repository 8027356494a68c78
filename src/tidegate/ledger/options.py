"""Where the ledger is and what it keeps: ``[ledger]`` in the configuration."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["OFF", "LedgerOptions"]

OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerOptions:
    """``[ledger]``. One row for each leg of a stream, the keys made at run time, and the audit chain."""

    url: str = ""
    """``sqlite:///tidegate.db`` (a path of this machine), ``postgresql://user@host/name``, or ``off``. Empty: a SQLite
    file in the user's data folder. A password is best kept elsewhere: ``env:LEDGER_URL`` or ``file:/run/secrets/url``.
    """
    spool: str = ""
    """The folder for what the database has not taken yet. Empty: beside the SQLite file, else in the user's data
    folder. Gateways of one machine share it.
    """
    max_spool_bytes: int = 256 * 1024 * 1024
    """While the database is away, so much is kept for it; what comes after that is counted as lost."""
    lease: float = 30.0
    """Seconds without a sign of life after which another machine closes a gateway's streams as ``gateway_crash``."""
    store_text: bool = False
    """Keep prompts and answers too. Off, there is no text of anybody in the ledger."""
    keep_text_days: float = 30.0
    """How long they are kept."""

    @property
    def on(self) -> bool:
        """Whether there is a ledger."""
        return self.url not in ("", OFF)
