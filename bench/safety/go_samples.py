"""What a rule of gitleaks, in Go, gives as its own tests: texts that it must find, and texts that it must not.

Only what stands there letter by letter is taken. What is made at random (``secrets.NewSecret``) is left out: that is
what ``secrets`` of ``detection.py`` does, by the same expressions.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Sample", "samples"]

TOKEN = re.compile(
    r"""//[^\n]*|/\*.*?\*/|`[^`]*`|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\]|\\.)+'|\w+|:=|\S""",
    re.S,
)
LISTS = {"tps": True, "fps": False}


class Sample(NamedTuple):
    """A text; whether the rule must find something in it."""

    rule: str
    positive: bool
    text: str


def samples(source: str) -> Iterator[Sample]:
    """Those of every rule of one file."""
    tokens = [token for token in TOKEN.findall(source) if not token.startswith(("//", "/*"))]
    rule = ""
    for at, token in enumerate(tokens[:-4]):
        following = tokens[at + 1 : at + 5]
        if token == "func":
            rule = ""
        elif token in ("ID", "RuleID") and following[0] == ":" and not rule:
            rule = _literal(following[1:2]) or ""
        elif token.lower() in LISTS and following[0] in ("=", ":=") and rule:
            for element in _list(tokens, at + 2):
                text = _literal(element)
                if text is not None:
                    yield Sample(rule, LISTS[token.lower()], text)


def _list(tokens: list[str], at: int) -> list[list[str]]:
    """The elements of ``[]string{…}``, ``append(…)`` or of one call that makes a list."""
    if tokens[at : at + 4] == ["[", "]", "string", "{"]:
        return _elements(tokens, at + 3)
    if tokens[at] == "append":
        return _elements(tokens, at + 1)
    return [tokens[at : at + 40]]


def _elements(tokens: list[str], at: int) -> list[list[str]]:
    """What stands between commas in the bracket that opens at ``at``."""
    depth, found = 0, [list[str]()]
    for token in tokens[at:]:
        depth -= token in ")]}"
        if depth == 0 and token in ")]}":
            break
        if depth == 1 and token == ",":
            found.append([])
        elif depth:
            found[-1].append(token)
        depth += token in "([{"
    return [element for element in found if element]


def _literal(tokens: list[str]) -> str | None:
    """The text that literals, joined by ``+``, or a call for a sample with a literal key, stand for."""
    if tokens and len(tokens) % 2 and all(token == "+" for token in tokens[1::2]):
        parts = [_unquoted(token) for token in tokens[::2]]
        return None if None in parts else "".join(str(part) for part in parts)
    if len(tokens) > 4 and tokens[:2] == ["utils", "."] and tokens[2].startswith("GenerateSampleSecret"):
        called = [_literal(argument) for argument in _elements(tokens, 3)]
        if len(called) == 2 and None not in called:
            return f'{called[0]}_api_token = "{called[1]}"'
    return None


def _unquoted(token: str) -> str | None:
    if token[0] == "`":
        return token[1:-1].replace("\r", "")
    return str(ast.literal_eval(token)) if token[0] == '"' else None
