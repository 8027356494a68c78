"""config/lines.py: on which line of a TOML text each key is."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.config.toml import TEXTS, VALUES, toml
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


@given(st.dictionaries(TEXTS, VALUES, max_size=5))
def test_exactly_the_keys_that_tomllib_finds_are_located(tree: dict[str, Any]) -> None:
    text = "".join(f"{toml(key)} = {toml(value)}\n" for key, value in tree.items())
    assert tomllib.loads(text).keys() == tree.keys()
    lines = locate(text)
    assert set(lines) == set(_paths(tree))
    assert list(lines.values()) == sorted(lines.values())
