"""How much a prompt reads like one that means to overrule its instructions.

A logistic regression over words and pairs of words, of which each counts once: the sum of their weights over the square
root of how many are known. A long text is looked at in windows, so that one line in a document is not drowned by the
rest of it. What it knows is its training sets (``data/README.md``); how well that carries over to others is in the
documentation, and is why ``observe`` is the way to begin.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator
from itertools import pairwise
from math import exp, sqrt
from typing import Any, Final

from tidegate.safety.weights import Weights

__all__ = ["MAX_CHARS", "WINDOW", "InjectionModel", "texts_of"]

WINDOW: Final = 96
"""Words that are scored together; the prompts of the training sets have 20 on average."""

STEP: Final = 48
"""Words from the beginning of one window to the next."""

MAX_CHARS: Final = 200_000
"""Characters of one text that are looked at: the first and the last half of them."""

_PIECE: Final = 8
"""Windows between two chances for others to run: a millisecond."""

_WORDS: Final = re.compile(r"\w+")


class InjectionModel:
    """The weights, ready."""

    __slots__ = ("_intercept", "_weights")

    def __init__(self, weights: Weights) -> None:
        self._intercept = float(weights.header["intercept"])
        self._weights: dict[str, float] = dict(zip(weights.names, weights.numbers, strict=True))

    def score(self, text: str) -> float:
        """The probability for one text, its highest window's."""
        return max(self.windows(text), default=0.0)

    def windows(self, text: str) -> Iterator[float]:
        """The probability for each window."""
        if len(text) > MAX_CHARS:
            text = f"{text[: MAX_CHARS // 2]} {text[-MAX_CHARS // 2 :]}"
        words = _WORDS.findall(text.lower())
        at = 0
        while at < len(words):
            yield self._probability(words[at : at + WINDOW])
            if at + WINDOW >= len(words):
                return
            at += STEP

    def _probability(self, words: list[str]) -> float:
        known = self._weights
        features = set(words)
        features.update([f"{one} {two}" for one, two in pairwise(words)])
        found = [known[feature] for feature in features if feature in known]
        scale = 1.0 / sqrt(len(found)) if found else 0.0
        return 1.0 / (1.0 + exp(-(sum(found) * scale + self._intercept)))

    def highest(self, texts: Iterable[str]) -> Generator[None, None, float]:
        """The highest score of several texts; yields wherever others may run."""
        best, count = 0.0, 0
        for text in texts:
            for score in self.windows(text):
                best = max(best, score)
                count += 1
                if count % _PIECE == 0:
                    yield
        return best


def texts_of(messages: Any) -> Iterator[str]:
    """What others have put into a prompt: everything that user and tool messages say. What the application itself says
    (``system``, ``developer``) and what a model has said is not suspected.
    """
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and message.get("role") in ("user", "tool", "function"):
            yield from _strings(message.get("content"))


def _strings(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                yield part["text"]
