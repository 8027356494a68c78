"""What is looked for, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

__all__ = ["Action", "Hit", "Replacement", "Rule", "literal", "words"]

KEPT: Final = 4
"""Characters that a mask leaves."""

_SPECIAL: Final = frozenset(r".^$*+?{}[]\|()")


class Action(StrEnum):
    """What happens to a match; each is stricter than the one before."""

    TAG = "tag"
    """It passes, and is recorded."""
    REDACT = "redact"
    """Its replacement leaves in its place."""
    BLOCK = "block"
    """Nothing of it leaves, and nothing after it."""


class Replacement(StrEnum):
    """What leaves in place of a match."""

    LABEL = "label"
    """``[EMAIL]``. The only one that can leave before the match has ended."""
    MASK = "mask"
    """Asterisks for its letters and digits but the last four: ``****-****-****-4242``."""
    HASH = "hash"
    """``[EMAIL:5d41402abc4b2a76]``: equal values get equal texts within one answer, and different ones in the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing to look for.

    A match is a text of the regular language ``core`` whose neighbours are not in ``left`` and ``right``, and that
    ``validate`` accepts. Of several matches the leftmost counts, of those the longest, then the earlier rule.

    A core that goes on without end, and that nothing may follow (a long key, a PEM block), wants no ``right``: its
    replacement then leaves at once, and its rest is swallowed without being held.
    """

    name: str
    """In records, metrics and the configuration: lower case with dashes."""
    core: str
    """A regular expression (:mod:`tidegate.safety.syntax`)."""
    left: str = ""
    """The inside of a set, ``\\w@``: a character before the match that forbids it."""
    right: str = ""
    """The same for the character behind it."""
    ignore_case: bool = False
    validate: Callable[[str], bool] | None = None
    """Told the match with look-alikes folded and without what is invisible."""
    action: Action = Action.REDACT
    replacement: Replacement = Replacement.LABEL
    label: str = ""
    """``EMAIL`` for ``[EMAIL]``; made of the name when empty."""

    @property
    def shown(self) -> str:
        """The text of the label, in its brackets."""
        return f"[{self.label or self.name.upper().replace('-', '_')}]"


@dataclass(frozen=True, slots=True)
class Hit:
    """One match, without its value. ``position`` and ``length`` are characters of the text that was fed."""

    rule: str
    action: Action
    position: int
    length: int
    digest: str
    """BLAKE2b of the value under the stream's key, 16 hexadecimal digits: equal for equal values of one answer."""


def literal(name: str, text: str, **options: Any) -> Rule:
    """A rule for one text, wherever it stands."""
    return Rule(name=name, core=_escaped(text), **options)


def words(name: str, texts: Iterable[str], **options: Any) -> Rule:
    """A rule for any of several words or phrases, in either case, that are not parts of longer words."""
    tree: dict[str, Any] = {}
    for text in texts:
        node = tree
        for char in text:
            node = node.setdefault(char, {})
        node[""] = {}
    return Rule(name=name, core=_alternatives(tree), left=r"\w", right=r"\w", ignore_case=True, **options)


def _alternatives(tree: dict[str, Any]) -> str:
    """The tree as an expression: words that begin alike share their beginning, which keeps the automaton small."""
    stem = ""
    while len(tree) == 1 and "" not in tree:
        ((char, tree),) = tree.items()
        stem += r"\s+" if char == " " else _escaped(char)
    branches = [
        _escaped(char) + _alternatives(rest) if char != " " else r"\s+" + _alternatives(rest)
        for char, rest in tree.items()
        if char
    ]
    if not branches:
        return stem
    return f"{stem}(?:{'|'.join(branches)}){'?' if '' in tree else ''}"


def _escaped(text: str) -> str:
    return "".join(f"\\{char}" if char in _SPECIAL else char for char in text)
