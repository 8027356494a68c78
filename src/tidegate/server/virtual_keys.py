"""Virtual keys: made, shown and changed, by the admin API and by the command line alike. Every call blocks."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

from tidegate.errors import InvalidRequest
from tidegate.ledger.keys import KeyRow, KeyStore
from tidegate.policy.budgets import Budget
from tidegate.policy.key_specs import GRACE, KeySpec
from tidegate.policy.keys import Principal, keyed_hash, new_key
from tidegate.policy.meters import UNLIMITED, Quota
from tidegate.policy.options import OnDisconnect

__all__ = ["VirtualKeys", "principal_of", "shown", "state_of"]

NANOS_PER_MICRO: Final = 1000


class VirtualKeys:
    """The keys of one ledger.

    :param secret: what hashes are keyed with.
    :param actor: who does it, for the audit chain.
    """

    def __init__(self, store: KeyStore, secret: bytes, *, actor: str) -> None:
        self._store = store
        self._secret = secret
        self._actor = actor

    def create(self, spec: KeySpec) -> dict[str, Any]:
        """A new key, with its secret, which nothing keeps."""
        token = new_key()
        budget = spec.budget
        row = KeyRow(
            id="key-" + os.urandom(6).hex(),
            name=spec.name,
            tags=spec.tags,
            models=spec.models,
            rpm=spec.rpm or None,
            tpm=spec.tpm or None,
            concurrent=spec.concurrent or None,
            budget_micros=None if budget is None else budget.amount // NANOS_PER_MICRO,
            budget_period=None if budget is None else budget.period,
            on_disconnect=spec.on_disconnect,
            safety=spec.safety,
            admin=spec.admin,
            compression=spec.compression,
            obfuscation=spec.obfuscation,
            expires_at=spec.expires,
        )
        made = self._store.create(row, keyed_hash(self._secret, token), actor=self._actor)
        return shown(made, key=token)

    def list(self) -> Sequence[dict[str, Any]]:
        """All of them, oldest first."""
        return [shown(row) for row in self._store.all()]

    def show(self, name: str) -> dict[str, Any]:
        """One, by its id or its name."""
        return shown(self._one(name))

    def rotate(self, name: str, grace: float = GRACE) -> dict[str, Any]:
        """The same key with a new secret, which nothing keeps."""
        token = new_key()
        row = self._one(name)
        rotated = self._store.rotate(row.id, keyed_hash(self._secret, token), grace=grace, actor=self._actor)
        if rotated is None:
            raise InvalidRequest(f"The key {row.id} is revoked; make another one.", status=409, code="key_revoked")
        return shown(rotated, key=token)

    def revoke(self, name: str, *, cut: bool = False) -> dict[str, Any]:
        """Good for no further request."""
        row = self._one(name)
        revoked = self._store.revoke(row.id, cut=cut, actor=self._actor)
        return shown(row if revoked is None else revoked)

    def _one(self, name: str) -> KeyRow:
        rows = self._store.get(name)
        live = [row for row in rows if row.revoked_at is None] or rows
        if not rows:
            raise InvalidRequest(
                f"There is no key with the id or name '{name[:128]}'.", status=404, code="key_not_found"
            )
        if len(live) > 1:
            ids = ", ".join(row.id for row in live[:5])
            raise InvalidRequest(f"{len(live)} keys have that name; say which by its id: {ids}.", code="ambiguous_name")
        return live[0]


def shown(row: KeyRow, *, key: str | None = None) -> dict[str, Any]:
    """A key as the admin API tells it; ``key`` is its secret, at creation and rotation only."""
    told: dict[str, Any] = {"id": row.id, "object": "tidegate.key", "name": row.name}
    if key is not None:
        told["key"] = key
    budget = None
    if row.budget_micros is not None:
        budget = {"amount": row.budget_micros / 1e6, "currency": "USD", "period": row.budget_period}
    return {
        **told,
        "state": state_of(row, time.time()),
        "tags": dict(row.tags),
        "models": list(row.models),
        "rpm": row.rpm,
        "tpm": row.tpm,
        "concurrent": row.concurrent,
        "budget": budget,
        "on_disconnect": row.on_disconnect or None,
        "safety": row.safety or None,
        "admin": row.admin,
        "compression": row.compression,
        "obfuscation": row.obfuscation,
        "created": _moment(row.created_at),
        "expires": _moment(row.expires_at),
        "revoked": _moment(row.revoked_at),
        "previous_until": _moment(row.previous_until),
    }


def state_of(row: KeyRow, now: float) -> str:
    """``active``, ``expired`` or ``revoked``."""
    if row.revoked_at is not None:
        return "revoked"
    return "expired" if row.expires_at is not None and row.expires_at <= now else "active"


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def principal_of(row: KeyRow) -> Principal:
    """Who brings the key."""
    budget = None
    if row.budget_micros is not None:
        budget = Budget(row.budget_micros * NANOS_PER_MICRO, row.budget_period or "total")
    quota = Quota(row.rpm or 0, row.tpm or 0, row.concurrent or 0, budget)
    tags: Mapping[str, str] = row.tags
    return Principal(
        row.id,
        row.admin,
        row.models,
        row.safety,
        tuple(sorted(tags.items())),
        UNLIMITED if quota == UNLIMITED else quota,
        cast(OnDisconnect, row.on_disconnect),
        row.compression,
        row.obfuscation,
    )
