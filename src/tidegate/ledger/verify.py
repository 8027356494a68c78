"""Whether the audit chain is whole, and the rows that it speaks of are what they were; and the chain for others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, func, select

from tidegate.ledger.audit import GENESIS, HEAD, seal
from tidegate.ledger.entries import LegRow, digest
from tidegate.ledger.tables import audit, legs, meta

__all__ = ["Problem", "Verdict", "records", "verify"]

_BATCH: Final = 500

_MOST: Final = 100
"""Problems that are reported one by one; the rest is only counted."""


class Problem(NamedTuple):
    """What is wrong, and where."""

    seq: int
    """The record; where some are missing, the first that is not there."""
    what: str


class Verdict(NamedTuple):
    """What was found."""

    records: int
    head: str
    """Hash of the last record: noted elsewhere, it proves that no later end was cut off."""
    legs: int
    """Rows of ``legs`` that were compared with the chain."""
    problems: list[Problem]
    more: int
    """Problems that are not listed."""


def records(connection: Connection, after: int = 0) -> Iterator[dict[str, Any]]:
    """Every record behind number ``after``, in order, as the export writes it: ``detail`` is an object."""
    for row in _rows(connection, after):
        yield {**row, "detail": json.loads(row["detail"])}


def verify(connection: Connection, *, head: str | None = None) -> Verdict:
    """Walk the whole chain.

    :param connection: of :meth:`tidegate.ledger.database.Database.reading`, so that it is one moment's.
    :param head: a hash that was noted earlier: some record must have it.
    """
    found = _Findings()
    seq, before = 0, GENESIS
    noted = head is None
    batch: list[Mapping[str, Any]] = []
    compared = count = 0
    for row in _rows(connection, 0):
        count += 1
        missing = row["seq"] - seq - 1
        if missing:
            # What it was sealed with is gone, so its own hash says nothing.
            found.add(seq + 1, "the record was removed" if missing == 1 else f"{missing} records were removed")
        elif seal(before, row) != row["hash"]:
            found.add(row["seq"], "the record was altered, or stands in another place than it was written to")
        seq, before = row["seq"], row["hash"]
        noted = noted or before == head
        if row["action"] == "stream.end":
            batch.append(row)
            if len(batch) == _BATCH:
                compared += _compare(connection, batch, found)
                batch.clear()
    compared += _compare(connection, batch, found)
    stored = connection.execute(select(meta.c.value).where(meta.c.name == HEAD)).scalar()
    if (stored or f"0:{GENESIS}") != f"{seq}:{before}":
        found.add(seq + 1, "records were removed from the end, or added to it past the chain")
    unknown = (
        select(func.count())
        .select_from(legs)
        .where(~select(audit.c.seq).where(audit.c.id == legs.c.stream_id).exists())
    )
    if added := connection.execute(unknown).scalar_one():
        found.add(seq, f"{added} rows of the ledger have no record")
    if not noted:
        found.add(seq, "no record has the hash that was noted: the chain was written anew, or cut off before it")
    return Verdict(count, before, compared, found.problems, found.more)


class _Findings:
    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.more = 0

    def add(self, seq: int, what: str) -> None:
        if len(self.problems) < _MOST:
            self.problems.append(Problem(seq, what))
        else:
            self.more += 1


def _rows(connection: Connection, after: int) -> Iterator[dict[str, Any]]:
    """In the order of their numbers, without holding them all."""
    while True:
        wanted = select(audit).where(audit.c.seq > after).order_by(audit.c.seq).limit(_BATCH * 4)
        rows = connection.execute(wanted).mappings().all()
        for row in rows:
            yield dict(row)
        if not rows:
            return
        after = rows[-1]["seq"]


def _compare(connection: Connection, ends: Sequence[Mapping[str, Any]], found: _Findings) -> int:
    """The rows that the records speak of, with what they said. A stream that was closed as ``gateway_crash`` by mistake
    has a later record, which counts.
    """
    told: dict[str, tuple[int, str]] = {}
    for end in ends:
        for leg_id, told_digest in _legs_of(end):
            told[leg_id] = (end["seq"], told_digest)
    ids = list(told)
    there: dict[str, str] = {}
    for at in range(0, len(ids), _BATCH):
        wanted = select(legs).where(legs.c.id.in_(ids[at : at + _BATCH]))
        for row in connection.execute(wanted).mappings():
            there[row["id"]] = digest(LegRow(**dict(row)))
    for leg_id, (seq, told_digest) in told.items():
        if leg_id not in there:
            found.add(seq, f"the ledger's row {leg_id} was removed")
        elif there[leg_id] != told_digest and not _corrected(connection, leg_id):
            found.add(seq, f"the ledger's row {leg_id} was altered")
    return len(told)


def _legs_of(end: Mapping[str, Any]) -> list[tuple[str, str]]:
    try:
        return [(str(leg_id), str(told)) for leg_id, told in json.loads(end["detail"])["legs"]]
    except (ValueError, KeyError, TypeError):
        return []  # the record was altered, which its hash has told


def _corrected(connection: Connection, leg_id: str) -> bool:
    """There is a later record of the stream."""
    late = f"{leg_id.partition('/')[0]}:late"
    return connection.execute(select(audit.c.seq).where(audit.c.id == late)).scalar() is not None
