"""What goes wrong with a ledger, for those who catch it: knows nothing of databases."""

from __future__ import annotations

__all__ = ["LedgerAway"]


class LedgerAway(Exception):
    """The database cannot be reached or cannot write now; the same may work later. Holds no value of a row.

    :param refused: the database works, and does not take this.
    """

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused
