"""An upstream's API keys: used in turn, rested when they are refused."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

__all__ = ["Key", "KeyPool"]

FIRST_REST: Final = 5.0
"""Seconds that a key rests after its first 429 without ``Retry-After``; doubled while it repeats."""

FIRST_REST_REFUSED: Final = 60.0
"""The same after 401 or 403: a key that was revoked does not come back soon, one that was just made may."""

LONGEST_REST: Final = 3600.0


class Key:
    """One secret and its rest. ``id`` is safe to log."""

    __slots__ = ("id", "refusals", "resting_until", "secret")

    def __init__(self, key_id: str, secret: str) -> None:
        self.id = key_id
        self.secret = secret
        self.resting_until = 0.0
        self.refusals = 0

    def __repr__(self) -> str:
        return f"Key({self.id!r})"


class KeyPool:
    """Round robin over the keys that are not resting. The clock is the caller's, in seconds, monotonic."""

    __slots__ = ("_keys", "_next")

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        self._keys: list[Key] = []
        self._next = 0
        self.reload(secrets)

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def empty(self) -> bool:
        """The upstream needs no key."""
        return not self._keys

    def take(self, now: float, exclude: Collection[Key] = ()) -> Key | None:
        """The next key that is ready; ``None`` when none is."""
        for step in range(len(self._keys)):
            place = (self._next + step) % len(self._keys)
            key = self._keys[place]
            if key.resting_until <= now and key not in exclude:
                self._next = (place + 1) % len(self._keys)
                return key
        return None

    def ready(self, now: float, exclude: Collection[Key] = ()) -> bool:
        """Whether :meth:`take` would find one."""
        return any(key.resting_until <= now and key not in exclude for key in self._keys)

    def rest(self, key: Key, now: float, status: int, retry_after: float | None) -> None:
        """The upstream refused the key with 401, 403 or 429. The only key of a pool rests for a 429 alone: there is
        no other to go on with, and the upstream's own words about a wrong key help more than ours.
        """
        if status != 429 and len(self._keys) == 1:
            return
        first = FIRST_REST if status == 429 else FIRST_REST_REFUSED
        pause = retry_after if retry_after is not None else first * 2.0 ** min(key.refusals, 16)
        key.refusals += 1
        key.resting_until = max(key.resting_until, now + min(pause, LONGEST_REST))

    def ok(self, key: Key) -> None:
        """The key works."""
        key.refusals = 0
        key.resting_until = 0.0

    def next_ready(self, now: float) -> float | None:
        """Seconds until a key is ready, 0 when one is; ``None`` for a pool without keys."""
        return max(0.0, min(key.resting_until for key in self._keys) - now) if self._keys else None

    def reload(self, secrets: Sequence[str]) -> None:
        """Take these secrets from now on; those that stay keep their rest."""
        known = {key.secret: key for key in self._keys}
        self._keys = [known.get(secret) or Key(f"key-{number}", secret) for number, secret in enumerate(secrets, 1)]
        for number, key in enumerate(self._keys, 1):
            key.id = f"key-{number}"
        self._next = 0
