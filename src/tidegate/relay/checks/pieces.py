"""PURE. The texts in a chunk, each with the name of what it is a piece of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tidegate.safety.profile import Channel
from tidegate.wire.openai_chat import Chunk, ToolCallIndex
from tidegate.wire.openai_chat.chunk import Choice
from tidegate.wire.openai_chat.reading import arguments_of, reasoning_of, text_of

__all__ = ["Piece", "Pieces"]


class Piece(NamedTuple):
    """A piece of one text of one choice."""

    choice: int
    channel: Channel
    name: str
    """``content``, ``refusal``, ``reasoning``, ``arguments:0`` and so on."""
    text: str


class Pieces:
    """Of one answer, chunk by chunk."""

    __slots__ = ("_numbering", "_spoken")

    def __init__(self) -> None:
        self._numbering: dict[int, ToolCallIndex] = {}
        self._spoken: set[int] = set()

    def of(self, chunk: Chunk) -> Iterator[Piece]:
        """What ``chunk`` says. A whole message beside deltas repeats them, and says nothing."""
        for choice in chunk.choices:
            found = False
            for piece in self._of_delta(choice):
                found = True
                yield piece
            if found:
                self._spoken.add(choice.index)
            elif choice.message is not None and choice.index not in self._spoken:
                yield from _of_message(choice)

    def _of_delta(self, choice: Choice) -> Iterator[Piece]:
        delta, index = choice.delta, choice.index
        if reasoning := reasoning_of(delta):
            yield Piece(index, Channel.REASONING, "reasoning", reasoning)
        if text := text_of(delta):
            yield Piece(index, Channel.OUTPUT, "content", text)
        if delta.refusal:
            yield Piece(index, Channel.OUTPUT, "refusal", delta.refusal)
        for call in delta.tool_calls or ():
            number = self._numbering.setdefault(index, ToolCallIndex()).index(call)
            if arguments := arguments_of(call.function):
                yield Piece(index, Channel.TOOL_ARGUMENTS, f"arguments:{number}", arguments)
        if arguments := arguments_of(delta.function_call):
            yield Piece(index, Channel.TOOL_ARGUMENTS, "arguments:function", arguments)


def _of_message(choice: Choice) -> Iterator[Piece]:
    message = choice.message or {}
    for name in ("content", "refusal"):
        value = message.get(name)
        if isinstance(value, str) and value:
            yield Piece(choice.index, Channel.OUTPUT, name, value)
    calls = message.get("tool_calls")
    for number, call in enumerate(calls if isinstance(calls, list) else ()):
        function = call.get("function") if isinstance(call, dict) else None
        arguments = function.get("arguments") if isinstance(function, dict) else None
        if isinstance(arguments, str) and arguments:
            yield Piece(choice.index, Channel.TOOL_ARGUMENTS, f"arguments:{number}", arguments)
