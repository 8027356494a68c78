"""Random rules and texts, by a seed: the same on every machine."""

from __future__ import annotations

from random import Random

from tests.safety.oracle import Cat, Node, Or, OracleRule, Set, Times, nullable, render
from tidegate.safety import Machine, Replacement, Rule, TextFilter
from tidegate.safety.machine import AtCap

LETTERS = "ab1@- "


def tree(random: Random, depth: int) -> Node:
    """A random expression."""
    kind = random.random()
    if depth == 0 or kind < 0.35:
        members = frozenset(random.sample(LETTERS, random.choice([1, 1, 1, 2, 3])))
        return Set(members, random.random() < 0.08)
    if kind < 0.65:
        return Cat(tuple(tree(random, depth - 1) for _ in range(random.randint(2, 4))))
    if kind < 0.78:
        return Or(tuple(tree(random, depth - 1) for _ in range(random.randint(2, 3))))
    least = random.choice([0, 0, 1, 1, 2, 3])
    most = random.choice([None, None, least + random.randint(0, 2) or 1])
    return Times(tree(random, depth - 1), least, most)


def even(text: str) -> bool:
    """A validator."""
    return len(text) % 2 == 0


def one_a(text: str) -> bool:
    """Another one."""
    return text.count("a") == 1


def rules(random: Random) -> list[OracleRule]:
    """One to four rules, all of which match something and none the empty text."""
    found: list[OracleRule] = []
    for _ in range(random.choice([1, 2, 2, 3, 4])):
        core = tree(random, 3)
        while nullable(core):
            core = tree(random, 3)
        left = "".join(random.sample(LETTERS, random.choice([0, 0, 1, 2])))
        right = "".join(random.sample(LETTERS, random.choice([0, 0, 1, 2])))
        validate = random.choice([None, None, None, even, one_a])
        found.append(OracleRule(core, left, right, validate, early=random.random() < 0.8))
    return found


def in_set(members: str) -> str:
    return "".join("\\" + char if char in "-]^\\" else char for char in members)


def compiled(given: list[OracleRule], cap: int, at_cap: AtCap = "pass") -> Machine:
    """The rules under test."""
    return Machine(
        [
            Rule(
                name=f"r{number}",
                core=render(rule.core),
                left=in_set(rule.left),
                right=in_set(rule.right),
                validate=rule.validate,
                replacement=Replacement.LABEL if rule.early else Replacement.HASH,
                label=f"R{number}",
            )
            for number, rule in enumerate(given)
        ],
        hold_cap=cap,
        at_cap=at_cap,
    )


def text(random: Random, longest: int, alphabet: str) -> str:
    """A random text in which things repeat, as they do in texts."""
    parts: list[str] = []
    size = random.randint(0, longest)
    while sum(map(len, parts)) < size:
        if parts and random.random() < 0.25:
            parts.append(random.choice(parts) * random.randint(1, 3))
        else:
            parts.append("".join(random.choice(alphabet) for _ in range(random.randint(1, 4))))
    return "".join(parts)[:size]


def pieces(random: Random, whole: str) -> list[str]:
    """The text cut at random."""
    cut = []
    at = 0
    longest = random.choice([1, 2, 3, 5, 9, 40])
    while at < len(whole):
        size = random.randint(1, longest)
        cut.append(whole[at : at + size])
        at += size
    return cut


def filtered(machine: Machine, cut: list[str]) -> tuple[str, list[tuple[int, int, str]], list[str]]:
    """Output, hits as (start, end, rule), digests."""
    hits: list[tuple[int, int, str]] = []
    digests: list[str] = []

    def note(hit: object) -> None:
        from tidegate.safety import Hit

        assert isinstance(hit, Hit)
        hits.append((hit.position, hit.position + hit.length, hit.rule))
        digests.append(hit.digest)

    stream = TextFilter(machine, key=b"key", on_hit=note)
    out = "".join([stream.feed(piece) for piece in cut]) + stream.close()
    assert stream.held == 0
    return out, hits, digests
