"""How profane a sentence is, word by word, so that the word that makes it so never leaves.

The model is a bag of words: each known word adds to a sum and to a length, and the score is a function of their
quotient. So a sentence's score after each word costs one look-up and five exponentials, and equals that of the package
that the weights come from for the same words (``scripts/weights_of_profanity.py``).

It knows words, not meaning: it is a score of profanity, and nothing else. A sentence ends behind ``.``, ``!``, ``?``,
their wide forms and line ends; a word is held until its end, and nothing else is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import blake2b
from math import exp, sqrt
from typing import Final

from tidegate.safety.rules import Action, Hit
from tidegate.safety.weights import Weights

__all__ = ["RULE", "ProfanityFilter", "ProfanityModel", "SentenceScore"]

RULE: Final = "profanity"
"""Its name in records."""

_TOKENS: Final = re.compile(r"(?P<word>\w+)|[^\w.!?\n。！？]+|[.!?\n。！？]+")
_ENDS: Final = frozenset(".!?\n。！？")


class ProfanityModel:
    """The weights, ready.

    :param weights: per word its inverse document frequency and a coefficient for each of the header's ``folds``,
        which are ``[intercept, a, b]``: a linear score, and the sigmoid that makes a probability of it.
    """

    __slots__ = ("folds", "longest", "words")

    def __init__(self, weights: Weights) -> None:
        self.folds: tuple[tuple[float, float, float], ...] = tuple(
            (intercept, a, b) for intercept, a, b in weights.header["folds"]
        )
        width = len(self.folds) + 1
        numbers = weights.numbers
        self.words: dict[str, tuple[float, ...]] = {}
        """By word: its frequency weight, and the products of it and each coefficient."""
        for row, word in enumerate(weights.names):
            idf, *coefficients = numbers[row * width : (row + 1) * width]
            self.words[word] = (idf, *(idf * each for each in coefficients))
        self.longest = max(map(len, self.words))
        """Characters of the longest word that it knows."""

    def score(self, text: str) -> float:
        """The probability for a whole text as one sentence."""
        score = SentenceScore(self)
        for word in re.findall(r"\w+", text.lower()):
            score.add(word)
        return score.probability


class SentenceScore:
    """One sentence in the making."""

    __slots__ = ("_counts", "_model", "_square", "_sums", "probability")

    def __init__(self, model: ProfanityModel) -> None:
        self._model = model
        self.clear()

    def clear(self) -> None:
        """The next sentence."""
        self._counts: dict[str, int] = {}
        self._square = 0.0
        self._sums = [0.0] * len(self._model.folds)
        self.probability = self._probability(0.0)
        """That the words so far are profane."""

    def add(self, word: str) -> bool:
        """One word, in lower case; whether it is one that the model knows."""
        row = self._model.words.get(word)
        if row is None:
            return False
        count = self._counts.get(word, 0)
        self._counts[word] = count + 1
        self._square += row[0] * row[0] * (2 * count + 1)
        sums = self._sums
        for fold in range(len(sums)):
            sums[fold] += row[fold + 1]
        self.probability = self._probability(1.0 / sqrt(self._square))
        return True

    def _probability(self, scale: float) -> float:
        folds = self._model.folds
        total = 0.0
        for (intercept, a, b), value in zip(folds, self._sums, strict=True):
            total += 1.0 / (1.0 + exp(a * (value * scale + intercept) + b))
        return total / len(folds)


class ProfanityFilter:
    """One text, as :class:`~tidegate.safety.stream.TextFilter`: ``feed`` what arrives, send what it returns, ``close``.

    :param threshold: the score from which on a word is a hit.
    :param action: ``block`` ends the text before the word, ``tag`` tells of the first one of each sentence.
    :param key: for the digests in records.
    """

    __slots__ = (
        *("_action", "_key", "_model", "_on_hit", "_position", "_score", "_tagged", "_threshold", "_word"),
        *("blocked", "closed"),
    )

    def __init__(
        self,
        model: ProfanityModel,
        *,
        threshold: float,
        action: Action,
        key: bytes,
        on_hit: Callable[[Hit], None] | None = None,
    ) -> None:
        self._model = model
        self._threshold = threshold
        self._action = action
        self._key = key
        self._on_hit = on_hit
        self._score = SentenceScore(model)
        self._word = ""
        self._position = 0
        self._tagged = False
        self.blocked: Hit | None = None
        """The word that has ended the text: nothing leaves any more."""
        self.closed = False

    @property
    def held(self) -> int:
        """Characters that wait: of one word, and no more than the longest known word has and one."""
        return len(self._word) if len(self._word) <= self._model.longest else 0

    def feed(self, chunk: str) -> str:
        """What can leave now, of this chunk and of what was held."""
        if self.closed:
            raise ValueError("The text has been closed.")
        if self.blocked is not None:
            return ""
        out: list[str] = []
        for match in _TOKENS.finditer(chunk):
            token = match[0]
            first = token[0]
            if match.lastgroup == "word":
                out.append(self._add(token))
                continue
            out.append(self._end_word())
            if self._over():
                break
            if first in _ENDS:
                self._score.clear()
                self._tagged = False
            self._position += len(token)
            out.append(token)
        return "".join(out)

    def _over(self) -> bool:
        return self.blocked is not None

    def close(self) -> str:
        """The text has ended: the rest of it."""
        if self.closed:
            return ""
        self.closed = True
        return "" if self.blocked is not None else self._end_word()

    def _add(self, token: str) -> str:
        """More of a word. One that is longer than any known word passes as it comes."""
        longest = self._model.longest
        before = len(self._word)
        self._word = (self._word + token)[: longest + 1]
        if before + len(token) <= longest:
            return ""
        self._position += len(token) + (0 if before > longest else before)
        return token if before > longest else self._word[:before] + token

    def _end_word(self) -> str:
        word, self._word = self._word, ""
        size = len(word)
        if not size or size > self._model.longest:
            return ""
        start = self._position
        self._position += size
        if self._score.add(word.lower()) and self._score.probability >= self._threshold and not self._tagged:
            digest = blake2b(word.encode("utf-8", "replace"), key=self._key, digest_size=8).hexdigest()
            hit = Hit(RULE, self._action, start, size, digest)
            self._tagged = True
            if self._action is Action.BLOCK:
                self.blocked = hit
                word = ""
            if self._on_hit is not None:
                self._on_hit(hit)
        return word
