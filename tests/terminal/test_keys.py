"""Bytes of a terminal to keys."""

from __future__ import annotations

import pytest

from tidegate.terminal.keys import keys_of


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        ("\x1b[A\x1b[Bx", ["up", "down", "x"]),
        ("\x1bOA\x1b[5~\x1b[6~\x1b[H\x1b[F", ["up", "page-up", "page-down", "home", "end"]),
        ("\x1b", ["escape"]),
        ("ab\r\x7f", ["a", "b", "enter", "backspace"]),
        ("\x1b[1;5Cq", ["q"]),
        ("\x1bxq", ["q"]),
        ("\x1b[", []),
        ("潮", ["潮"]),
        ("", []),
    ],
)
def test_keys(data: str, keys: list[str]) -> None:
    assert keys_of(data) == keys
