"""Texts that an expression matches, made from the standard library's own reading of it."""

from __future__ import annotations

import importlib
import re
import string
from random import Random
from typing import Any

parser = importlib.import_module("re._parser")

__all__ = ["instance"]

LETTERS = string.ascii_letters + string.digits + "_-+/=.~"


def instance(core: str, seed: int) -> str:
    """A random text that ``re.fullmatch(core, …)`` takes; letters and digits wherever they may be."""
    random = Random(seed)
    tree = parser.parse(core)
    return "".join(_of(node, random, bool(tree.state.flags & re.IGNORECASE)) for node in tree)


def _of(node: tuple[Any, Any], random: Random, ignore_case: bool) -> str:
    kind, value = node
    name = str(kind)
    if name == "LITERAL":
        return chr(value)
    if name == "ANY":
        return random.choice(LETTERS)
    if name == "NOT_LITERAL":
        return "x" if value != ord("x") else "y"
    if name == "IN":
        members = [char for char in LETTERS if _has(value, char)] or [
            chr(code) for code in range(32, 127) if _has(value, chr(code))
        ]
        return random.choice(members)
    if name in ("MAX_REPEAT", "MIN_REPEAT"):
        least, most, inner = value
        count = random.randint(least, min(int(most), least + 3))
        return "".join(_of(each, random, ignore_case) for _ in range(count) for each in inner)
    if name == "SUBPATTERN":
        return "".join(_of(each, random, ignore_case) for each in value[3])
    if name == "BRANCH":
        return "".join(_of(each, random, ignore_case) for each in random.choice(value[1]))
    raise AssertionError(name)


def _has(items: list[tuple[Any, Any]], char: str) -> bool:
    found = False
    for kind, value in items:
        name = str(kind)
        if name == "LITERAL":
            found = found or ord(char) == value
        elif name == "RANGE":
            found = found or value[0] <= ord(char) <= value[1]
        elif name == "CATEGORY":
            sign = {"CATEGORY_WORD": r"\w", "CATEGORY_DIGIT": r"\d", "CATEGORY_SPACE": r"\s"}
            sign |= {"CATEGORY_NOT_SPACE": r"\S", "CATEGORY_NOT_DIGIT": r"\D", "CATEGORY_NOT_WORD": r"\W"}
            found = found or re.match(sign[str(value)], char) is not None
    negated = any(str(kind) == "NEGATE" for kind, _ in items)
    return found is not negated
