"""What is promised, by the independent oracle of the tests, as often as one likes.

``chunkings``: random rules, texts, hold caps, both ends at the cap, random cuts: differences between what the stream
gave and what the contract says. ``witnesses``: of held states, how many have a continuation that redacts their first
character; one that has none was held for nothing.
"""

from __future__ import annotations

from random import Random
from typing import Literal

from tests.safety.oracle import OracleRule, expected_until
from tests.safety.random_rules import LETTERS, compiled, pieces, rules, text
from tests.safety.test_stream import ODD, witness

from tidegate.safety import Action, Hit, TextFilter

__all__ = ["chunkings", "witnesses"]

CAPS = (2, 3, 5, 8, 13, 1024)


def chunkings(count: int, seed: int = 1) -> dict[str, object]:
    """Differences in ``count`` random chunkings."""
    random = Random(seed)
    done = differences = ended = 0
    while done < count:
        given, cap = rules(random), random.choice(CAPS)
        at_cap: Literal["pass", "block"] = "block" if random.random() < 0.25 else "pass"
        machine = compiled(given, cap, at_cap)
        for _ in range(4):
            whole = text(random, random.choice([6, 12, 30, 80]), random.choice([LETTERS, LETTERS, LETTERS + ODD]))
            matches, until = expected_until(given, whole, cap, closed=at_cap == "block")
            wanted = [(start, end, f"r{rule}") for start, end, rule in matches]
            first: str | None = None
            for cut in [[whole], list(whole), *[pieces(random, whole) for _ in range(8)]]:
                hits: list[Hit] = []
                stream = TextFilter(machine, key=b"bench", on_hit=hits.append)
                out = "".join([stream.feed(piece) for piece in cut]) + stream.close()
                found = [
                    (hit.position, hit.position + hit.length, hit.rule) for hit in hits if hit.action is Action.REDACT
                ]
                first = out if first is None else first
                differences += found != wanted or out != first or (stream.blocked is None) != (until is None)
                done += 1
            ended += until is not None
    return {"chunkings": done, "differences": differences, "texts that outgrew the cap and ended": ended}


def witnesses(count: int, seed: int = 2) -> dict[str, object]:
    """Held states with a continuation in which their first character is part of a match."""
    random = Random(seed)
    states = without = 0
    while states < count:
        given = [OracleRule(one.core, one.left, one.right, None, early=False) for one in rules(random)]
        machine = compiled(given, 1024)
        whole = text(random, 24, LETTERS)
        stream = TextFilter(machine, key=b"bench")
        for at, char in enumerate(whole, 1):
            stream.feed(char)
            if stream.held and states < count:
                states += 1
                without += witness(machine, given, whole[:at], at - stream.held) is None
    return {"held states": states, "without a witness": without}
