"""One ``chat.completion.chunk`` as types, and the decoder that never fails over a single odd field.

The types name what the gateway reads or must keep when it makes one answer of many chunks. Any other field is skipped
by the decoder and costs nothing. Every field may be missing: providers leave out all of them somewhere.
"""

from __future__ import annotations

import json
from math import inf
from typing import Any, Final, TypeVar

import msgspec

__all__ = ["Choice", "Chunk", "Delta", "FunctionCall", "MalformedChunk", "ToolCall", "decode_chunk", "decode_object"]


class MalformedChunk(ValueError):
    """The data is not a JSON object in UTF-8. The message tells its size, never its content."""


class FunctionCall(msgspec.Struct, frozen=True, gc=False):
    """``arguments`` is a fragment of JSON text, or, with some servers, the whole object."""

    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class ToolCall(msgspec.Struct, frozen=True, gc=False):
    """A fragment of one tool call, or a whole one. ``index`` is missing where calls come whole (Mistral)."""

    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: FunctionCall | None = None
    extra_content: dict[str, Any] | None = None
    """Gemini's thought signature: the next request is refused without it."""


class Delta(msgspec.Struct, frozen=True, gc=False):
    """What a chunk adds to a choice's message."""

    role: str | None = None
    content: str | list[Any] | None = None
    """A string, or a list of typed parts (Mistral's thinking models)."""
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[Any] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: FunctionCall | None = None
    annotations: list[Any] | None = None
    images: list[Any] | None = None
    audio: dict[str, Any] | None = None
    extra_content: dict[str, Any] | None = None


class Choice(msgspec.Struct, frozen=True, gc=False):
    """One of the answers that run side by side."""

    index: int = 0
    delta: Delta = Delta()
    finish_reason: str | None = None
    logprobs: dict[str, Any] | None = None
    message: dict[str, Any] | None = None
    """A whole message in place of a delta; beside a delta it repeats what the deltas say."""
    error: Any = None
    usage: dict[str, Any] | None = None
    content_filter_results: dict[str, Any] | None = None


class Chunk(msgspec.Struct, frozen=True, gc=False):
    """One chunk. ``message``, ``type`` and ``code`` are there for errors that do not come under ``error``."""

    id: str | None = None
    object: str | None = None
    created: int | float | None = None
    model: str | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    choices: list[Choice] = []
    usage: dict[str, Any] | None = None
    error: Any = None
    message: Any = None
    type: Any = None
    code: Any = None
    provider: str | None = None
    citations: list[Any] | None = None
    search_results: list[Any] | None = None
    prompt_filter_results: list[Any] | None = None
    x_groq: dict[str, Any] | None = None


S = TypeVar("S", bound=msgspec.Struct)

_DECODER: Final = msgspec.json.Decoder(Chunk)

_NESTED: Final[dict[str, type[msgspec.Struct]]] = {
    "choices": Choice,
    "delta": Delta,
    "tool_calls": ToolCall,
    "function": FunctionCall,
    "function_call": FunctionCall,
}
_LISTS: Final = frozenset({"choices", "tool_calls"})
# Looked up once: resolving the annotations of one type takes longer than decoding a hundred chunks.
_FIELDS: Final[dict[type[msgspec.Struct], list[tuple[str, Any, type[msgspec.Struct] | None]]]] = {
    kind: [(field.name, field.type, _NESTED.get(field.name)) for field in msgspec.structs.fields(kind)]
    for kind in (Chunk, Choice, Delta, ToolCall, FunctionCall)
}


def decode_chunk(data: bytes) -> Chunk:
    """The chunk in ``data``.

    A field of the wrong type (``"choices": null``, ``"delta": null``, a number for a string) counts as missing.

    :raises MalformedChunk: not JSON, not UTF-8 or not an object.
    """
    # The decoder does not look into strings of fields that it skips, so UTF-8 is checked here; ASCII is the rule.
    if data.isascii():
        try:
            return _DECODER.decode(data)
        except (msgspec.DecodeError, RecursionError):
            pass
    else:
        try:
            data.decode()
            return _DECODER.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
    return _salvage(Chunk, decode_object(data))


def decode_object(data: bytes) -> dict[str, Any]:
    """The JSON object in ``data``, untyped. Half a surrogate pair is kept: an emoji may be cut between two chunks.

    :raises MalformedChunk: not JSON, not UTF-8 or not an object.
    """
    try:
        value = json.loads(data.decode(), parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        value = None
    # Outside the handler: the parser's error carries the whole text and would hang on ours as its context.
    if not isinstance(value, dict):
        raise MalformedChunk(f"not a JSON object in UTF-8 ({len(data)} bytes)")
    return value


def _refuse_constant(name: str) -> None:
    """``NaN`` and ``Infinity`` are Python's, not JSON's: the browser behind us would fail on them."""
    raise ValueError(name)


def _finite(number: str) -> float | None:
    """``1e999`` is good JSON and no number that anything behind us could compute with."""
    value = float(number)
    return value if abs(value) != inf else None


def _salvage(kind: type[S], value: dict[str, Any]) -> S:
    """Each field by itself: what fits its type is kept, what does not is as if it had not been sent."""
    found: dict[str, Any] = {}
    for name, type_, nested in _FIELDS[kind]:
        given = value.get(name)
        if given is None:
            continue
        try:
            found[name] = msgspec.convert(given, type_)
        except msgspec.ValidationError:
            if nested is None:
                continue
            if name not in _LISTS:
                if isinstance(given, dict):
                    found[name] = _salvage(nested, given)
            elif isinstance(given, list):
                found[name] = [_salvage(nested, item) for item in given if isinstance(item, dict)]
    return kind(**found)
