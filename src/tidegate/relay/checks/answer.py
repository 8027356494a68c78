"""PURE. An answer that is looked at by a :class:`~tidegate.relay.checks.watch.Watch`, with or without a filter.

What the watch sees is what leaves: after the filter. An event that cannot be part of what was promised does not leave,
and is not counted.
"""

from __future__ import annotations

from typing import Any, Protocol

from tidegate.errors import TidegateError
from tidegate.relay.answer import Answer
from tidegate.relay.rewrite import FilteredAnswer
from tidegate.safety.chat import ChatFilter
from tidegate.wire.openai_chat import Chunk, decode_chunk

__all__ = ["Looks", "checked_answer"]


class Looks(Protocol):
    """Whoever looks at an answer."""

    def look(self, chunk: Chunk) -> TidegateError | None:
        """What is about to leave; the error with which the answer ends in its place."""


def checked_answer(looks: Looks, texts: ChatFilter | None, **options: Any) -> Answer:
    """The answer of one try."""
    if texts is None:
        return _CheckedAnswer(looks, **options)
    return _CheckedFilteredAnswer(looks, texts, **options)


class _CheckedAnswer(Answer):
    __slots__ = ("_looks",)

    def __init__(self, looks: Looks, **options: Any) -> None:
        super().__init__(**options)
        self._looks = looks

    def look(self, payload: bytes, offset: int = 0) -> bytes | None:
        left = super().look(payload, offset)
        return _looked(self, self._looks, left, payload)


class _CheckedFilteredAnswer(FilteredAnswer):
    __slots__ = ("_looks",)

    def __init__(self, looks: Looks, texts: ChatFilter, **options: Any) -> None:
        super().__init__(texts, **options)
        self._looks = looks

    def look(self, payload: bytes, offset: int = 0) -> bytes | None:
        left = super().look(payload, offset)
        return _looked(self, self._looks, left, payload)

    def flush(self) -> bytes | None:
        rest = super().flush()
        if rest is not None and self._looks.look(decode_chunk(rest)) is not None:
            return None
        return rest


def _looked(answer: Answer, looks: Looks, left: bytes | None, payload: bytes) -> bytes | None:
    if left is None or answer.chunk is None:
        return left
    error = looks.look(answer.chunk if left is payload else decode_chunk(left))
    if error is None:
        return left
    answer.tokens -= answer.latest
    answer.latest = 0
    answer.end(error)
    return None
