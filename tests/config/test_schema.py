"""config/schema.py: what may stand in the configuration, read from the option classes."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tidegate.config.schema import keys_of, title
from tidegate.config.sources import variables
from tidegate.config.values import Text, Wrong, value_of
from tidegate.policy.options import AuthOptions
from tidegate.server.options import GatewayOptions, ServerOptions


@dataclass(frozen=True, kw_only=True)
class Inner:
    name: str
    """A name."""
    size: int = 3


@dataclass(frozen=True, kw_only=True)
class Outer:
    inner: Inner = field(default_factory=lambda: Inner(name="x"))
    things: tuple[Inner, ...] = ()
    words: tuple[str, ...] = ("a",)


def test_tables_lists_of_tables_and_values_are_told_apart() -> None:
    keys = keys_of(Outer)
    assert [(key.name, key.attribute, key.table, key.many) for key in keys.values()] == [
        ("inner", "inner", Inner, False),
        ("thing", "things", Inner, True),
        ("words", "words", None, False),
    ]
    assert keys["words"].default == ("a",)


def test_a_field_without_default_is_required() -> None:
    keys = keys_of(Inner)
    assert (keys["name"].required, keys["size"].required, keys["size"].default) == (True, False, 3)


def test_the_gateways_sections_are_those_of_the_design() -> None:
    sections = ["server", "stream", "upstream", "auth", "safety", "ledger", "price", "limits", "shared"]
    assert list(keys_of(GatewayOptions)) == sections
    assert list(keys_of(AuthOptions)) == ["anonymous", "secret", "key"]


def test_a_title_is_what_one_writes_in_the_file() -> None:
    assert [title(path) for path in (("a",), ("a", 0), ("a", "b", 1), ("a", 0, "b"))] == [
        "[a]",
        "[[a]]",
        "[[a.b]]",
        "[a.b]",
    ]


def test_every_setting_has_a_variable() -> None:
    names = variables()
    assert {"TIDEGATE_SERVER__PORT", "TIDEGATE_UPSTREAM__0__BASE_URL", "TIDEGATE_AUTH__KEY__0__HASH"} <= set(names)
    assert "TIDEGATE_LEDGER__URL" in names
    assert len(names) == len(set(names))


def test_a_number_may_be_a_word_where_there_is_one() -> None:
    key = keys_of(ServerOptions)["workers"]
    assert [value_of(key, raw) for raw in ("auto", 3, Text(" auto"), Text(" 4 "))] == ["auto", 3, "auto", 4]
    with pytest.raises(Wrong, match=r'such as 1, or "auto"$'):
        value_of(key, Text("all"))
