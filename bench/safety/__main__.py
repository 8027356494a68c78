"""``python -m bench.safety``: the report of the sanitizer, printed. About two minutes.

``--chunkings 1000000`` is what a release runs; ``python -m bench.safety.leaks`` asks the running gateway.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bench.safety.detection import ordinary, people, phones, secrets
from bench.safety.proof import chunkings, witnesses
from bench.safety.sets import literals, published
from bench.safety.speed import adversaries, speed


def table(title: str, rows: Sequence[dict[str, object]]) -> None:
    """Rows as lines of names and values."""
    print(f"\n{title}")
    for row in rows:
        print(
            "  "
            + "  ".join(
                f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()
            )
        )


PARTS = ("speed", "adversaries", "people", "phones", "secrets", "published", "literals", "ordinary", "proof")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 when a difference was found, or a state that was held for nothing."""
    parser = argparse.ArgumentParser(prog="python -m bench.safety")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--chunkings", type=int, default=100_000, help="random chunkings (default 100,000)")
    parser.add_argument("--states", type=int, default=10_000, help="held states (default 10,000)")
    options = parser.parse_args(arguments)
    if unknown := [part for part in options.parts if part not in PARTS]:
        parser.error(f"no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    parts = set(options.parts or PARTS)
    if "speed" in parts:
        table("Cost, every rule that comes along (CPU)", speed())
    if "adversaries" in parts:
        table("The worst of what is meant to be slow", adversaries())
    if "people" in parts:
        table("Found of people", people())
    if "phones" in parts:
        table("Found of national telephone numbers, all and the regions with the least", phones())
    if "secrets" in parts:
        table("Found of keys", [secrets()])
    if "published" in parts:
        table("Found in the synthetic set of presidio-research", published())
    if "literals" in parts:
        table("Found of the examples of gitleaks' own tests", [literals()])
    if "ordinary" in parts:
        table("Found in ordinary sentences", ordinary())
    if "proof" in parts:
        kept = [witnesses(options.states), chunkings(options.chunkings)]
        table("What is promised, by the oracle", kept)
        return int(any(row.get("differences") or row.get("without a witness") for row in kept))
    return 0


if __name__ == "__main__":
    sys.exit(main())
