"""server/keyring.py: whose a virtual key is, as of now; on both databases."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from tests.fakes.gateway import run
from tests.ledger.conftest import database, postgres, url
from tidegate.errors import ConfigError, Overloaded, Unauthorized
from tidegate.ledger.database import Database, LedgerAway
from tidegate.ledger.keys import KeyRow
from tidegate.policy.keys import Principal, keyed_hash, new_key
from tidegate.policy.meters import UNLIMITED
from tidegate.relay.registry import Registry
from tidegate.server import keyring
from tidegate.server.keyring import KeyRing

__all__ = ["database", "postgres", "url"]


@asynccontextmanager
async def ring(database: Database, secret: bytes | None = None) -> AsyncIterator[KeyRing]:
    made = KeyRing(database, secret, Registry())
    try:
        yield made
    finally:
        await made.close()
        await asyncio.to_thread(database.close)  # it opens again when it is asked again


async def made(found: KeyRing, **changes: object) -> tuple[str, str]:
    """A key: its id and its secret."""
    token = new_key()
    row = msgspec.structs.replace(KeyRow(id=f"key-{token[3:11]}", name="app"), **changes)
    await asyncio.to_thread(found.store.create, row, keyed_hash(await found._key(), token), actor="test")
    return row.id, token


async def refusal(find: Callable[[], Awaitable[Principal | None]]) -> str:
    with pytest.raises(Unauthorized) as caught:
        await find()
    assert caught.value.status == 401
    return caught.value.message


def test_a_key_is_found_as_soon_as_it_is_made(database: Database) -> None:
    async def case() -> None:
        async with ring(database) as one, ring(database) as other:
            for _ in range(3):
                token = new_key()
                assert await one.find(token) is None
                assert await one.find(token) is None
                key_id, token = await made(other, tags={"team": "a"})
                who = await one.find(token)
                assert who == Principal(key_id, tags=(("team", "a"),))
                assert who.quota is UNLIMITED
                assert await one.find(token) is who

    run(case())


def test_a_revocation_holds_at_once_everywhere(database: Database) -> None:
    async def case() -> None:
        async with ring(database) as one, ring(database) as other:
            key_id, token = await made(one)
            assert await one.find(token)
            assert await other.find(token)
            await asyncio.to_thread(other.store.revoke, key_id, cut=False, actor="test")
            assert "has been revoked" in await refusal(lambda: one.find(token))
            assert "has been revoked" in await refusal(lambda: other.find(token))

    run(case())


def test_a_key_is_good_until_it_expires(database: Database) -> None:
    async def case() -> None:
        async with ring(database) as found:
            _, token = await made(found, expires_at=time.time() + 3600)
            assert await found.find(token)
            _, token = await made(found, expires_at=time.time() - 1)
            assert "has expired" in await refusal(lambda: found.find(token))

    run(case())


def test_an_old_secret_is_good_for_its_grace(database: Database) -> None:
    async def case() -> None:
        async with ring(database) as found:
            key_id, token = await made(found)
            digest = keyed_hash(await found._key(), "another")
            await asyncio.to_thread(found.store.rotate, key_id, digest, grace=3600, actor="test")
            assert await found.find(token)
            entry = found._found[keyed_hash(await found._key(), token)]
            assert entry is not None
            over = msgspec.structs.replace(entry[0], previous_until=time.time() - 1)
            found._found[keyed_hash(await found._key(), token)] = (over, entry[1])
            assert "was replaced" in await refusal(lambda: found.find(token))

    run(case())


def test_many_at_once_see_what_was_there_when_they_came(database: Database) -> None:
    async def case() -> None:
        async with ring(database) as found:
            _, token = await made(found)
            whos = await asyncio.gather(*(found.find(token) for _ in range(100)))
            assert all(whos)
            key_id, token = await made(found)
            assert all(await asyncio.gather(*(found.find(token) for _ in range(50))))
            waiting = [asyncio.ensure_future(found.find(token)) for _ in range(50)]
            await asyncio.to_thread(found.store.revoke, key_id, cut=False, actor="test")
            late = await asyncio.gather(*(found.find(token) for _ in range(50)), return_exceptions=True)
            assert all(isinstance(each, Unauthorized) for each in late)
            await asyncio.gather(*waiting, return_exceptions=True)

    run(case())


def test_with_another_secret_no_key_is_good_and_that_is_said(database: Database) -> None:
    async def case() -> None:
        async with ring(database, b"one") as found:
            _, token = await made(found)
            assert await found.find(token)
        async with ring(database, b"two") as found:
            with pytest.raises(ConfigError):
                await found.find(token)

    run(case())


def test_what_is_remembered_has_an_end(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "MOST", 10)

    async def case() -> None:
        async with ring(database) as found:
            for _ in range(25):
                assert await found.find(new_key()) is None
            assert len(found._found) <= 10

    run(case())


def test_while_the_ledger_is_away_remembered_keys_are_good_and_others_are_asked_to_come_again(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'tidegate.db'}")

    async def case() -> None:
        async with ring(database) as found:
            _, token = await made(found)
            assert await found.find(token)

            def away(*_: object) -> int:
                raise LedgerAway("the disk is gone")

            found._glance.version = away  # type: ignore[method-assign]
            assert await found.find(token)
            with pytest.raises(Overloaded) as caught:
                await found.find(new_key())
            assert (caught.value.status, caught.value.code) == (503, "keys_unavailable")

    run(case())
    database.close()


def test_a_ledger_that_cannot_be_opened_lets_nobody_in(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    database = Database(f"sqlite:///{tmp_path / 'file' / 'tidegate.db'}")

    async def case() -> None:
        async with ring(database) as found:
            with pytest.raises(Overloaded):
                await found.find(new_key())

    run(case())
