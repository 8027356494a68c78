"""Any TOML value, for hypothesis, and how it is written."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

_LEAVES = st.one_of(st.integers(-9, 9), st.booleans(), st.floats(allow_nan=False, allow_infinity=False))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
VALUES = st.recursive(
    _LEAVES | TEXTS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)
)


def toml(value: Any) -> str:
    """The value as TOML, tables inline."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[\n" + ",\n".join(map(toml, value)) + "]"
    text = msgspec.json.encode(value).decode()
    return text.replace("\x7f", "\\u007f")
