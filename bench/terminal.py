"""``python -m bench.terminal``: CPU of drawing a 50,000-character answer that comes at 1,000 tokens a second.

Drawn every 50 ms, as ``tidegate chat`` does; the time is what drawing takes, without the pauses. Falling behind would
be more than the time in which the answer comes.
"""

from __future__ import annotations

import time

from tidegate.simulator.texts import ANSWERS, tokens_of
from tidegate.terminal.view import AnswerView

TOKENS_PER_SECOND = 1000
FRAME = 0.05
KINDS = {
    "markdown": ANSWERS["long"],
    "one listing": "```python\n" + "    x = height(low, high)  # in metres\n" * 3000,
    "one paragraph": "The sea comes up the *harbour* steps, twice. " * 3000,
}


def drawn(text: str) -> tuple[float, float, float]:
    """Seconds of CPU, seconds in which the text comes, and the longest frame."""
    tokens = tokens_of(text)
    view = AnswerView(lambda _: None, 80, 24)
    a_frame = int(TOKENS_PER_SECOND * FRAME)
    spent = longest = 0.0
    for at in range(0, len(tokens), a_frame):
        begun = time.process_time()
        for token in tokens[at : at + a_frame]:
            view.feed(token)
        view.paint()
        took = time.process_time() - begun
        spent, longest = spent + took, max(longest, took)
    view.close()
    return spent, len(tokens) / TOKENS_PER_SECOND, longest


def main() -> None:
    """Print a table."""
    drawn(ANSWERS["markdown"])
    for name, text in KINDS.items():
        for size in (12_500, 25_000, 50_000):
            spent, coming, longest = drawn((text * (size // len(text) + 1))[:size])
            print(
                f"{name:14} {size:6} characters: {spent:5.2f} s of CPU for {coming:5.1f} s of stream"
                f" ({spent / size * 1e6:5.1f} us a character, longest frame {longest * 1e3:.0f} ms)"
            )


if __name__ == "__main__":
    main()
