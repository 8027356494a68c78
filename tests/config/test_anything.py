"""config/load.py under any input: options or a ConfigError, never another exception."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.config.toml import TEXTS, VALUES, toml
from tidegate.config import load
from tidegate.config.schema import keys_of
from tidegate.config.sources import variables
from tidegate.errors import ConfigError
from tidegate.server.options import GatewayOptions

_SECTIONS = keys_of(GatewayOptions)
_KEYS = sorted({name for section in _SECTIONS.values() if section.table for name in keys_of(section.table)})
_TABLES = st.dictionaries(st.sampled_from(_KEYS) | TEXTS, VALUES, max_size=4)


def loads(text: bytes, environ: dict[str, str]) -> None:
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        Path(file.name).write_bytes(text)
        try:
            options = load(file.name, environ)
        except ConfigError as error:
            lines = error.message.split("\n")
        else:
            lines = ["loaded"]
            assert isinstance(options, GatewayOptions)
    assert all(line and line.isprintable() for line in lines)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(list(_SECTIONS)) | TEXTS, _TABLES | st.lists(_TABLES, max_size=3) | VALUES))
def test_any_tree_of_values(tree: dict[str, Any]) -> None:
    loads("".join(f"{toml(key)} = {toml(value)}\n" for key, value in tree.items()).encode(), {})


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40) | st.text("[]{}=.#\"'\n a1,", max_size=40).map(str.encode))
def test_any_bytes(text: bytes) -> None:
    loads(text, {})


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from(variables()) | st.text("TIDEGA_0", max_size=6).map("TIDEGATE_".__add__), st.text())
)
def test_any_environment(environ: dict[str, str]) -> None:
    loads(b"", environ)
