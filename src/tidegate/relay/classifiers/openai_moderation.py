"""The OpenAI moderation endpoint and whoever answers in its shape (``POST /moderations``).

https://platform.openai.com/docs/api-reference/moderations: ``{"results": [{"flagged", "categories",
"category_scores"}]}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tidegate.relay.classifiers.http import JsonService, ServiceFailed
from tidegate.safety.classifier import ClassifierOptions, Verdict

__all__ = ["URL", "OpenAIModeration"]

URL: Final = "https://api.openai.com/v1"


class OpenAIModeration:
    """Asks the moderation endpoint about each sentence.

    :raises ConfigError: the URL or the key cannot be used.
    """

    def __init__(self, options: ClassifierOptions, environ: Mapping[str, str]) -> None:
        self._model = options.model
        self._categories = frozenset(options.categories)
        self._threshold = options.threshold
        self._service = JsonService(options, options.url or URL, "/moderations", environ)

    async def check(self, sentence: str) -> Verdict:
        """The service's own word; with ``categories``, the scores of those."""
        question = {"input": sentence, "model": self._model} if self._model else {"input": sentence}
        answer = await self._service.ask(question)
        results = answer.get("results") if isinstance(answer, dict) else None
        if not isinstance(results, list) or len(results) != 1 or not isinstance(results[0], dict):
            raise ServiceFailed("its answer has no result")
        return self._verdict(results[0])

    def _verdict(self, result: dict[str, Any]) -> Verdict:
        scores = result.get("category_scores")
        scores = {name: score for name, score in scores.items() if _is_score(score)} if isinstance(scores, dict) else {}
        if self._categories:
            missing = self._categories - scores.keys()
            if missing:
                raise ServiceFailed(f"its answer has no score for {len(missing)} of the categories")
            scores = {name: scores[name] for name in self._categories}
            label = max(scores, key=scores.__getitem__)
            return Verdict(scores[label] >= self._threshold, label, scores[label])
        flagged = result.get("flagged")
        if not isinstance(flagged, bool):
            raise ServiceFailed("its answer does not say whether it is flagged")
        label = max(scores, key=scores.__getitem__, default="")
        return Verdict(flagged, label if flagged else "", scores.get(label))

    async def close(self) -> None:
        """Close its connections."""
        await self._service.close()


def _is_score(score: Any) -> bool:
    return isinstance(score, int | float) and not isinstance(score, bool) and 0 <= score <= 1
