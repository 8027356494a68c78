"""Who may use the gateway, and how much: ``[auth]`` and ``[limits]`` in the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["AuthOptions", "LimitOptions", "ModelLimit", "StaticKey", "TagLimit"]


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
    rpm: int = 0
    """Requests a minute; 0: any number."""
    tpm: int = 0
    """Tokens a minute, of prompts and answers."""
    concurrent: int = 0
    """Streams at the same time."""
    budget: str = ""
    """US dollars for each period, such as ``5.00/day`` (or ``/week``, ``/month``, ``/total``)."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Team, project, anything that costs are told apart by."""
    on_disconnect: Literal["", "cancel", "drain"] = ""
    """What a reader's leaving does to the model's answer; empty: what ``[stream]`` says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthOptions:
    """``anonymous`` lets a request without a key, or with a token that is not one of ours, in as "anonymous"."""

    anonymous: bool = False
    secret: str = ""
    """What the hashes of keys made with ``tidegate keys create`` are keyed with, best as ``env:NAME``. Empty: a random
    one, which is kept in the ledger. Who changes it makes every such key invalid.
    """
    keys: tuple[StaticKey, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TagLimit:
    """``[[limits.tag]]``: for every key with that tag. A pattern is a limit for each value that it covers."""

    tag: str
    """Name and value, such as ``team=search``, or ``team=*`` for every team."""
    rpm: int = 0
    """Requests a minute; 0: any number."""
    tpm: int = 0
    """Tokens a minute, of prompts and answers."""
    concurrent: int = 0
    """Streams at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLimit:
    """``[[limits.model]]``: for everybody who asks for that model. A pattern is a limit for each model it covers."""

    model: str
    """As clients ask for it, or a pattern such as ``gpt-*``."""
    rpm: int = 0
    """Requests a minute; 0: any number."""
    tpm: int = 0
    """Tokens a minute, of prompts and answers."""
    concurrent: int = 0
    """Streams at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitOptions:
    """``[limits]``: of the gateway as a whole, in one process or, with ``[shared] redis``, in all of them."""

    rpm: int = 0
    """Requests a minute; 0: any number."""
    tpm: int = 0
    """Tokens a minute, of prompts and answers."""
    concurrent: int = 0
    """Streams at the same time."""
    tags: tuple[TagLimit, ...] = ()
    models: tuple[ModelLimit, ...] = ()
