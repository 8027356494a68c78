"""What the writer does to the database: entries into rows, streams of dead gateways closed, leases, old texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, delete, select

from tidegate.ledger.audit import Entry, append
from tidegate.ledger.entries import GATEWAY_CRASH, Begun, Ended, Item, LegRow, Seen, digest
from tidegate.ledger.statements import delete as drop
from tidegate.ledger.statements import insert, replace
from tidegate.ledger.sums import count
from tidegate.ledger.tables import begins, instances, legs, seen, texts

__all__ = ["close_crashed", "dead_instances", "end_lease", "enter", "forget_texts", "renew_lease"]

_MOST_IN: Final = 500
"""Values of one ``IN``."""

_UNKNOWN: Final[dict[str, Any]] = dict.fromkeys(
    (
        *("prompt_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "audio_tokens"),
        *("delivered", "status", "retries", "bytes_in", "bytes_out"),
    )
)
"""What only the gateway that died could have told."""


def enter(connection: Connection, items: Sequence[Item], *, careful: bool) -> None:
    """Write entries, in one transaction, each once.

    :param careful: some may be there already: look. Without it, one that is there is an error.
    """
    ended = {item.stream_id: item for item in items if isinstance(item, Ended)}
    begun = [item for item in items if isinstance(item, Begun)]
    # Without care, what has its begin beside it has none in the database.
    here = frozenset() if careful else {item.stream_id for item in begun}
    begun = [item for item in begun if item.stream_id not in ended]
    reports = [msgspec.structs.astuple(item) for item in items if isinstance(item, Seen)]
    late: set[str] = set()
    if careful and ended:
        known = _known(connection, ended)
        # A gateway that was taken for dead and is not: what it knows stands in place of what was supposed.
        late = {stream_id for stream_id, reason in known.items() if reason == GATEWAY_CRASH}
        late -= {stream_id for stream_id in late if ended[stream_id].legs[-1].reason == GATEWAY_CRASH}
        _take_back(connection, late)
        gone = known.keys() - late
        if gone:
            drop(connection, begins.c.stream_id, list(gone))
        ended = {stream_id: item for stream_id, item in ended.items() if stream_id not in gone}
    if begun:
        insert(connection, begins, [msgspec.structs.astuple(item) for item in begun], known=True)
    if ended:
        rows = [row for item in ended.values() for row in item.legs]
        insert(connection, legs, [msgspec.structs.astuple(row) for row in rows])
        count(connection, rows)
        kept = [_text(item) for item in ended.values() if item.prompt is not None]
        if kept:
            insert(connection, texts, kept, known=True)
        drop(connection, begins.c.stream_id, [stream_id for stream_id in ended if stream_id not in here])
        append(connection, [_record(item, again=item.stream_id in late) for item in ended.values()], careful=careful)
    if reports:
        insert(connection, seen, reports, known=True)


def renew_lease(connection: Connection, instance: str, host: str, until: float) -> None:
    """This gateway lives, and will be taken for alive until then."""
    replace(connection, instances, [(instance, host, until)])


def end_lease(connection: Connection, names: Sequence[str]) -> None:
    """These have ended in an orderly way."""
    connection.execute(delete(instances).where(instances.c.id.in_(names)))


def dead_instances(connection: Connection, now: float) -> list[str]:
    """Gateways whose lease has run out."""
    return list(connection.execute(select(instances.c.id).where(instances.c.lease_until < now)).scalars())


def close_crashed(connection: Connection, names: Sequence[str], now: float) -> int:
    """Close the streams that these gateways began and never ended; returns how many."""
    open_ = connection.execute(select(begins).where(begins.c.instance.in_(names))).mappings().all()
    found = {row["stream_id"]: Ended(legs=[_crashed(row, now)]) for row in open_}
    if found:
        known = _known(connection, found)
        left: list[Item] = [item for stream_id, item in found.items() if stream_id not in known]
        if known:
            drop(connection, begins.c.stream_id, list(known))
        enter(connection, left, careful=True)
    end_lease(connection, names)
    return len(found)


def forget_texts(connection: Connection, before: float) -> int:
    """Remove texts that are older; returns how many."""
    return connection.execute(delete(texts).where(texts.c.at < before)).rowcount


def _crashed(row: Any, now: float) -> LegRow:
    return LegRow(
        id=f"{row['stream_id']}/0",
        stream_id=row["stream_id"],
        leg=0,
        final=1,
        instance=row["instance"],
        key_id=row["key_id"],
        tags=row["tags"],
        model=row["model"],
        served_model="",
        upstream="",
        framing=row["framing"],
        started_at=row["started_at"],
        ended_at=max(now, row["started_at"]),
        **_UNKNOWN,
        reason=GATEWAY_CRASH,
    )


def _known(connection: Connection, streams: Iterable[str]) -> dict[str, str]:
    """Streams of these that have rows already, with the reason of the first: each has one."""
    found: dict[str, str] = {}
    for part in _parts(streams):
        wanted = select(legs.c.stream_id, legs.c.reason).where(legs.c.id.in_(part))
        found.update((row.stream_id, row.reason) for row in connection.execute(wanted))
    return found


def _take_back(connection: Connection, streams: Iterable[str]) -> None:
    """The only row of each of these streams, which were supposed to have crashed."""
    for part in _parts(streams):
        rows = connection.execute(select(legs).where(legs.c.id.in_(part))).mappings().all()
        connection.execute(delete(legs).where(legs.c.id.in_(part)))
        count(connection, [LegRow(**row) for row in rows], -1)


def _parts(streams: Iterable[str]) -> Iterable[list[str]]:
    """The ids of their first legs, not too many at once."""
    every = [f"{stream}/0" for stream in streams]
    return (every[at : at + _MOST_IN] for at in range(0, len(every), _MOST_IN))


def _text(item: Ended) -> tuple[Any, ...]:
    return item.stream_id, item.legs[-1].ended_at, item.prompt, item.answer


def _record(item: Ended, *, again: bool) -> Entry:
    """The end of a stream as a record of the audit chain."""
    last = item.legs[-1]
    return Entry(
        id=f"{last.stream_id}:late" if again else last.stream_id,
        action="stream.end",
        actor=last.instance,
        subject=last.stream_id,
        at=last.ended_at,
        detail={"key": last.key_id, "reason": last.reason, "legs": [[row.id, digest(row)] for row in item.legs]},
    )
