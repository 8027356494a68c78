"""Virtual keys, kept: made, listed, rotated and revoked; found by their digest, as of now, at the price of a glance.

Every change counts ``keys.version`` up in ``meta``, in the transaction that makes it, and puts a record on the audit
chain. A gateway remembers what it has found until that number moves: a revocation holds for the next request
everywhere, and a new key is found by the next request.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, or_, select

from tidegate.errors import ConfigError
from tidegate.ledger import audit
from tidegate.ledger.database import Database
from tidegate.ledger.tables import keys, meta

__all__ = ["CUT", "SECRET", "VERSION", "KeyRow", "KeyStore", "row_of"]

VERSION: Final = "keys.version"
SECRET: Final = "keys.secret"  # noqa: S105 - the name of a row
CUT: Final = "keys.cut."
"""In ``meta``, with a key's id: when its live streams were cut."""

_GIVEN: Final = "given:"
_OWN: Final = "own:"
_encode = msgspec.json.Encoder(order="deterministic").encode


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """One virtual key. Times are Unix seconds; ``None`` and empty mean none."""

    id: str
    name: str
    tags: Mapping[str, str] = {}
    models: tuple[str, ...] = ("*",)
    rpm: int | None = None
    tpm: int | None = None
    concurrent: int | None = None
    budget_micros: int | None = None
    budget_period: str | None = None
    on_disconnect: str = ""
    safety: str = ""
    admin: bool = False
    compression: bool = False
    obfuscation: bool = False
    expires_at: float | None = None
    revoked_at: float | None = None
    created_at: float = 0.0
    updated_at: float = 0.0
    previous_until: float | None = None
    """A rotated key's old secret is good until then."""
    by_previous: bool = False
    """It was found by its old secret."""


class KeyStore:
    """Every method blocks on the database.

    :param database: opened already.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def secret(self, given: bytes | None = None) -> bytes:
        """What digests are keyed with: what the configuration gives, else a random one that is kept here.

        :raises ConfigError: there are keys whose digests were keyed with another one.
        :raises LedgerAway: the database does not answer.
        """
        with self._database.reading() as connection:
            known = _meta(connection, SECRET)
        if known is not None and given is None and known.startswith(_OWN):
            return bytes.fromhex(known.removeprefix(_OWN))
        wanted = _OWN + secrets.token_hex(32) if given is None else _GIVEN + _fingerprint(given)
        if known != wanted:
            with self._database.writing() as connection:
                known = _meta(connection, SECRET)  # another process may have been here first
                any_key = connection.execute(select(keys.c.id).limit(1)).first()
                if known is None or (any_key is None and known != wanted and given is not None):
                    _set_meta(connection, SECRET, wanted)
                    known = wanted
        if given is None and known.startswith(_OWN):
            return bytes.fromhex(known.removeprefix(_OWN))
        if given is None or not hmac.compare_digest(known, wanted):
            raise ConfigError(
                "[auth] secret is not the one that this ledger's keys were made with; with another one, none of them "
                "is valid. Put the old one back, or make the keys anew in another ledger."
            )
        return given

    def create(self, row: KeyRow, digest: str, *, actor: str) -> KeyRow:
        """A new key; its id and times are the row's.

        :raises LedgerAway: the database does not take it.
        """
        now = time.time()
        row = msgspec.structs.replace(row, created_at=now, updated_at=now)
        with self._database.writing() as connection:
            connection.execute(keys.insert(), {**_columns(row), "digest": digest})
            _changed(connection, "key.create", actor, row.id, {"name": row.name})
        return row

    def all(self) -> list[KeyRow]:
        """Every key, also revoked ones, oldest first."""
        with self._database.reading() as connection:
            return [row_of(row) for row in connection.execute(select(keys).order_by(keys.c.created_at, keys.c.id))]

    def get(self, name: str) -> list[KeyRow]:
        """The key of that id; else those of that name, oldest first."""
        with self._database.reading() as connection:
            found = connection.execute(
                select(keys).where(or_(keys.c.id == name, keys.c.name == name)).order_by(keys.c.created_at, keys.c.id)
            )
            rows = [row_of(row) for row in found]
        return [row for row in rows if row.id == name] or rows

    def rotate(self, key_id: str, digest: str, *, grace: float, actor: str) -> KeyRow | None:
        """A new secret; the one before it stays good for ``grace`` seconds. ``None``: no such key, or it is revoked."""
        now = time.time()
        with self._database.writing() as connection:
            found = connection.execute(select(keys).where(keys.c.id == key_id)).first()
            if found is None or found.revoked_at is not None:
                return None
            change = {
                "digest": digest,
                "previous_digest": found.digest if grace > 0 else None,
                "previous_until": now + grace if grace > 0 else None,
                "updated_at": now,
            }
            connection.execute(keys.update().where(keys.c.id == key_id), change)
            _changed(connection, "key.rotate", actor, key_id, {"grace": grace})
            return row_of(connection.execute(select(keys).where(keys.c.id == key_id)).one())

    def revoke(self, key_id: str, *, cut: bool, actor: str) -> KeyRow | None:
        """Good for no further request; with ``cut``, gateways end its live streams too. ``None``: no such key."""
        now = time.time()
        with self._database.writing() as connection:
            found = connection.execute(select(keys).where(keys.c.id == key_id)).first()
            if found is None:
                return None
            if found.revoked_at is None or cut:
                change = {"revoked_at": found.revoked_at or now, "updated_at": now}
                connection.execute(keys.update().where(keys.c.id == key_id), change)
                if cut:
                    _set_meta(connection, CUT + key_id, repr(now))
                _changed(connection, "key.revoke", actor, key_id, {"cut": cut})
            return row_of(connection.execute(select(keys).where(keys.c.id == key_id)).one())

    def find(self, digest: str) -> tuple[int, KeyRow | None]:
        """The key of a digest, its present or its previous one, and the version at which that was so."""
        with self._database.reading() as connection:
            row = connection.execute(
                select(keys).where(or_(keys.c.digest == digest, keys.c.previous_digest == digest))
            ).first()
            version = int(_meta(connection, VERSION) or 0)
        if row is None:
            return version, None
        found = row_of(row)
        previous = not hmac.compare_digest(row.digest, digest)
        return version, msgspec.structs.replace(found, by_previous=True) if previous else found

    def version(self) -> int:
        """Counts changes of keys."""
        with self._database.reading() as connection:
            return int(_meta(connection, VERSION) or 0)

    def cuts(self) -> dict[str, float]:
        """Keys whose live streams were cut, and when."""
        with self._database.reading() as connection:
            rows = connection.execute(select(meta).where(meta.c.name.startswith(CUT)))
            return {row.name.removeprefix(CUT): float(row.value) for row in rows}


def row_of(row: Any) -> KeyRow:
    """A row of the table."""
    return KeyRow(
        id=row.id,
        name=row.name,
        tags=msgspec.json.decode(row.tags, type=dict[str, str]),
        models=tuple(msgspec.json.decode(row.models, type=list[str])),
        rpm=row.rpm,
        tpm=row.tpm,
        concurrent=row.concurrent,
        budget_micros=row.budget_micros,
        budget_period=row.budget_period,
        on_disconnect=row.on_disconnect,
        safety=row.safety,
        admin=bool(row.admin),
        compression=bool(row.compression),
        obfuscation=bool(row.obfuscation),
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        created_at=row.created_at,
        updated_at=row.updated_at,
        previous_until=row.previous_until,
    )


def _columns(row: KeyRow) -> dict[str, Any]:
    columns = msgspec.structs.asdict(row)
    del columns["by_previous"]
    return {**columns, "tags": _encode(row.tags).decode(), "models": _encode(list(row.models)).decode()}


def _changed(connection: Connection, action: str, actor: str, key_id: str, detail: Mapping[str, Any]) -> None:
    _set_meta(connection, VERSION, str(int(_meta(connection, VERSION) or 0) + 1))
    entries: Iterable[audit.Entry] = [audit.Entry(action=action, actor=actor, subject=key_id, detail=detail)]
    audit.append(connection, list(entries))


def _meta(connection: Connection, name: str) -> str | None:
    value = connection.execute(select(meta.c.value).where(meta.c.name == name)).scalar()
    return None if value is None else str(value)


def _set_meta(connection: Connection, name: str, value: str) -> None:
    if not connection.execute(meta.update().where(meta.c.name == name), {"value": value}).rowcount:
        connection.execute(meta.insert(), {"name": name, "value": value})


def _fingerprint(secret: bytes) -> str:
    return hmac.digest(secret, b"tidegate keys", "sha256").hex()
