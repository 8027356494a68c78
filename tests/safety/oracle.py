"""What a filter must do, said a second and a third time without any of its code.

:func:`expected` follows the contract literally, start by start, over Brzozowski derivatives of trees that it never
parsed; it knows the hold cap and early replacement. :func:`by_fullmatch` asks ``re.fullmatch`` about every substring,
and knows neither.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

__all__ = [
    "ALL",
    "NEVER",
    "Cat",
    "Node",
    "Or",
    "OracleRule",
    "Set",
    "Times",
    "by_fullmatch",
    "derive",
    "expected",
    "expected_until",
    "nullable",
    "render",
]

IGNORED = "\u200b\u00ad\ufe0f"
LOOK_ALIKE = {"\uff10": "0", "\uff11": "1", "\uff21": "A", "\uff41": "a", "\uff20": "@", "\u2010": "-", "а": "a"}
MOST_IGNORED = 8


@dataclass(frozen=True)
class Set:
    members: frozenset[str]
    negated: bool = False

    def has(self, char: str) -> bool:
        return (char in self.members) != self.negated


@dataclass(frozen=True)
class Cat:
    items: tuple[Node, ...]


@dataclass(frozen=True)
class Or:
    items: tuple[Node, ...]


@dataclass(frozen=True)
class Times:
    item: Node
    least: int
    most: int | None


Node = Set | Cat | Or | Times

NEVER = Or(())
ALL = Cat(())


def cat(items: Sequence[Node]) -> Node:
    flat: list[Node] = []
    for item in items:
        if item == NEVER:
            return NEVER
        flat.extend(item.items if isinstance(item, Cat) else (item,))
    return flat[0] if len(flat) == 1 else Cat(tuple(flat))


def either(items: Sequence[Node]) -> Node:
    flat: dict[Node, None] = {}
    for item in items:
        flat.update(dict.fromkeys(item.items if isinstance(item, Or) else (item,)))
    # In one order, whichever they came in: equal languages are then mostly equal trees, and there are few of them.
    return next(iter(flat)) if len(flat) == 1 else Or(tuple(sorted(flat, key=hash)))


@cache
def nullable(node: Node) -> bool:
    if isinstance(node, Set):
        return False
    if isinstance(node, Cat):
        return all(map(nullable, node.items))
    if isinstance(node, Or):
        return any(map(nullable, node.items))
    return node.least == 0 or nullable(node.item)


@cache
def derive(node: Node, char: str) -> Node:
    """What may follow ``char``. Every set has members, so :data:`NEVER` is the only tree that nothing matches."""
    if isinstance(node, Set):
        return ALL if node.has(char) else NEVER
    if isinstance(node, Or):
        return either([derive(item, char) for item in node.items])
    if isinstance(node, Cat):
        ways = []
        for at, item in enumerate(node.items):
            ways.append(cat([derive(item, char), *node.items[at + 1 :]]))
            if not nullable(item):
                break
        return either(ways) if ways else NEVER
    if node.most == 0:
        return NEVER
    rest = Times(node.item, max(node.least - 1, 0), None if node.most is None else node.most - 1)
    return cat([derive(node.item, char), rest if rest.most != 0 else ALL])


@dataclass(frozen=True)
class OracleRule:
    """A rule as the contract has it."""

    core: Node
    left: str = ""
    right: str = ""
    validate: Callable[[str], bool] | None = None
    early: bool = True
    """Its replacement may leave before its match has ended."""


def visible(text: str) -> list[tuple[int, str]]:
    """Position and folded character of everything that counts."""
    found = []
    run = 0
    for at, char in enumerate(text):
        if char in IGNORED and run < MOST_IGNORED:
            run += 1
            continue
        run = 0
        found.append((at, LOOK_ALIKE.get(char, char)))
    return found


def expected(rules: Sequence[OracleRule], text: str, cap: int) -> list[tuple[int, int, int]]:
    """Every match as (start, end, rule), in order."""
    return expected_until(rules, text, cap, closed=False)[0]


def expected_until(
    rules: Sequence[OracleRule], text: str, cap: int, *, closed: bool
) -> tuple[list[tuple[int, int, int]], int | None]:
    """Every match, and where the text ends because of something that could still match and is longer than the cap.

    :param closed: it ends there, rather than letting that pass.
    """
    seen = visible(text)
    matches = []
    at = 0
    while at < len(seen):
        found, early, outgrown = match_from(rules, seen, at, cap)
        if found is not None and (early or not (closed and outgrown)):
            last, rule = found
            matches.append((seen[at][0], seen[last][0] + 1, rule))
            if closed and outgrown:
                return matches, seen[last][0] + 1
            at = last + 1
        elif closed and outgrown:
            return matches, seen[at][0]
        else:
            at += 1
    return matches, None


def match_from(
    rules: Sequence[OracleRule], seen: list[tuple[int, str]], first: int, cap: int
) -> tuple[tuple[int, int] | None, bool, bool]:
    """The match that begins there, whether it was certain before it ended, and whether the cap cut it short."""
    before = seen[first - 1][1] if first else None
    alive: dict[int, Node] = {
        number: rule.core for number, rule in enumerate(rules) if before is None or before not in rule.left
    }
    anchor = seen[first][0]
    ends: list[tuple[int, list[int]]] = []
    early = outgrown = False
    for at in range(first, len(seen)):
        position, char = seen[at]
        if position + 1 - anchor > cap:
            outgrown = any(derive(node, char) != NEVER for node in alive.values())
            break
        alive = {number: rest for number, node in alive.items() if (rest := derive(node, char)) != NEVER}
        if not alive:
            break
        if ends and not early:
            last, numbers = ends[-1]
            winner = numbers[0]
            if set(alive) == {winner} and rules[winner].early and rules[winner].validate is None:
                early, anchor = True, seen[last][0] + 1
        after = seen[at + 1][1] if at + 1 < len(seen) else None
        here = [
            n for n, node in sorted(alive.items()) if nullable(node) and (after is None or after not in rules[n].right)
        ]
        if here:
            ends.append((at, here))
            if early:
                anchor = position + 1
    for last, numbers in reversed(ends):
        value = "".join(char for _, char in seen[first : last + 1] if char not in IGNORED)
        for number in numbers:
            validate = rules[number].validate
            if validate is None or validate(value):
                return (last, number), early, outgrown
    return None, early, outgrown


def render(node: Node) -> str:
    """The tree as an expression."""
    if isinstance(node, Set):
        inside = "".join("\\" + char if char in "-]^\\" else char for char in sorted(node.members))
        if len(node.members) == 1 and not node.negated:
            return re.escape(inside.removeprefix("\\"))
        return f"[{'^' * node.negated}{inside}]"
    if isinstance(node, Cat):
        return "".join(render(item) for item in node.items)
    if isinstance(node, Or):
        return "(?:" + "|".join(render(item) for item in node.items) + ")"
    bounds = {(0, None): "*", (1, None): "+", (0, 1): "?"}
    most = "" if node.most is None else str(node.most)
    return f"(?:{render(node.item)}){bounds.get((node.least, node.most)) or f'{{{node.least},{most}}}'}"


def by_fullmatch(rules: Sequence[OracleRule], text: str) -> list[tuple[int, int, int]]:
    """Every match of a text of plain characters, found by asking about every substring."""
    patterns = [re.compile(render(rule.core), re.DOTALL) for rule in rules]
    matches = []
    at = 0
    while at < len(text):
        found = None
        for end in range(len(text), at, -1):
            for number, rule in enumerate(rules):
                if (
                    (at == 0 or text[at - 1] not in rule.left)
                    and (end == len(text) or text[end] not in rule.right)
                    and patterns[number].fullmatch(text, at, end)
                    and (rule.validate is None or rule.validate(text[at:end]))
                ):
                    found = (at, end, number)
                    break
            if found:
                break
        if found:
            matches.append(found)
        at = found[1] if found else at + 1
    return matches
