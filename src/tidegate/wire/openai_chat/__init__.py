"""PURE. The OpenAI chat dialect, as OpenAI and the many servers that call themselves compatible speak it.

``chunk`` types and tolerant decoding · ``reading`` what a chunk says · ``encoding`` events to chunks · ``assemble``
many chunks to one answer · ``response`` one answer to many chunks.
"""

from __future__ import annotations

from tidegate.wire.openai_chat.assemble import ChatAssembler
from tidegate.wire.openai_chat.chunk import Choice, Chunk, Delta, FunctionCall, MalformedChunk, ToolCall, decode_chunk
from tidegate.wire.openai_chat.encoding import encode_chunk, encode_json, error_json, usage_json
from tidegate.wire.openai_chat.reading import (
    ToolCallIndex,
    arguments_of,
    error_of,
    events,
    has_token,
    reasoning_of,
    text_of,
    usage_of,
)
from tidegate.wire.openai_chat.response import chunks_of_response

__all__ = [
    "ChatAssembler",
    "Choice",
    "Chunk",
    "Delta",
    "FunctionCall",
    "MalformedChunk",
    "ToolCall",
    "ToolCallIndex",
    "arguments_of",
    "chunks_of_response",
    "decode_chunk",
    "encode_chunk",
    "encode_json",
    "error_json",
    "error_of",
    "events",
    "has_token",
    "reasoning_of",
    "text_of",
    "usage_json",
    "usage_of",
]
