"""What a chunk says: its events, whether it carries a token, its usage, its error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

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
from tidegate.wire.openai_chat.chunk import Chunk, Delta, FunctionCall, MalformedChunk, ToolCall, decode_object

__all__ = ["ToolCallIndex", "arguments_of", "error_of", "events", "has_token", "reasoning_of", "text_of", "usage_of"]

_UNSAID: Final = "The upstream reported an error."


class ToolCallIndex:
    """Which tool call of a choice a fragment belongs to.

    The official SDKs trust ``index`` alone. Real servers leave it out (Mistral sends whole calls), or send 0 for every
    one of several whole calls, so identity is ``id`` where there is one. A new id alone is not a new call, because
    some servers make up an id for every fragment: a new call also has a name.
    """

    __slots__ = ("_alias", "_id_of", "_index_of", "_last", "_top")

    def __init__(self) -> None:
        self._id_of: dict[int, str] = {}
        self._index_of: dict[str, int] = {}
        # The index that a server sent -> the one that the call sent under it last has got.
        self._alias: dict[int, int] = {}
        self._last = -1
        self._top = -1

    def index(self, call: ToolCall) -> int:
        """The index of ``call``, the same for each fragment of one call. Must see every fragment, in order."""
        index = self._find(call.index, call.id, bool(call.function is not None and call.function.name))
        if call.id and index not in self._id_of:
            self._id_of[index] = call.id
            self._index_of[call.id] = index
        self._last = index
        self._top = max(self._top, index)
        return index

    def _find(self, given: int | None, id_: str | None, named: bool) -> int:
        if given is not None:
            index = self._alias.get(given, given)
            if named and id_ and self._id_of.get(index, id_) != id_:
                index = self._alias[given] = self._index_of.get(id_, self._top + 1)
            return index
        if id_ and id_ in self._index_of:
            return self._index_of[id_]
        if named or self._last < 0:
            return self._top + 1
        return self._last


def arguments_of(function: FunctionCall | None) -> str:
    """The arguments as JSON text, also where the server sent them as an object."""
    if function is None or not function.arguments:
        return ""
    if isinstance(function.arguments, str):
        return function.arguments
    return msgspec.json.encode(function.arguments).decode()


def text_of(delta: Delta) -> str:
    """The answer's text in ``delta``."""
    content = delta.content
    if isinstance(content, list):
        return "".join(_text_of_part(part) for part in content)
    return content or ""


def reasoning_of(delta: Delta) -> str:
    """The reasoning in ``delta``, once: servers that use two of the field names say the same in both."""
    if delta.reasoning_content or delta.reasoning:
        return delta.reasoning_content or delta.reasoning or ""
    if delta.reasoning_details:
        return "".join(_string(part, "text") or _string(part, "summary") for part in delta.reasoning_details)
    if isinstance(delta.content, list):
        return "".join(_thinking_of_part(part) for part in delta.content)
    return ""


def events(
    chunk: Chunk, *, known_roles: set[int] | None = None, calls: dict[int, ToolCallIndex] | None = None
) -> list[Event]:
    """What ``chunk`` says, in the vocabulary. Empty text says nothing.

    :param known_roles: the choices that have started, kept by the caller over a stream: each is reported as
        :class:`Started` once, whether or not its delta names a role. Without it every delta with a role is a start.
    :param calls: tool-call indices by choice, kept by the caller over a stream. Without it a fragment that has no
        ``index`` counts from 0 in each chunk.
    """
    found: list[Event] = []
    calls = calls if calls is not None else {}
    for choice in chunk.choices:
        delta, index = choice.delta, choice.index
        if known_roles is None:
            if delta.role:
                found.append(Started(index, delta.role, chunk.id, chunk.model))
        elif index not in known_roles:
            known_roles.add(index)
            found.append(Started(index, delta.role or "assistant", chunk.id, chunk.model))
        if reasoning := reasoning_of(delta):
            found.append(ReasoningDelta(reasoning, index))
        if text := text_of(delta):
            found.append(TextDelta(text, index))
        if delta.refusal:
            found.append(RefusalDelta(delta.refusal, index))
        if delta.tool_calls:
            numbering = calls.setdefault(index, ToolCallIndex())
            found.extend(_tool_call(call, numbering, index) for call in delta.tool_calls)
        if delta.function_call is not None:
            # The legacy form has one call and no index.
            function = delta.function_call
            found.append(ToolCallDelta(0, None, function.name, arguments_of(function), index))
        if choice.finish_reason:
            found.append(Finished(choice.finish_reason, index))
    if (usage := usage_of(chunk)) is not None:
        found.append(usage)
    if (failed := error_of(chunk)) is not None:
        found.append(failed)
    return found


def has_token(chunk: Chunk) -> int:
    """How many deltas of ``chunk`` carry something for the reader: per choice at most one each of text, reasoning,
    refusal and tool call. 0 for a role, an empty string, a finish reason, usage.
    """
    count = 0
    for choice in chunk.choices:
        delta = choice.delta
        content = delta.content
        if content if isinstance(content, str) else text_of(delta):
            count += 1
        # Most deltas have none of these: to ask each of them costs more than to look.
        several = isinstance(content, list)
        if (several or delta.reasoning_content or delta.reasoning or delta.reasoning_details) and reasoning_of(delta):
            count += 1
        if delta.refusal:
            count += 1
        if (delta.tool_calls or delta.function_call is not None) and _calls(delta):
            count += 1
    return count


def usage_of(chunk: Chunk) -> Usage | None:
    """The token counts that ``chunk`` reports, also where Groq (``x_groq``) and Moonshot (in a choice) put them."""
    usage: Any = chunk.usage
    if not usage and chunk.x_groq:
        usage = chunk.x_groq.get("usage")
    if not usage:
        for choice in chunk.choices:  # not `next` of a generator: it is asked for every chunk that is decoded
            if choice.usage:
                usage = choice.usage
                break
    if not isinstance(usage, dict) or not usage:
        return None
    prompt, output = _part(usage, "prompt_tokens_details"), _part(usage, "completion_tokens_details")
    # DeepSeek's own name; older Moonshot answers have it at the top.
    cached = _count(prompt, "cached_tokens")
    cached = cached or _count(usage, "prompt_cache_hit_tokens") or _count(usage, "cached_tokens")
    return Usage(
        prompt_tokens=_count(usage, "prompt_tokens"),
        output_tokens=_count(usage, "completion_tokens"),
        cached_tokens=cached,
        reasoning_tokens=_count(output, "reasoning_tokens"),
        audio_prompt_tokens=_count(prompt, "audio_tokens"),
        audio_output_tokens=_count(output, "audio_tokens"),
    )


def error_of(source: Chunk | bytes) -> Failed | None:
    """The error that a chunk reports, alone or beside its choices; ``None`` when there is none.

    :param source: bytes are the data of an event named ``error``, or a whole error body: there a bare ``message`` or
        ``detail`` is an error too. Bytes that are not a JSON object say nothing.
    """
    if isinstance(source, bytes):
        try:
            body = decode_object(source)
        except MalformedChunk:
            return None
        if body.get("choices"):
            return _failed(body.get("error"))
        return _failed(body.get("error") or body.get("detail")) or (_failed(body) if body.get("message") else None)
    if source.error:
        return _failed(source.error)
    if source.object == "error" or source.type == "error":
        return _failed({"message": source.message, "type": source.type, "code": source.code})
    for choice in source.choices:
        if choice.error:
            return _failed(choice.error)
    return None


def _tool_call(call: ToolCall, numbering: ToolCallIndex, choice: int) -> ToolCallDelta:
    name = call.function.name if call.function is not None else None
    return ToolCallDelta(numbering.index(call), call.id or None, name or None, arguments_of(call.function), choice)


def _calls(delta: Delta) -> bool:
    if delta.tool_calls:
        return any(call.id or _says(call.function) for call in delta.tool_calls)
    return _says(delta.function_call)


def _says(function: FunctionCall | None) -> bool:
    return function is not None and bool(function.name or function.arguments)


def _failed(error: Any) -> Failed | None:
    if isinstance(error, str) and error:
        return Failed(error)
    if isinstance(error, Mapping) and error:
        message, kind, code = error.get("message"), error.get("type"), error.get("code")
        return Failed(
            message if isinstance(message, str) and message else _UNSAID,
            kind if isinstance(kind, str) else None,
            str(code) if isinstance(code, str | int) else None,
        )
    return Failed(_UNSAID) if error else None


def _text_of_part(part: Any) -> str:
    if isinstance(part, str):
        return part
    return "" if _string(part, "type") in ("thinking", "reasoning") else _string(part, "text")


def _thinking_of_part(part: Any) -> str:
    if _string(part, "type") not in ("thinking", "reasoning"):
        return ""
    inner = part.get("thinking")
    if isinstance(inner, list):
        return "".join(_string(item, "text") for item in inner)
    return _string(part, "thinking") or _string(part, "text")


def _string(part: Any, name: str) -> str:
    value = part.get(name) if isinstance(part, dict) else None
    return value if isinstance(value, str) else ""


def _part(usage: dict[str, Any], name: str) -> dict[str, Any]:
    value = usage.get(name)
    return value if isinstance(value, dict) else {}


def _count(part: dict[str, Any], name: str) -> int:
    if name not in part:
        return 0
    value = part[name]
    return int(value) if isinstance(value, (int, float)) and value > 0 else 0
