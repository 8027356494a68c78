"""Whose a virtual key is, as of now: what was found in the ledger is remembered until the ledger's keys change."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable
from typing import Final

import structlog

from tidegate.errors import Cancelled, Overloaded, Unauthorized
from tidegate.ledger.away import LedgerAway
from tidegate.ledger.database import Database
from tidegate.ledger.glance import Glance
from tidegate.ledger.keys import KeyRow, KeyStore
from tidegate.policy.keys import Principal, keyed_hash
from tidegate.relay.registry import Registry
from tidegate.server.virtual_keys import VirtualKeys, principal_of

__all__ = ["KeyRing"]

MOST: Final = 20_000
"""Digests that are remembered; those that are nobody's among them, so that guessing costs the database little."""

LOOK: Final = 0.5
"""Seconds between two looks for keys whose live streams shall be cut."""

_log = structlog.get_logger()


class KeyRing:
    """Use it on one event loop. Nothing is read before the first virtual key comes.

    :param secret: what the configuration says hashes are keyed with; ``None``: what the ledger keeps.
    """

    def __init__(self, database: Database, secret: bytes | None, registry: Registry) -> None:
        self._database = database
        self.store = KeyStore(database)
        self._given = secret
        self._secret: bytes | None = None
        self._registry = registry
        self._glance = Glance(database, self.store)
        self._version = -1
        self._salt = secrets.token_bytes(32)
        self._digests: dict[bytes, str] = {}
        self._found: dict[str, tuple[KeyRow, Principal] | None] = {}
        self._looking: asyncio.Task[int] | None = None
        self._next: asyncio.Task[int] | None = None
        self._cutter: asyncio.Task[None] | None = None

    async def keys(self, actor: str) -> VirtualKeys:
        """For whoever makes and changes keys; its calls block.

        :raises LedgerAway: the database does not answer.
        :raises ConfigError: the keys were made with another secret.
        """
        return VirtualKeys(self.store, await self._key(), actor=actor)

    async def _key(self) -> bytes:
        if self._secret is None:
            self._secret = await asyncio.to_thread(self._open)
        return self._secret

    def _open(self) -> bytes:
        self._database.open()
        return self.store.secret(self._given)

    def find_at_once(self, token: str) -> Principal | None:
        """As :meth:`find`, for a key that is remembered; ``None``: ask :meth:`find`.

        :raises Unauthorized: it was good once.
        """
        if self._secret is None or not self._glance.quick:
            return None
        try:
            self._remember(self._glance.version())
        except LedgerAway:
            return None
        entry = self._found.get(self._digest(self._secret, token))
        return None if entry is None else self._welcome(entry)

    def _digest(self, secret: bytes, token: str) -> str:
        """As :func:`keyed_hash`, which costs several times as much, remembered by a hash that is keyed with chance."""
        data = token.encode("utf-8", "surrogateescape")
        mark = hashlib.blake2b(data, key=self._salt).digest()
        digest = self._digests.get(mark)
        if digest is None:
            if len(self._digests) >= MOST:
                self._digests.clear()
            digest = self._digests[mark] = keyed_hash(secret, token)
        return digest

    async def find(self, token: str) -> Principal | None:
        """Who brings the token; ``None``: nobody that is known. Every token that is refused takes the same way.

        The look-up is by a keyed hash: how long it takes says nothing about the token that anybody could use.

        :raises Unauthorized: it was good once.
        :raises Overloaded: the ledger cannot be asked, and the key is not remembered.
        """
        try:
            digest = self._digest(await self._key(), token)
            entry = await self._entry(digest)
        except LedgerAway as error:
            _log.warning("keys.ledger_away", error=str(error))
            entry = None if self._secret is None else self._found.get(self._digest(self._secret, token))
            if entry is None:
                raise Overloaded(
                    "The gateway cannot look the key up just now; try again.", code="keys_unavailable", retry_after=1.0
                ) from None
        if entry is None:
            return None
        return self._welcome(entry)

    def _welcome(self, entry: tuple[KeyRow, Principal]) -> Principal:
        row, principal = entry
        _check(row, time.time())
        if self._cutter is None:
            self._cutter = asyncio.get_running_loop().create_task(self._cut_on_change())
        return principal

    async def _entry(self, digest: str) -> tuple[KeyRow, Principal] | None:
        self._remember(await self._now())
        if digest in self._found:
            return self._found[digest]
        version, row = await asyncio.to_thread(self.store.find, digest)
        entry = None if row is None else (row, principal_of(row))
        self._remember(version)
        if version == self._version:
            if len(self._found) >= MOST:
                self._found.clear()
            self._found[digest] = entry
        return entry

    def _remember(self, version: int) -> None:
        """What was found at another version counts no more."""
        if version != self._version:
            self._version = version
            self._found.clear()

    async def _now(self) -> int:
        """The version at this moment or later."""
        if self._glance.quick:
            return self._glance.version()
        # A look that is under way may have begun before what this request must see; the next one is shared by all who
        # come meanwhile.
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._look(self._looking))
        return await asyncio.shield(self._next)

    async def _look(self, before: asyncio.Task[int] | None) -> int:
        if before is not None:
            await asyncio.wait([before])
        self._looking, self._next = self._next, None
        return await asyncio.to_thread(self._glance.version)

    def cut(self, chosen: Callable[[str], bool]) -> None:
        """End the live streams of the keys that are chosen."""
        for stream in self._registry:
            if chosen(stream.client):
                stream.fail(Cancelled("The key of this stream was revoked.", code="key_revoked"))

    async def _cut_on_change(self) -> None:
        seen = -1
        while True:
            await asyncio.sleep(LOOK)
            if not len(self._registry):
                continue
            try:
                version = await self._now()
                if version != seen:
                    self.cut((await asyncio.to_thread(self.store.cuts)).__contains__)
                    seen = version
            except LedgerAway:
                continue  # said by whoever asks for a key, and looked for again in a moment

    async def close(self) -> None:
        """Let go of everything but the database."""
        tasks = [task for task in (self._cutter, self._looking, self._next) if task is not None]
        if self._cutter is not None:
            self._cutter.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._glance.close()


def _check(row: KeyRow, now: float) -> None:
    if row.revoked_at is not None:
        raise Unauthorized(f"This API key ({row.id}) has been revoked; ask whoever runs this gateway for a new one.")
    if row.expires_at is not None and row.expires_at <= now:
        raise Unauthorized(f"This API key ({row.id}) has expired; ask whoever runs this gateway for a new one.")
    if row.by_previous and (row.previous_until is None or row.previous_until <= now):
        raise Unauthorized(f"This API key ({row.id}) was replaced by a new one, and its time is over.")
