"""config/lines.py: on which line of a TOML text each key is."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tidegate.config.lines import Path, locate

TEXT = '''\
# a comment with [brackets] and a = sign
top = 1

[server]            # 4
host = "a # b"
"quoted key" = 'x'
dotted.inner = 2

[[upstream]]        # 9
name = "one"
keys = [            # 11
  "a",  # ]
  "b",
]
text = """
not = a key
[nor.a.table]
"""
after = true        # 19
inline = { a = 1, "b c" = [ { d = 2 } ] }

[[upstream]]        # 22
name = "two"
[upstream.headers]  # 24
X = "y"
[[auth.key]]        # 26
id = 2026-01-01T00:00:00Z
[[auth.key]]        # 28
id = \'\'\'it's
here\'\'\'
last = 1            # 31
'''


def test_every_kind_of_key_is_found() -> None:
    lines = locate(TEXT)
    expected: dict[Path, int] = {
        ("top",): 2,
        ("server",): 4,
        ("server", "host"): 5,
        ("server", "quoted key"): 6,
        ("server", "dotted"): 7,
        ("server", "dotted", "inner"): 7,
        ("upstream",): 9,
        ("upstream", 0): 9,
        ("upstream", 0, "name"): 10,
        ("upstream", 0, "keys"): 11,
        ("upstream", 0, "keys", 0): 12,
        ("upstream", 0, "keys", 1): 13,
        ("upstream", 0, "text"): 15,
        ("upstream", 0, "after"): 19,
        ("upstream", 0, "inline"): 20,
        ("upstream", 0, "inline", "a"): 20,
        ("upstream", 0, "inline", "b c"): 20,
        ("upstream", 0, "inline", "b c", 0): 20,
        ("upstream", 0, "inline", "b c", 0, "d"): 20,
        ("upstream", 1): 22,
        ("upstream", 1, "name"): 23,
        ("upstream", 1, "headers"): 24,
        ("upstream", 1, "headers", "X"): 25,
        ("auth", "key"): 26,
        ("auth", "key", 0): 26,
        ("auth", "key", 0, "id"): 27,
        ("auth", "key", 1): 28,
        ("auth", "key", 1, "id"): 29,
        ("auth", "key", 1, "last"): 31,
    }
    assert lines == expected


def test_the_text_above_is_valid() -> None:
    assert tomllib.loads(TEXT)["upstream"][1]["headers"] == {"X": "y"}


def test_windows_line_ends_count_once() -> None:
    assert locate("a = 1\r\n\r\nb = 2\r\n") == {("a",): 1, ("b",): 3}


def test_an_empty_text_has_no_keys() -> None:
    assert locate("") == {}
    assert locate("# only\n\n  # comments") == {}


def test_strings_may_end_with_their_own_quotes() -> None:
    text = 'a = """x"""""\nb = """"""\nc = ""\nd = \'\'\'x\'\'\'\'\'\ne = "\\"" # "\nf = 1'
    assert tomllib.loads(text)["a"] == 'x""'
    assert locate(text) == {(key,): line for line, key in enumerate("abcdef", 1)}


def _paths(tree: Any, path: Path = ()) -> Iterator[Path]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from _paths(value, (*path, key))


_LEAVES = st.one_of(st.integers(-9, 9), st.booleans(), st.floats(allow_nan=False, allow_infinity=False))
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
_VALUES = st.recursive(
    _LEAVES | _TEXTS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3)
)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[\n" + ",\n".join(map(_toml, value)) + "]"
    text = msgspec.json.encode(value).decode()
    return text.replace("\x7f", "\\u007f")


@given(st.dictionaries(_TEXTS, _VALUES, max_size=5))
def test_exactly_the_keys_that_tomllib_finds_are_located(tree: dict[str, Any]) -> None:
    text = "".join(f"{_toml(key)} = {_toml(value)}\n" for key, value in tree.items())
    assert tomllib.loads(text).keys() == tree.keys()
    lines = locate(text)
    assert set(lines) == set(_paths(tree))
    assert list(lines.values()) == sorted(lines.values())
