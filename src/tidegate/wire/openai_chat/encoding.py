"""Events to chunks: the dialect's writing side."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, assert_never

import msgspec

from tidegate.events import (
    Event,
    Failed,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    Usage,
)

__all__ = ["encode_chunk", "encode_json", "error_json", "usage_json"]


def encode_chunk(
    event: Event,
    *,
    id: str,  # noqa: A002 # the chunk's own field name
    model: str,
    created: int,
    tidegate: Mapping[str, Any] | None = None,
) -> bytes:
    """The JSON of one ``chat.completion.chunk`` that says ``event``; for :class:`Failed`, of the error object.

    :param tidegate: what the gateway adds of its own, under a key of its own beside the choices. An estimated usage
        always says so there.
    """
    if isinstance(event, Failed):
        return error_json(event.message, event.type or "upstream_error", event.code)
    chunk: dict[str, Any] = {"id": id, "object": "chat.completion.chunk", "created": created, "model": model}
    ours = dict(tidegate or {})
    if isinstance(event, Usage):
        chunk["choices"] = []
        chunk["usage"] = usage_json(event)
        if event.estimated:
            ours["usage"] = "estimated"
    else:
        reason = event.reason if isinstance(event, Finished) else None
        chunk["choices"] = [
            {"index": event.choice, "delta": _delta(event), "logprobs": None, "finish_reason": reason},
        ]
    if ours:
        chunk["tidegate"] = ours
    return encode_json(chunk)


def error_json(
    message: str,
    type: str,  # noqa: A002 # the error's own field name
    code: str | None,
    stream_id: str | None = None,
    param: str | None = None,
) -> bytes:
    """The JSON of an error in OpenAI's shape; every official SDK raises on it, also in the middle of a stream."""
    error: dict[str, Any] = {"message": message, "type": type, "code": code, "param": param}
    if stream_id is not None:
        error["stream_id"] = stream_id
    return encode_json({"error": error})


def usage_json(usage: Usage) -> dict[str, Any]:
    """Token counts in the dialect's shape."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.prompt_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def encode_json(value: Any) -> bytes:
    """JSON in UTF-8, of anything that came as JSON.

    Half a surrogate pair, which UTF-8 cannot hold, leaves as the ``\\u`` escape that it came as; integers may be large.
    """
    try:
        return msgspec.json.encode(value)
    except (UnicodeEncodeError, OverflowError):  # older encoders stop at 64 bits
        return json.dumps(value, separators=(",", ":")).encode("ascii")


def _delta(event: Started | TextDelta | ReasoningDelta | RefusalDelta | ToolCallDelta | Finished) -> dict[str, Any]:
    match event:
        case Started():
            return {"role": event.role, "content": ""}
        case TextDelta():
            return {"content": event.text}
        case ReasoningDelta():
            return {"reasoning_content": event.text}
        case RefusalDelta():
            return {"refusal": event.text}
        case ToolCallDelta():
            return {"tool_calls": [_tool_call(event)]}
        case Finished():
            return {}
        case _:
            assert_never(event)


def _tool_call(event: ToolCallDelta) -> dict[str, Any]:
    function: dict[str, Any] = {"arguments": event.arguments}
    call: dict[str, Any] = {"index": event.index, "function": function}
    if event.name is not None:
        function["name"] = event.name
    if event.id is not None:
        call["id"] = event.id
        call["type"] = "function"
    return call
