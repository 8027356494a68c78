"""The audit chain: admin actions and ends of streams, each record sealed with the hash of the one before it.

A record's hash is SHA-256 over the canonical JSON of ``[previous hash, seq, id, at, action, actor, subject, detail]``;
``seq`` counts from 1 without a gap. Whoever alters, removes or re-orders a record breaks every hash after it; whoever
cuts off the end is found by ``meta``'s ``audit.head``, or by a head that was noted elsewhere.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring_ascii as _q
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, select

from tidegate.ledger.statements import insert
from tidegate.ledger.tables import audit, meta

__all__ = ["GENESIS", "HEAD", "Entry", "append", "seal"]

GENESIS: Final = "0" * 64
"""What the first record has in place of a hash before it."""

HEAD: Final = "audit.head"
"""The name in ``meta``: ``"<seq>:<hash>"`` of the last record."""

_MOST_IN: Final = 500
"""Values of one ``IN``."""

_encode = msgspec.json.Encoder(order="deterministic").encode


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What happened. Holds no secret, no prompt and no answer.

    ``id`` makes an entry one that is written once, however often it is tried.
    """

    action: str
    """Such as ``key.create`` or ``stream.end``."""
    actor: str
    """Who did it: an admin's key id, ``cli``, or ``gateway``."""
    subject: str
    """What it was done to: a key's or a stream's id."""
    detail: Mapping[str, Any] = msgspec.field(default_factory=dict)
    at: float = msgspec.field(default_factory=time.time)
    id: str = msgspec.field(default_factory=lambda: uuid.uuid4().hex)


def append(connection: Connection, entries: Sequence[Entry], *, careful: bool = True) -> None:
    """Seal ``entries`` onto the chain, in the transaction of :meth:`tidegate.ledger.database.Database.writing`: they
    stand or fall with whatever else it does.

    :param careful: leave out one whose ``id`` is there already; without it, that is an error.
    """
    fresh = _fresh(connection, entries) if careful else entries
    if not fresh:
        return
    head = connection.execute(select(meta.c.value).where(meta.c.name == HEAD)).scalar()
    number, _, before = (head or f"0:{GENESIS}").partition(":")
    seq = int(number)
    rows = []
    for entry in fresh:
        seq += 1
        detail = _encode(entry.detail).decode()
        before = _sealed(before, seq, entry.id, entry.at, entry.action, entry.actor, entry.subject, detail)
        rows.append((seq, entry.id, entry.at, entry.action, entry.actor, entry.subject, detail, before))
    insert(connection, audit, rows)
    if head is None:
        connection.execute(meta.insert(), {"name": HEAD, "value": f"{seq}:{before}"})
    else:
        connection.execute(meta.update().where(meta.c.name == HEAD), {"value": f"{seq}:{before}"})


def _fresh(connection: Connection, entries: Sequence[Entry]) -> list[Entry]:
    by_id = {entry.id: entry for entry in entries}
    ids = list(by_id)
    for at in range(0, len(ids), _MOST_IN):
        there = select(audit.c.id).where(audit.c.id.in_(ids[at : at + _MOST_IN]))
        for known in connection.execute(there).scalars():
            del by_id[known]
    return list(by_id.values())


def seal(before: str, row: Mapping[str, Any]) -> str:
    """The hash of a record that comes after one with the hash ``before``."""
    return _sealed(before, *(row[name] for name in ("seq", "id", "at", "action", "actor", "subject", "detail")))


def _sealed(before: str, seq: int, id_: str, at: float, action: str, actor: str, subject: str, detail: str) -> str:
    # What json.dumps([before, seq, …], separators=(",", ":")) gives, at a third of its cost; a test compares them.
    text = f'["{before}",{seq},{_q(id_)},{float(at)!r},{_q(action)},{_q(actor)},{_q(subject)},{_q(detail)}]'
    return hashlib.sha256(text.encode()).hexdigest()
