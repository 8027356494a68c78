"""What the writer does to the database: entries into rows, streams of dead gateways closed, leases, old texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Dialect, Table, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from tidegate.ledger.audit import Entry, append
from tidegate.ledger.entries import GATEWAY_CRASH, Begun, Ended, Item, LegRow, digest
from tidegate.ledger.tables import begins, instances, legs, texts

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
    begun = [item for item in items if isinstance(item, Begun) and item.stream_id not in ended]
    late: set[str] = set()
    if careful and ended:
        known = _known(connection, ended)
        # A gateway that was taken for dead and is not: what it knows stands in place of what was supposed.
        late = {stream_id for stream_id, reason in known.items() if reason == GATEWAY_CRASH}
        late -= {stream_id for stream_id in late if ended[stream_id].legs[-1].reason == GATEWAY_CRASH}
        for part in _parts(late):
            connection.execute(delete(legs).where(legs.c.stream_id.in_(part)))
        gone = known.keys() - late
        _forget_begins(connection, gone)
        ended = {stream_id: item for stream_id, item in ended.items() if stream_id not in gone}
    if begun:
        _insert(connection, begins, [msgspec.structs.asdict(item) for item in begun])
    if ended:
        rows = [row for item in ended.values() for row in item.legs]
        _insert_rows(connection, rows)
        kept = [_text(item) for item in ended.values() if item.prompt is not None]
        if kept:
            _insert(connection, texts, kept)
        _forget_begins(connection, ended)
        append(connection, [_record(item, again=item.stream_id in late) for item in ended.values()], careful=careful)


def renew_lease(connection: Connection, instance: str, host: str, until: float) -> None:
    """This gateway lives, and will be taken for alive until then."""
    connection.execute(
        _insert_into(connection, instances).on_conflict_do_update(
            index_elements=["id"], set_={"lease_until": until, "host": host}
        ),
        {"id": instance, "host": host, "lease_until": until},
    )


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
        _forget_begins(connection, known)
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
    """Streams of these that have rows already, with their reasons."""
    found: dict[str, str] = {}
    for part in _parts(streams):
        wanted = select(legs.c.stream_id, legs.c.reason).where(legs.c.stream_id.in_(part), legs.c.final == 1)
        found.update((row.stream_id, row.reason) for row in connection.execute(wanted))
    return found


def _forget_begins(connection: Connection, streams: Iterable[str]) -> None:
    for part in _parts(streams):
        connection.execute(delete(begins).where(begins.c.stream_id.in_(part)))


def _parts(values: Iterable[str]) -> Iterable[list[str]]:
    every = list(values)
    return (every[at : at + _MOST_IN] for at in range(0, len(every), _MOST_IN))


def _insert_into(connection: Connection, table: Table) -> Any:
    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    return kind.insert(table)


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    connection.execute(_insert_into(connection, table).on_conflict_do_nothing(), rows)


@cache
def _legs_statement(dialect: Dialect) -> tuple[str, bool]:
    """The driver's own statement, and whether it takes values by place."""
    compiled = legs.insert().compile(dialect=dialect)
    return str(compiled), bool(compiled.positional)


def _insert_rows(connection: Connection, rows: list[LegRow]) -> None:
    # Past SQLAlchemy's work on each parameter, which is a third of what a row costs.
    statement, by_place = _legs_statement(connection.dialect)
    fields: Any = msgspec.structs.astuple if by_place else msgspec.structs.asdict
    connection.exec_driver_sql(statement, [fields(row) for row in rows])


def _text(item: Ended) -> dict[str, Any]:
    return {"stream_id": item.stream_id, "at": item.legs[-1].ended_at, "prompt": item.prompt, "answer": item.answer}


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
