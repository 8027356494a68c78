"""``python -m bench.safety``: the report of the sanitizer, printed. About a minute."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bench.safety.detection import ordinary, people, secrets
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


def main(arguments: Sequence[str]) -> int:
    """Everything, or the parts named: speed, adversaries, people, secrets, ordinary."""
    parts = set(arguments) or {"speed", "adversaries", "people", "secrets", "ordinary"}
    if "speed" in parts:
        table("Cost, every rule that comes along (CPU)", speed())
    if "adversaries" in parts:
        table("The worst of what is meant to be slow", adversaries())
    if "people" in parts:
        table("Found of people", people())
    if "secrets" in parts:
        table("Found of keys", [secrets()])
    if "ordinary" in parts:
        table("Found in ordinary sentences", ordinary())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
