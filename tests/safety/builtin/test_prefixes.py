"""The keys that begin in a way of their own: as data, each with its notice."""

from __future__ import annotations

import re

import pytest

from tidegate.safety import Rule, compile, sanitize  # noqa: A004
from tidegate.safety.builtin import prefixes
from tidegate.safety.builtin.checks import entropy_of
from tidegate.safety.builtin.prefixes import PREFIXES


def test_the_notice_is_there() -> None:
    assert "MIT License. Copyright (c) 2019 Zachary Rice" in (prefixes.__doc__ or "")


def test_names_are_unique() -> None:
    names = [name for name, *_ in PREFIXES]
    assert len(set(names)) == len(names) > 90


@pytest.mark.parametrize("row", PREFIXES, ids=[name for name, *_ in PREFIXES])
def test_every_rule_compiles_and_agrees_with_re(row: tuple[str, str, str, str, float]) -> None:
    """On a text made from the expression itself."""
    name, core, left, right, least = row
    machine = compile([Rule(name=name, core=core, left=left, right=right)])
    example = instance(core)
    assert re.fullmatch(core, example), example
    assert sanitize(machine, f" {example} ", key=b"k").text != f" {example} "
    assert 0 <= least < 6
    assert entropy_of(least)("".join(map(chr, range(33, 126))))


def instance(core: str) -> str:
    """A text that the expression matches: of every set one member, of every repetition the least."""
    from tests.safety.builtin.instances import instance as made

    return made(core, seed=1)
