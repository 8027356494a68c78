"""What may stand in the configuration, read from the rooms' option classes.

A field that is an options class is a table; a tuple of them is a list of tables, under the singular
(``upstreams`` is ``[[upstream]]``, ``keys`` is ``[[auth.key]]``); everything else is a value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

__all__ = ["Key", "keys_of", "title"]


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a table."""

    name: str
    """In the file."""
    attribute: str
    hint: Any
    default: Any
    """``MISSING`` when the key must be given."""
    table: type | None = None
    """The options class of a table or of a list of tables."""
    many: bool = False
    """A list of tables."""

    @property
    def required(self) -> bool:
        return self.default is MISSING


@cache
def keys_of(options: type) -> Mapping[str, Key]:
    """The keys of an options class, by their names in the file."""
    hints = get_type_hints(options)
    return {key.name: key for key in (_key(entry, hints[entry.name]) for entry in fields(options))}


def _key(entry: Field[Any], hint: Any) -> Key:
    default = entry.default if entry.default_factory is MISSING else entry.default_factory()
    if is_dataclass(hint):
        assert isinstance(hint, type)
        return Key(entry.name, entry.name, hint, default, hint)
    inner = get_args(hint)[0] if get_origin(hint) is tuple else None
    if isinstance(inner, type) and is_dataclass(inner):
        return Key(entry.name.removesuffix("s"), entry.name, hint, default, inner, many=True)
    return Key(entry.name, entry.name, hint, default)


def title(path: tuple[str | int, ...]) -> str:
    """How a table is written in the file: ``[stream]``, ``[[upstream]]``, ``[[auth.key]]``."""
    name = ".".join(part for part in path if isinstance(part, str))
    return f"[[{name}]]" if path and isinstance(path[-1], int) else f"[{name}]"
