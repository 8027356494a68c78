"""server/virtual_keys.py: keys as the admin API and the command line tell them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tidegate.errors import InvalidRequest
from tidegate.ledger.database import Database
from tidegate.ledger.keys import KeyRow, KeyStore
from tidegate.policy.budgets import NANOS, Budget
from tidegate.policy.key_specs import KeySpec
from tidegate.policy.keys import Principal, keyed_hash, well_formed
from tidegate.policy.meters import UNLIMITED, Quota
from tidegate.server.virtual_keys import VirtualKeys, principal_of, shown, state_of

SPEC = KeySpec(
    name="web",
    tags={"team": "search", "app": "x"},
    models=("gpt-*",),
    rpm=5,
    tpm=6,
    concurrent=7,
    budget=Budget(2_500_000_000, "week"),
    expires=4e9,
    on_disconnect="drain",
    safety="strict",
    compression=True,
    obfuscation=True,
)


@pytest.fixture
def keys(tmp_path: Path) -> VirtualKeys:
    database = Database(f"sqlite:///{tmp_path / 'tidegate.db'}")
    database.open()
    return VirtualKeys(KeyStore(database), b"secret", actor="test")


def test_a_key_is_told_as_it_was_made_and_its_secret_once(keys: VirtualKeys) -> None:
    made = keys.create(SPEC)
    assert well_formed(made["key"])
    assert made["budget"] == {"amount": 2.5, "currency": "USD", "period": "week"}
    assert (made["state"], made["expires"]) == ("active", "2096-10-02T07:06:40+00:00")
    told = {name: value for name, value in made.items() if name != "key"}
    assert keys.show("web") == told == keys.show(made["id"])
    assert keys.list() == [told]


def test_who_brings_it_is_what_was_asked_for(keys: VirtualKeys) -> None:
    token = keys.create(SPEC)["key"]
    _, row = keys._store.find(keyed_hash(b"secret", token))
    assert row is not None
    quota = Quota(5, 6, 7, Budget(2_500_000_000, "week"))
    tags = (("app", "x"), ("team", "search"))
    assert principal_of(row) == Principal(row.id, False, ("gpt-*",), "strict", tags, quota, "drain", True, True)


def test_a_budget_without_a_period_is_for_all_time() -> None:
    budget = principal_of(KeyRow(id="k", name="x", budget_micros=5)).quota.budget
    assert budget == Budget(5000, "total")
    assert NANOS == 10**9


def test_a_key_without_limits_has_none() -> None:
    assert principal_of(KeyRow(id="k", name="x")).quota is UNLIMITED


def test_a_key_is_active_expired_or_revoked() -> None:
    now = time.time()
    assert state_of(KeyRow(id="k", name="x"), now) == "active"
    assert state_of(KeyRow(id="k", name="x", expires_at=now + 9), now) == "active"
    assert state_of(KeyRow(id="k", name="x", expires_at=now), now) == "expired"
    assert state_of(KeyRow(id="k", name="x", expires_at=now, revoked_at=now), now) == "revoked"
    assert shown(KeyRow(id="k", name="x", revoked_at=5.0))["revoked"] == "1970-01-01T00:00:05+00:00"


def test_a_revoked_key_leaves_its_name_to_another(keys: VirtualKeys) -> None:
    first = keys.create(SPEC)
    keys.revoke("web")
    second = keys.create(SPEC)
    assert keys.show("web")["id"] == second["id"]
    assert keys.show(first["id"])["state"] == "revoked"


def test_what_is_not_there_or_not_clear_is_said(keys: VirtualKeys) -> None:
    with pytest.raises(InvalidRequest, match="no key with the id or name 'web'"):
        keys.rotate("web")
    ids = [keys.create(SPEC)["id"] for _ in range(2)]
    with pytest.raises(InvalidRequest, match=f"say which by its id: {ids[0]}, {ids[1]}"):
        keys.revoke("web")
    keys.revoke(ids[0])
    with pytest.raises(InvalidRequest, match="is revoked; make another one"):
        keys.rotate(ids[0])
