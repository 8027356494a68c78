"""How many tokens a request will probably have, without reading it: cheap enough for every request, corrected later."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

__all__ = ["Expectations", "most_output", "prompt_tokens"]

BYTES_PER_TOKEN: Final = 4
"""Of a request's JSON, its punctuation included, in the tokenizers of the field."""

ATTACHMENT: Final = 1000
"""Tokens that an attached picture or recording counts as; its bytes say nothing."""

FIRST_GUESS: Final = 256
"""Output tokens of an answer of a model that has not answered yet."""

_ASKED: Final = ("messages", "tools", "input", "instructions", "prompt")

_LIMITS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_MOST: Final = 1_000_000_000
_REMEMBERED: Final = 512
_WEIGHT: Final = 50
_ATTACHED: Final = re.compile(rb"[A-Za-z0-9+/=]{1024,}")
_LONG: Final = 16384

_decode = msgspec.json.Decoder().decode


def prompt_tokens(fields: Mapping[str, msgspec.Raw]) -> int:
    """About how many tokens the messages and tools of a chat request are, or what another call is asked."""
    size = attached = 0
    for name in _ASKED:
        raw = fields.get(name)
        if raw is None:
            continue
        size += len(raw)
        if len(raw) > _LONG:
            for match in _ATTACHED.finditer(memoryview(raw)):
                attached += 1
                size -= match.end() - match.start()
    return max(1, size // BYTES_PER_TOKEN + attached * ATTACHMENT)


def most_output(fields: Mapping[str, msgspec.Raw]) -> int | None:
    """The most output tokens that the request allows; ``None`` when it does not say."""
    for name in _LIMITS:
        raw = fields.get(name)
        if raw is not None and (most := _whole(raw)):
            several = fields.get("n")
            return most if several is None else most * (_whole(several) or 1)
    return None


def _whole(raw: msgspec.Raw) -> int | None:
    """A positive whole number; whatever else it is, the model server may say what it thinks of it."""
    try:
        value: Any = _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return min(value, _MOST) if isinstance(value, int) and value > 0 and value is not True else None


class Expectations:
    """Mean output tokens by model, of the last few dozen answers of each; of the first few hundred models."""

    __slots__ = ("_means",)

    def __init__(self) -> None:
        self._means: dict[str, list[float]] = {}

    def of(self, model: str) -> int:
        """Output tokens that an answer of the model will probably have."""
        known = self._means.get(model)
        return FIRST_GUESS if known is None else max(1, round(known[0]))

    def learn(self, model: str, output: int) -> None:
        """An answer of the model has ended by itself."""
        known = self._means.get(model)
        if known is None:
            if len(self._means) >= _REMEMBERED:
                return
            known = self._means[model] = [0.0, 0.0]
        known[1] = min(known[1] + 1, _WEIGHT)
        known[0] += (output - known[0]) / known[1]
