"""Presidio's analyzer over HTTP (``POST /analyze``): a sentence with an entity in it is flagged.

https://microsoft.github.io/presidio/api-docs/api-docs.html: a list of ``{"entity_type", "start", "end", "score"}``.
It knows names and places, which no regular rule does. A sentence is kept back whole; its entities are not replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tidegate.relay.classifiers.http import JsonService, ServiceFailed
from tidegate.safety.classifier import ClassifierOptions, Verdict

__all__ = ["URL", "Presidio"]

URL: Final = "http://127.0.0.1:5002"
"""Where its container listens."""


class Presidio:
    """Asks the analyzer about each sentence.

    :raises ConfigError: the URL cannot be used.
    """

    def __init__(self, options: ClassifierOptions, environ: Mapping[str, str]) -> None:
        self._language = options.language
        self._entities = options.entities
        self._threshold = options.threshold
        self._service = JsonService(options, options.url or URL, "/analyze", environ)

    async def check(self, sentence: str) -> Verdict:
        """Flagged with the surest entity that it finds."""
        question: dict[str, Any] = {
            "text": sentence,
            "language": self._language,
            "score_threshold": self._threshold,
        }
        if self._entities:
            question["entities"] = list(self._entities)
        answer = await self._service.ask(question)
        if not isinstance(answer, list):
            raise ServiceFailed("its answer is no list")
        found = [self._entity(each, len(sentence)) for each in answer]
        # It may not know `score_threshold` and `entities`; they hold all the same.
        counted = [
            (score, kind)
            for score, kind in found
            if score >= self._threshold and (not self._entities or kind in self._entities)
        ]
        if not counted:
            return Verdict(False)
        score, kind = max(counted)
        return Verdict(True, kind, score)

    def _entity(self, each: Any, size: int) -> tuple[float, str]:
        if not isinstance(each, dict):
            raise ServiceFailed("its answer has something that is no entity")
        kind, score, start, end = (each.get(name) for name in ("entity_type", "score", "start", "end"))
        if not isinstance(kind, str) or not isinstance(score, int | float) or isinstance(score, bool):
            raise ServiceFailed("its answer has an entity without type or score")
        if not isinstance(start, int) or not isinstance(end, int) or not 0 <= start < end <= size:
            raise ServiceFailed("its answer has an entity outside of the sentence")
        return float(score), kind

    async def close(self) -> None:
        """Close its connections."""
        await self._service.close()
