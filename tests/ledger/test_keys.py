"""ledger/keys.py: virtual keys in a database."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import select

from tidegate.errors import ConfigError
from tidegate.ledger.database import Database
from tidegate.ledger.keys import KeyRow, KeyStore
from tidegate.ledger.tables import audit, keys

FULL = KeyRow(
    id="key-1",
    name="web",
    tags={"team": "search", "app": "é"},
    models=("gpt-*", "small"),
    rpm=60,
    tpm=10**10,
    concurrent=3,
    budget_micros=5_000_000,
    budget_period="day",
    on_disconnect="drain",
    safety="strict",
    admin=True,
    compression=True,
    obfuscation=True,
    expires_at=4e9,
)


@pytest.fixture
def store(database: Database) -> KeyStore:
    return KeyStore(database)


def actions(database: Database) -> list[tuple[str, str, str]]:
    with database.reading() as connection:
        rows = connection.execute(select(audit).order_by(audit.c.seq))
        return [(row.action, row.actor, row.subject) for row in rows]


def test_a_key_is_found_as_it_was_made(store: KeyStore) -> None:
    made = store.create(FULL, "d1", actor="cli")
    assert time.time() - 60 < made.created_at == made.updated_at
    assert store.all() == [made] == store.get("key-1") == store.get("web")
    assert store.find("d1") == (1, made)
    assert store.find("d2") == (1, None)


def test_keys_are_listed_oldest_first_and_may_share_a_name(store: KeyStore) -> None:
    for number in (3, 1, 2):
        store.create(KeyRow(id=f"key-{number}", name="web"), f"d{number}", actor="cli")
    assert [row.id for row in store.all()] == ["key-3", "key-1", "key-2"] == [row.id for row in store.get("web")]
    assert [row.id for row in store.get("key-2")] == ["key-2"]
    assert store.get("other") == []


def test_an_id_wins_over_a_name(store: KeyStore) -> None:
    store.create(KeyRow(id="key-1", name="key-2"), "d1", actor="cli")
    store.create(KeyRow(id="key-2", name="x"), "d2", actor="cli")
    assert [row.id for row in store.get("key-2")] == ["key-2"]


def test_every_change_is_counted_and_goes_onto_the_chain(store: KeyStore, database: Database) -> None:
    assert store.version() == 0
    store.create(FULL, "d1", actor="cli")
    store.rotate("key-1", "d2", grace=60, actor="root")
    store.revoke("key-1", cut=True, actor="root")
    assert store.version() == 3
    assert actions(database) == [
        ("key.create", "cli", "key-1"),
        ("key.rotate", "root", "key-1"),
        ("key.revoke", "root", "key-1"),
    ]


def test_a_rotated_key_has_two_secrets_for_a_while(store: KeyStore) -> None:
    store.create(FULL, "d1", actor="cli")
    rotated = store.rotate("key-1", "d2", grace=60, actor="cli")
    assert rotated is not None
    assert rotated.previous_until == pytest.approx(time.time() + 60, abs=30)
    (_, new), (_, old) = store.find("d2"), store.find("d1")
    assert new is not None
    assert old is not None
    assert (new.by_previous, old.by_previous) == (False, True)
    store.rotate("key-1", "d3", grace=60, actor="cli")
    assert [store.find(digest)[1] is not None for digest in ("d1", "d2", "d3")] == [False, True, True]


def test_without_grace_the_old_secret_is_gone(store: KeyStore) -> None:
    store.create(FULL, "d1", actor="cli")
    rotated = store.rotate("key-1", "d2", grace=0, actor="cli")
    assert rotated is not None
    assert rotated.previous_until is None
    assert store.find("d1")[1] is None


def test_a_revoked_key_stays_in_the_list_and_is_not_rotated(store: KeyStore) -> None:
    store.create(FULL, "d1", actor="cli")
    revoked = store.revoke("key-1", cut=False, actor="cli")
    assert revoked is not None
    assert revoked.revoked_at is not None
    assert store.rotate("key-1", "d2", grace=0, actor="cli") is None
    assert store.all() == [revoked]
    assert store.cuts() == {}
    version = store.version()
    assert store.revoke("key-1", cut=False, actor="cli") == revoked
    assert store.version() == version
    cut = store.revoke("key-1", cut=True, actor="cli")
    assert cut is not None
    assert cut.revoked_at == revoked.revoked_at
    assert list(store.cuts()) == ["key-1"]
    assert store.version() == version + 1


def test_what_is_not_there_is_not_changed(store: KeyStore, database: Database) -> None:
    assert store.rotate("key-9", "d", grace=0, actor="cli") is None
    assert store.revoke("key-9", cut=True, actor="cli") is None
    assert actions(database) == []


def test_the_secret_is_made_once_and_kept(store: KeyStore, database: Database) -> None:
    secret = store.secret()
    assert len(secret) == 32
    assert store.secret() == secret == KeyStore(database).secret()


def test_a_secret_that_is_given_is_not_kept(store: KeyStore, database: Database) -> None:
    assert store.secret(b"given") == b"given" == store.secret(b"given")
    with database.reading() as connection:
        assert b"given".hex() not in str(connection.exec_driver_sql("SELECT value FROM meta").all())
    # Without a key nothing is lost by another one.
    assert store.secret(b"other") == b"other"


@pytest.mark.parametrize(("first", "then"), [(b"given", b"other"), (b"given", None), (None, b"given")])
def test_keys_that_another_secret_made_are_not_lost_silently(
    store: KeyStore, first: bytes | None, then: bytes | None
) -> None:
    secret = store.secret(first)
    store.create(FULL, "d1", actor="cli")
    with pytest.raises(ConfigError, match="not the one that this ledger's keys were made with"):
        store.secret(then)
    assert store.secret(first) == secret


def test_no_secret_of_a_key_is_in_the_table() -> None:
    assert {"digest", "previous_digest"} < set(keys.c.keys())
    assert not {"key", "token", "secret"} & set(keys.c.keys())
