"""Who may use the gateway, and what models cost: ``[auth]`` and ``[[price]]`` in the configuration."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AuthOptions", "PriceOptions", "StaticKey"]


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
