"""Who may use the gateway, how much, and what models cost: ``[auth]``, ``[limits]``, ``[[price]]``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["AuthOptions", "LimitOptions", "ModelLimit", "OnDisconnect", "PriceOptions", "StaticKey", "TagLimit"]

OnDisconnect = Literal["", "cancel", "drain"]
"""Empty: as everywhere."""


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
    on_disconnect: OnDisconnect = ""
    """What a reader's leaving does to the model's answer; empty: what ``[stream]`` says."""
    compression: bool = False
    """Compress its answers where ``[server] compression`` is ``auto``."""
    obfuscation: bool = False
    """Hide the sizes of its events, as ``[stream] obfuscation`` does for all."""


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
    """``[limits]``: of the gateway as a whole, all its workers together; with ``[shared] redis``, of all gateways."""

    rpm: int = 0
    """Requests a minute; 0: any number."""
    tpm: int = 0
    """Tokens a minute, of prompts and answers."""
    concurrent: int = 0
    """Streams at the same time."""
    tags: tuple[TagLimit, ...] = ()
    models: tuple[ModelLimit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceOptions:
    """``[[price]]``. What a model costs, in US dollars per million tokens. Wins over the built-in table of prices."""

    model: str
    """The upstream's name of the model, or a glob."""
    upstream: str = ""
    """Only on the upstream of that name; empty: on every one."""
    input: float
    output: float
    cached: float | None = None
    """Prompt tokens from the provider's cache. Without it they cost what ``input`` says."""
    reasoning: float | None = None
    """Without it, what ``output`` says."""
    audio_input: float | None = None
    audio_output: float | None = None
