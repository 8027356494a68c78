"""Who may use the gateway: ``[auth]`` in the configuration."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AuthOptions", "StaticKey"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticKey:
    """``[[auth.key]]``: a bearer key known by its hash only (``tidegate keys hash``)."""

    id: str
    hash: str
    models: tuple[str, ...] = ("*",)
    admin: bool = False
    """An admin sees, stops and cancels every stream, not only its own."""
    safety: str = ""
    """The safety profile of this key's requests, on top of that of every request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthOptions:
    """``anonymous`` lets a request without a key, or with a token that is not one of ours, in as "anonymous"."""

    anonymous: bool = False
    keys: tuple[StaticKey, ...] = ()
