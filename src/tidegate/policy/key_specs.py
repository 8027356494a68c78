"""What a new key shall be, as the admin API and the command line are told it; checked, with what to write instead."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from tidegate.errors import InvalidRequest
from tidegate.policy.budgets import Budget, budget_of

__all__ = ["GRACE", "KeySpec", "duration_of", "expiry_of", "is_tag", "spec_of"]

GRACE: Final = 86400.0
"""Seconds for which the old secret of a rotated key is good, when nobody says otherwise."""

MOST: Final = 10**12
"""Of a limit."""

MAX_NAME: Final = 128
MAX_TAGS: Final = 32
MAX_MODELS: Final = 256

_DURATION: Final = re.compile(r"(\d{1,7})([smhdw])", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_TAG: Final = re.compile(r"[^\s=,]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySpec:
    """A key before it has an id and a secret. 0 and empty: none."""

    name: str
    tags: Mapping[str, str] = field(default_factory=dict)
    models: tuple[str, ...] = ("*",)
    rpm: int = 0
    tpm: int = 0
    concurrent: int = 0
    budget: Budget | None = None
    expires: float | None = None
    """Unix seconds."""
    on_disconnect: str = ""
    safety: str = ""
    admin: bool = False
    compression: bool = False
    obfuscation: bool = False


def spec_of(fields: Mapping[str, Any], now: float) -> KeySpec:
    """Of a JSON object.

    :param now: Unix seconds; what ``expires`` counts from.
    :raises InvalidRequest: with the field at fault in ``param``.
    """
    known = KeySpec.__dataclass_fields__
    for name in fields:
        if name not in known:
            raise InvalidRequest(f"Unknown field '{_shown(name)}'; there are {', '.join(known)}.", param=_shown(name))
    return KeySpec(
        name=_name(fields.get("name")),
        tags=_tags(fields.get("tags") or {}),
        models=_models(fields.get("models") or ["*"]),
        rpm=_limit(fields, "rpm"),
        tpm=_limit(fields, "tpm"),
        concurrent=_limit(fields, "concurrent"),
        budget=_budget(fields.get("budget")),
        expires=expiry_of(fields.get("expires"), now),
        on_disconnect=_choice(fields, "on_disconnect", ("", "cancel", "drain")),
        safety=_text(fields, "safety"),
        admin=_flag(fields, "admin"),
        compression=_flag(fields, "compression"),
        obfuscation=_flag(fields, "obfuscation"),
    )


def duration_of(text: Any, param: str) -> int:
    """Seconds of ``90s``, ``15m``, ``12h``, ``30d``, ``4w``; of a number, itself."""
    if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
        return text
    match = _DURATION.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise InvalidRequest(f"'{param}' must be a time such as 90s, 15m, 12h, 30d or 4w.", param=param)
    return int(match[1]) * _SECONDS[match[2]]


def expiry_of(value: Any, now: float) -> float | None:
    """Unix seconds of ``30d``, of a date (``2027-01-31``, then its beginning in UTC) or of a date with its time."""
    if value is None or value == "":
        return None
    expires: float | None = None
    if isinstance(value, str) and _DURATION.fullmatch(value.strip()) is None:
        try:
            moment = datetime.fromisoformat(value.strip())
            expires = moment.timestamp() if moment.tzinfo else datetime.fromisoformat(f"{moment}+00:00").timestamp()
        except (ValueError, OverflowError):
            expires = None
    else:
        expires = now + duration_of(value, "expires")
    if expires is None or not now < expires < 1e11:
        raise InvalidRequest(
            "'expires' must be a time from now, such as 30d, or a date that is to come.", param="expires"
        )
    return expires


def _shown(name: Any) -> str:
    text = str(name)[:40]
    return text if text.isprintable() else ascii(text)[1:-1]


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_NAME or not value.isprintable():
        raise InvalidRequest(f"'name' must be text of 1 to {MAX_NAME} printable characters.", param="name")
    return value.strip()


def _tags(value: Any) -> dict[str, str]:
    good = isinstance(value, Mapping) and len(value) <= MAX_TAGS
    if not good or not all(is_tag(name) and is_tag(text) for name, text in value.items()):
        raise InvalidRequest(
            f"'tags' must be up to {MAX_TAGS} pairs of text, such as team=search; without spaces, '=' and ','.",
            param="tags",
        )
    return dict(value)


def is_tag(part: Any) -> bool:
    """Whether it may be a tag's name or its value."""
    return isinstance(part, str) and part.isprintable() and _TAG.fullmatch(part) is not None


def _models(value: Any) -> tuple[str, ...]:
    good = isinstance(value, list | tuple) and len(value) <= MAX_MODELS
    if not good or not all(isinstance(model, str) and 0 < len(model) <= 256 and model.isprintable() for model in value):
        raise InvalidRequest("'models' must be a list of names or patterns, such as gpt-4o*.", param="models")
    return tuple(value)


def _limit(fields: Mapping[str, Any], name: str) -> int:
    value = fields.get(name)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= MOST:
        raise InvalidRequest(f"'{name}' must be a whole number of 1 or more; leave it out for no limit.", param=name)
    return value


def _budget(value: Any) -> Budget | None:
    if value is None or value == "":
        return None
    if isinstance(value, Mapping):
        if value.get("currency", "USD") != "USD":
            raise InvalidRequest("'budget' is in USD.", param="budget")
        value = f"{value.get('amount')}/{value.get('period')}"
    try:
        return budget_of(str(value))
    except ValueError as problem:
        raise InvalidRequest(f"'budget' {problem}.", param="budget") from None


def _choice(fields: Mapping[str, Any], name: str, choices: tuple[str, ...]) -> str:
    value = _text(fields, name)
    if value not in choices:
        raise InvalidRequest(f"'{name}' must be one of {', '.join(filter(None, choices))}.", param=name)
    return value


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MAX_NAME or not value.isprintable():
        raise InvalidRequest(f"'{name}' must be text of at most {MAX_NAME} characters.", param=name)
    return value


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidRequest(f"'{name}' must be true or false.", param=name)
    return bool(value)
