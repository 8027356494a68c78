"""Whoever judges sentences: the interface that a classifier of your own fulfils, and how one is used."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from tidegate.safety.sentences import LONGEST

__all__ = ["Classifier", "ClassifierOptions", "Mode", "Verdict"]

Mode = Literal["hold", "cut", "observe"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a classifier thinks of one sentence."""

    flagged: bool
    label: str = ""
    """The category, in one word. It stands in logs and in the ledger: never the sentence."""
    score: float | None = None
    """From 0 to 1, for logs."""


@runtime_checkable
class Classifier(Protocol):
    """Judges one sentence at a time, several at once.

    May have ``close(self)``, also as a coroutine, which is called when the gateway stops.
    """

    def check(self, sentence: str) -> Awaitable[Verdict]:
        """``async def check(self, sentence)``: the verdict on one sentence. Cancelled when the deadline passes or the
        stream ends; what it raises is a failure. It runs on the gateway's event loop, so what takes processor time
        belongs in a thread.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierOptions:
    """``[safety.classifier.NAME]``: somebody who judges each sentence of an answer, while it streams. Used by the
    profiles that name it in `classifiers`.
    """

    name: str
    use: str = ""
    """`package.module:attribute` (a class or function that is called without arguments, or an object with `check`),
    `openai-moderation` or `presidio`. Empty: given to `create_app`."""
    mode: Mode = "hold"
    """`hold`: no sentence leaves before its verdict. `cut`: sentences leave at once, and a verdict ends the answer with
    `content_filter`. `observe`: verdicts are only recorded."""
    deadline: float = 2.0
    """Seconds for one verdict."""
    on_failure: Literal["closed", "open"] = "closed"
    """No verdict, because it failed or took too long: `closed` counts as flagged, `open` as fine."""
    where: tuple[str, ...] = ("output",)
    """Of `output`, `reasoning`, `tool-arguments`."""
    parallel: int = 4
    """Sentences of one answer that are judged at the same time."""
    queue: int = 16
    """Sentences of one answer that may wait for a verdict; above that, the model is not read any further."""
    longest: int = LONGEST
    """Characters of a sentence; a longer one is cut there."""
    url: str = ""
    """For `openai-moderation` and `presidio`: where it is served."""
    api_key: str = ""
    """For `openai-moderation`: a reference, such as `env:OPENAI_API_KEY`."""
    model: str = ""
    """For `openai-moderation`: the name of its model."""
    threshold: float = 0.5
    """For `openai-moderation` with `categories`, and for `presidio`: the score that counts."""
    categories: tuple[str, ...] = ()
    """For `openai-moderation`: only these. Empty: whatever the service flags."""
    entities: tuple[str, ...] = ()
    """For `presidio`: only these, such as `PERSON`. Empty: all."""
    language: str = "en"
    """For `presidio`."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """For `package.module:attribute`: named arguments of the call."""
