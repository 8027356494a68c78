"""The vocabulary: what a stream says, whatever dialect it speaks.

Frozen, tiny, without behaviour: values are compared in a test with ``==``. ``gc=False`` because they hold no cycles
and there may be a million of them.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

__all__ = [
    "Event",
    "Failed",
    "Finished",
    "ReasoningDelta",
    "RefusalDelta",
    "Started",
    "TextDelta",
    "ToolCallDelta",
    "Usage",
]


class Started(msgspec.Struct, frozen=True, gc=False):
    """A choice has begun: its role, and the ids that the upstream gave the answer."""

    choice: int = 0
    role: str = "assistant"
    id: str | None = None
    model: str | None = None


class TextDelta(msgspec.Struct, frozen=True, gc=False):
    """More of the answer."""

    text: str
    choice: int = 0


class ReasoningDelta(msgspec.Struct, frozen=True, gc=False):
    """More of the model's reasoning, kept apart from the answer."""

    text: str
    choice: int = 0


class RefusalDelta(msgspec.Struct, frozen=True, gc=False):
    """More of the model's refusal to answer."""

    text: str
    choice: int = 0


class ToolCallDelta(msgspec.Struct, frozen=True, gc=False):
    """More of one tool call. ``id`` and ``name`` come once; ``arguments`` is a fragment of JSON text."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    choice: int = 0


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Token counts, in tokens. ``cached``, ``reasoning`` and ``audio`` are parts of prompt and output."""

    prompt_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    audio_prompt_tokens: int = 0
    audio_output_tokens: int = 0
    estimated: bool = False

    @property
    def plain(self) -> bool:
        """Every token costs what its kind does: none is cached, thought or heard."""
        return not (self.cached_tokens or self.reasoning_tokens or self.audio_prompt_tokens or self.audio_output_tokens)


class Finished(msgspec.Struct, frozen=True, gc=False):
    """A choice is complete; ``reason`` is the upstream's own finish reason."""

    reason: str
    choice: int = 0


class Failed(msgspec.Struct, frozen=True, gc=False):
    """The upstream reported an error inside the stream."""

    message: str
    type: str | None = None
    code: str | None = None


Event: TypeAlias = Started | TextDelta | ReasoningDelta | RefusalDelta | ToolCallDelta | Usage | Finished | Failed
