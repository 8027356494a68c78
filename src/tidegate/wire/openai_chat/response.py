"""A whole answer cut into a stream: for an upstream that was asked for a stream and answered with one JSON body."""

from __future__ import annotations

from typing import Any

from tidegate.wire.openai_chat.chunk import MalformedChunk, decode_object
from tidegate.wire.openai_chat.encoding import encode_json

__all__ = ["chunks_of_response"]


def chunks_of_response(body: bytes) -> list[bytes]:
    """The JSON of the chunks that a stream of the same answer would have had.

    Per choice one chunk with its whole message and one with its finish reason (none when the answer has none: that is
    a cut, and stays one), then the usage. Fields that we do not know pass on.

    :raises MalformedChunk: the body is not a ``chat.completion`` with at least one choice.
    """
    answer = decode_object(body)
    choices = answer.pop("choices", None)
    if not isinstance(choices, list) or not choices or not all(_is_choice(choice) for choice in choices):
        raise MalformedChunk(f"not a chat completion ({len(body)} bytes)")
    usage = answer.pop("usage", None)
    head = {**answer, "object": "chat.completion.chunk"}
    chunks: list[bytes] = []
    for position, choice in enumerate(choices):
        index = choice.get("index")
        index = index if isinstance(index, int) else position
        rest = {name: value for name, value in choice.items() if name not in ("index", "message", "finish_reason")}
        first = {"index": index, "delta": _delta(choice["message"]), **rest, "finish_reason": None}
        chunks.append(encode_json({**head, "choices": [first]}))
        if choice.get("finish_reason"):
            last = {"index": index, "delta": {}, "finish_reason": choice["finish_reason"]}
            chunks.append(encode_json({**head, "choices": [last]}))
    if isinstance(usage, dict):
        chunks.append(encode_json({**head, "choices": [], "usage": usage}))
    return chunks


def _is_choice(choice: Any) -> bool:
    return isinstance(choice, dict) and isinstance(choice.get("message"), dict)


def _delta(message: dict[str, Any]) -> dict[str, Any]:
    delta = {"role": "assistant", **{name: value for name, value in message.items() if value is not None}}
    calls = delta.get("tool_calls")
    if isinstance(calls, list):
        # A whole message numbers its calls by their place; in a delta the number is written down.
        delta["tool_calls"] = [
            {"index": place, **call} if isinstance(call, dict) else call for place, call in enumerate(calls)
        ]
    return delta
