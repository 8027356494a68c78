"""One value: from TOML or from text to the type that an option has, and whether it makes sense.

Every refusal says what to write instead. None repeats a value that could be a secret.
"""

from __future__ import annotations

import ipaddress
import json
import math
import re
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin
from urllib.parse import urlsplit

import msgspec

from tidegate.config.schema import Key

__all__ = ["Text", "Wrong", "base_url_problem", "closest", "is_loopback", "range_problem", "value_of"]


class Wrong(Exception):
    """The value cannot be; the message continues a sentence that begins with the key."""


class Text(str):
    """A value from a variable or a flag: always text, to be read as the option's type."""

    __slots__ = ()


# Choices of options that are plain strings in their room, because the standard library knows more of them.
CHOICES: Mapping[str, tuple[str, ...]] = {
    "log_format": ("auto", "json", "console"),
    "log_level": ("debug", "info", "warning", "error", "critical"),
}
# What to write where there is no default to show.
EXAMPLES: Mapping[str, Any] = {
    "name": "main",
    "base_url": "https://api.openai.com/v1",
    "id": "my-app",
    "hash": "sha256:...",
    "api_keys": ("env:OPENAI_API_KEY",),
    "cors_origins": ("https://app.example.com",),
    "aliases": {"fast": "gpt-4o-mini"},
    "headers": {"OpenAI-Organization": "org-..."},
    "ca_file": "/etc/ssl/private-ca.pem",
    "actions": {"email": "tag", "ssn": "block"},
    "core": "TICKET-\\d+",
    "pattern": "[[]\\d+[]]",
    "words": ("Project Tide",),
    "model": "my-model",
    "profile": "strict",
    "phone_regions": ("DE", "FR"),
    "budget": "5.00/day",
    "tags": {"team": "search"},
    "tag": "team=*",
    "secret": "env:TIDEGATE_KEY_SECRET",
    "redis": "redis://127.0.0.1:6379/0",
    "input": 2.5,
    "output": 10.0,
    "cached": 1.25,
    "reasoning": 10.0,
    "audio_input": 40.0,
    "audio_output": 80.0,
}
# Least and greatest value by the option's name; then by its shape; else at least 0.
RANGES: Mapping[str, tuple[float | None, float | None]] = {
    "port": (0, 65535),
    "workers": (1, 1024),
    "priority": (None, None),
    "drain_timeout": (0, None),
    "drain_delay": (0, None),
    "max_idle_connections": (0, None),
    "max_event_bytes": (1024, None),
    "max_head_bytes": (1024, None),
    "high_water": (1, None),
    "hold_cap": (16, 1048576),
    "longest": (16, 1048576),
    "deadline": (0.001, None),
    "timeout": (0.01, 60),
    "max_bytes": (1, 67108864),
    "parallel": (1, 1024),
    "queue": (1, 65536),
    "threshold": (0, 1),
    "profanity_threshold": (0, 1),
    "injection_threshold": (0, 1),
    "lease": (1, None),
}
_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


def value_of(key: Key, raw: Any) -> Any:
    """The value as the option's type; raises :class:`Wrong`."""
    hint = key.hint
    if get_origin(hint) in (Union, types.UnionType):
        words = [word for arg in get_args(hint) if get_origin(arg) is Literal for word in get_args(arg)]
        if words:
            return _number_or_word(key, words, raw)
        hint = next(arg for arg in get_args(hint) if arg is not types.NoneType)
    value = _read(key, hint, raw) if isinstance(raw, Text) else _check(key, hint, raw)
    choices = get_args(hint) if get_origin(hint) is Literal else CHOICES.get(key.name)
    if choices and value not in choices:
        raise Wrong(f"must be one of {', '.join(map(_written, choices))}{_meant(str(value), choices)}")
    return value


def _number_or_word(key: Key, words: list[str], raw: Any) -> Any:
    """A whole number, or one of a few words."""
    if isinstance(raw, str) and raw.strip() in words:
        return raw.strip()
    try:
        return _read(key, int, raw) if isinstance(raw, Text) else _check(key, int, raw)
    except Wrong as wrong:
        raise Wrong(f"{wrong}, or {' or '.join(map(_written, words))}") from None


def range_problem(name: str, value: Any) -> str | None:
    """What is wrong with a number, or ``None``."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if name in RANGES:
        low, high = RANGES[name]
    elif name.endswith("_timeout"):
        if value <= 0:
            return f"is {value}; it must be more than 0 (to wait long, write a large number)"
        return None
    else:
        low, high = 1 if name.startswith("max_") else 0, None
    if low is not None and high is not None and not low <= value <= high:
        return f"is {value}; it must be between {low:g} and {high:g}"
    if low is not None and value < low:
        return f"is {value}; it must be {low:g} or more"
    return None


def base_url_problem(url: str) -> str | None:
    """What is wrong with the address of a model server, or ``None``. Never repeats the address."""
    example = f"write for example {_written(EXAMPLES['base_url'])}"
    try:
        parts = urlsplit(url)
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        return f"is not a URL; {example}"
    if parts.scheme not in ("http", "https"):
        return f"must begin with http:// or https://; {example}"
    if not parts.hostname or not port_ok or re.search(r"[\s\x00-\x1f\\]", url):
        return f"is not a URL; {example}"
    if parts.username is not None:
        return "must not hold a user name or password; put the secret into api_keys"
    if parts.query or parts.fragment:
        return "must not have a query or fragment; end it with the version segment, such as /v1"
    if parts.path.rstrip("/").endswith(("/chat/completions", "/completions")):
        return "must end with the version segment, such as /v1; /chat/completions is added to it"
    return None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def closest(name: str, known: list[str] | tuple[str, ...], *, cutoff: float = 0.6) -> str | None:
    """The known name that was probably meant."""
    import difflib  # only where something is misspelt

    found = difflib.get_close_matches(name.lower(), known, n=1, cutoff=cutoff)
    return found[0] if found else None


def written(name: str, value: Any) -> str:
    """A line of TOML."""
    return f"{name} = {_written(value)}"


def _written(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = (f"{_bare(key)} = {_written(inner)}" for key, inner in value.items())
        return "{ " + ", ".join(pairs) + " }" if value else "{}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_written, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _bare(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)


def _meant(value: str, choices: tuple[str, ...]) -> str:
    meant = closest(value, choices)
    return f"; did you mean {_written(meant)}?" if meant else ""


def _instead(key: Key) -> str:
    value = EXAMPLES.get(key.name, None if key.required else key.default)
    return f"; write for example {written(key.name, value)}"


def _kind(value: Any) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "a table"}
    return names.get(type(value), "a date or time")


def _check(key: Key, hint: Any, raw: Any) -> Any:
    """A TOML value, whose type must be right already."""
    origin = get_origin(hint)
    if hint is bool and isinstance(raw, bool):
        return raw
    if hint is int and isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    if hint is float and isinstance(raw, int | float) and not isinstance(raw, bool) and math.isfinite(raw):
        return float(raw)
    if (hint is str or origin is Literal) and isinstance(raw, str):
        return raw
    if origin is tuple and isinstance(raw, list) and all(isinstance(entry, str) for entry in raw):
        return tuple(raw)
    if origin is not None and isinstance(raw, dict) and all(isinstance(entry, str) for entry in raw.values()):
        return dict(raw)
    raise Wrong(f"must be {_wanted(hint)}, not {_found(hint, raw)}{_instead(key)}")


def _wanted(hint: Any) -> str:
    if get_origin(hint) is tuple:
        return "a list of text"
    if get_origin(hint) is Literal:
        return "text"
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    return names.get(hint, "a table of text")


def _found(hint: Any, raw: Any) -> str:
    if isinstance(raw, float) and (hint is int or not math.isfinite(raw)):
        return "a fraction" if math.isfinite(raw) else "nan or inf"
    if isinstance(raw, list | dict) and get_origin(hint) in (tuple, type({}), Mapping):
        return "one with other things in it" if _kind(raw) in _wanted(hint) else _kind(raw)
    return _kind(raw)


def _read(key: Key, hint: Any, text: Text) -> Any:
    """Text of a variable or a flag."""
    origin = get_origin(hint)
    plain = str(text).strip()
    if hint is str or origin is Literal:
        return plain
    if hint is bool:
        if plain.lower() in _TRUE | _FALSE:
            return plain.lower() in _TRUE
        raise Wrong("must be true or false")
    if hint is int or hint is float:
        try:
            number = hint(plain)
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            return number
        raise Wrong(f"must be {_wanted(hint)}, such as {key.default if not key.required else 1}")
    if plain.startswith(("[", "{")):
        try:
            return _check(key, hint, msgspec.json.decode(plain))
        except msgspec.DecodeError:
            raise Wrong("begins like JSON but is not valid JSON") from None
    entries = [entry.strip() for entry in plain.split(",") if entry.strip()]
    if origin is tuple:
        return tuple(entries)
    pairs = [entry.partition("=") for entry in entries]
    if not all(separator and name.strip() for name, separator, _ in pairs):
        raise Wrong('must be pairs "name=value,name=value" or a JSON object')
    return {name.strip(): value.strip() for name, _, value in pairs}
