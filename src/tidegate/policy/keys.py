"""Bearer keys: what one looks like, how it is kept, and who it lets in.

A key is ``tg-`` + 43 base62 digits (256 random bits) + 6 base62 digits of CRC-32, 52 characters in all. The prefix and
the checksum are for secret scanners: ``tg-[0-9A-Za-z]{49}`` with a right checksum is a leaked key, without asking
anybody. Base62 because a double click then selects the whole of it.

A key of the configuration is kept as its plain SHA-256. Salt, stretching and a server-side secret guard passwords that
can be guessed; 2**256 random values cannot be, and a slow hash would be paid by every request. A key of the ledger is
looked up by its hash, so that hash is keyed: nobody can choose tokens by what their hashes look like.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib
from dataclasses import dataclass

from tidegate.errors import ConfigError, Unauthorized
from tidegate.policy.budgets import budget_of
from tidegate.policy.meters import UNLIMITED, Quota
from tidegate.policy.names import names
from tidegate.policy.options import AuthOptions, OnDisconnect, StaticKey

__all__ = [
    "ANONYMOUS",
    "Authenticator",
    "Principal",
    "bearer",
    "hash_key",
    "is_hash",
    "keyed_hash",
    "looks_like_ours",
    "new_key",
    "well_formed",
]

PREFIX = "tg-"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BODY = 43  # 62**43 is the first power of 62 above 2**256
_CHECK = 6  # 62**6 is the first above 2**32
_SHAPE = re.compile(rf"{PREFIX}([0-9A-Za-z]{{{_BODY}}})([0-9A-Za-z]{{{_CHECK}}})", re.ASCII)
_HASH = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request comes from, and what it may use."""

    id: str
    admin: bool = False
    models: tuple[str, ...] = ("*",)
    safety: str = ""
    """The key's safety profile, by name; empty: none of its own."""
    tags: tuple[tuple[str, str], ...] = ()
    """Name and value: what costs are told apart by."""
    quota: Quota = UNLIMITED
    on_disconnect: OnDisconnect = ""
    """``cancel``, ``drain``, or empty: as everywhere."""
    compression: bool = False
    """Its answers are compressed where nobody said otherwise."""
    obfuscation: bool = False
    """The sizes of its events are hidden."""

    def may_use(self, model: str) -> bool:
        """Whether this key may use the model of that name."""
        return names(self.models).covers(model)


ANONYMOUS = Principal("anonymous")


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, rest = divmod(number, 62)
        digits.append(_DIGITS[rest])
    return "".join(reversed(digits))


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode("ascii")), _CHECK)


def new_key() -> str:
    """A fresh key. Nothing remembers it: show it once, keep its hash."""
    body = _base62(int.from_bytes(secrets.token_bytes(32), "big"), _BODY)
    return f"{PREFIX}{body}{_checksum(body)}"


def hash_key(token: str) -> str:
    """``sha256:<hex>``, the form that ``[[auth.key]] hash`` takes."""
    # surrogateescape: a header may hold any bytes, and a strange one is an unknown key, not an exception.
    return "sha256:" + hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def keyed_hash(secret: bytes, token: str) -> str:
    """``hmac:<hex>``, the form in which the ledger keeps keys."""
    return "hmac:" + hmac.digest(secret, token.encode("utf-8", "surrogateescape"), "sha256").hex()


def is_hash(text: str) -> bool:
    """Whether the text is what :func:`hash_key` returns."""
    return _HASH.fullmatch(text) is not None


def looks_like_ours(token: str) -> bool:
    """Whether the token claims to be a Tidegate key; such a token is always checked."""
    return token.startswith(PREFIX)


def well_formed(token: str) -> bool:
    """Whether the token has the shape and the checksum of a key: what a secret scanner should ask."""
    match = _SHAPE.fullmatch(token)
    return match is not None and match[2] == _checksum(match[1])


def bearer(authorization: str | None) -> str:
    """The token of an ``Authorization`` header; empty when there is none."""
    scheme, _, token = (authorization or "").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


class Authenticator:
    """Tells who a request comes from by its ``Authorization`` header.

    Every token, also a malformed one, is hashed, and looked up by a hash of that which is keyed with chance: one look,
    however many keys there are, and how long it takes says nothing that anybody could use.
    """

    __slots__ = ("_anonymous", "_keys", "_salt")

    def __init__(self, options: AuthOptions) -> None:
        for key in options.keys:
            if not is_hash(key.hash):
                raise ConfigError(
                    f'[[auth.key]] "{key.id}": hash must be "sha256:" and 64 hex digits; '
                    "make one with: tidegate keys hash"
                )
        self._anonymous = options.anonymous
        self._salt = secrets.token_bytes(32)
        self._keys = {self._place(key.hash): _principal(key) for key in options.keys}

    def check(self, authorization: str | None) -> Principal:
        """The principal behind the header's value; :class:`Unauthorized` when it is nobody's."""
        token = bearer(authorization)
        return self.verdict(token, self.find(token) if token else None)

    def verdict(self, token: str, principal: Principal | None) -> Principal:
        """``principal``, whose the token is; when it is nobody's, whether somebody without a key may come in.

        :raises Unauthorized: nobody may.
        """
        if not token:
            if self._anonymous:
                return ANONYMOUS
            raise Unauthorized(
                "You didn't provide an API key. Send your Tidegate key in the Authorization header: "
                'Authorization: Bearer tg-... (with an OpenAI SDK: api_key="tg-...").'
            )
        if principal is not None:
            return principal
        if looks_like_ours(token):
            raise Unauthorized(
                "Incorrect API key provided: this gateway does not know that tg-... key. It may be mistyped, revoked, "
                "or of another gateway; ask whoever runs this one for a new key."
            )
        if self._anonymous:
            return ANONYMOUS
        raise Unauthorized(
            "Incorrect API key provided: this gateway takes its own keys, which begin with tg-, not a model "
            "provider's. Ask whoever runs it for one."
        )

    def find(self, token: str) -> Principal | None:
        """The static key that the token is."""
        return self._keys.get(self._place(hash_key(token))) if self._keys else None

    def _place(self, digest: str) -> bytes:
        return hashlib.blake2b(digest.encode("ascii"), key=self._salt).digest()


def _principal(key: StaticKey) -> Principal:
    try:
        budget = budget_of(key.budget) if key.budget else None
    except ValueError as problem:
        raise ConfigError(f'[[auth.key]] "{key.id}": budget {problem}') from None
    quota = Quota(key.rpm, key.tpm, key.concurrent, budget)
    return Principal(
        key.id,
        key.admin,
        key.models,
        key.safety,
        tuple(sorted(key.tags.items())),
        UNLIMITED if quota == UNLIMITED else quota,
        key.on_disconnect,
        key.compression,
        key.obfuscation,
    )
