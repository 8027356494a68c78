"""Many chunks, one answer: what a request without ``stream`` would have got."""

from __future__ import annotations

from typing import Any

import msgspec

from tidegate.events import Failed, Usage
from tidegate.wire.openai_chat.chunk import Choice, Chunk, Delta, FunctionCall, ToolCall
from tidegate.wire.openai_chat.encoding import usage_json
from tidegate.wire.openai_chat.reading import ToolCallIndex, arguments_of, error_of, reasoning_of, text_of, usage_of

__all__ = ["ChatAssembler"]

_STICKY = ("id", "model", "created", "system_fingerprint", "service_tier", "provider")
"""Said once; the first chunk that says it counts (Azure's first one has them all empty)."""

_LATEST = ("citations", "search_results", "prompt_filter_results")
"""Repeated whole in every chunk; the last one counts."""


class ChatAssembler:
    """Feed it every chunk of one stream, in order.

    Nothing is deduplicated: two equal deltas are text that repeats. What comes after a finish reason still counts.
    """

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._choices: dict[int, _ChoiceParts] = {}
        self._raw_usage: dict[str, Any] | None = None
        self.usage: Usage | None = None
        """The last token counts reported; servers that repeat them count up."""
        self.error: Failed | None = None
        """The first error reported inside the stream."""

    def feed(self, chunk: Chunk) -> None:
        """Add one chunk."""
        head = self._head
        for name in _STICKY:
            if name not in head and (value := getattr(chunk, name)):
                head[name] = value
        for name in _LATEST:
            if value := getattr(chunk, name):
                head[name] = value
        for choice in chunk.choices:
            parts = self._choices.get(choice.index)
            if parts is None:
                parts = self._choices[choice.index] = _ChoiceParts()
            parts.add(choice)
        if (usage := usage_of(chunk)) is not None:
            self.usage = usage
            self._raw_usage = chunk.usage or None
        if self.error is None:
            self.error = error_of(chunk)

    @property
    def finish_reasons(self) -> dict[int, str]:
        """The finish reason of each choice that has one; the last where a server repeats it."""
        return {index: parts.finish for index, parts in sorted(self._choices.items()) if parts.finish}

    @property
    def complete(self) -> bool:
        """At least one choice was seen, and every choice that was has its finish reason."""
        return bool(self._choices) and all(parts.finish for parts in self._choices.values())

    @property
    def text(self) -> str:
        """The answer's text so far: the first choice's."""
        if not self._choices:
            return ""
        text = self._choices[min(self._choices)].text
        return text if _encodable(text) else str(_repaired(text))

    def result(self) -> dict[str, Any]:
        """The ``chat.completion`` object. A choice without finish reason has ``None`` there: nothing is invented."""
        head = self._head
        whole: dict[str, Any] = {
            "id": head.get("id", ""),
            "object": "chat.completion",
            "created": int(head.get("created", 0)),
            "model": head.get("model", ""),
            "choices": [parts.result(index) for index, parts in sorted(self._choices.items())],
        }
        whole.update({name: value for name, value in head.items() if name not in whole})
        if self.usage is not None:
            whole["usage"] = self._raw_usage if self._raw_usage is not None else usage_json(self.usage)
        return whole if _encodable(whole) else dict(_repaired(whole))


class _ChoiceParts:
    """One choice in the making: lists of fragments, joined once."""

    def __init__(self) -> None:
        self.finish = ""
        self._role = ""
        self._content: list[str] = []
        self._refusal: list[str] = []
        # By the name of the field that they came in, which is the name under which a client looks for them.
        self._reasoning: dict[str, list[str]] = {}
        self._details: list[Any] = []
        self._calls: dict[int, _CallParts] = {}
        self._numbering = ToolCallIndex()
        self._function: _CallParts | None = None
        self._lists: dict[str, list[Any]] = {}
        self._audio: dict[str, Any] = {}
        self._extra: dict[str, Any] = {}
        self._logprobs: dict[str, Any] | None = None
        self._filters: dict[str, Any] = {}
        self._message: dict[str, Any] | None = None
        self._spoken = False

    @property
    def text(self) -> str:
        if not self._spoken and self._message is not None:
            content = self._message.get("content")
            return content if isinstance(content, str) else ""
        return "".join(self._content)

    def add(self, choice: Choice) -> None:
        if choice.finish_reason:
            self.finish = choice.finish_reason
        if choice.logprobs is not None:
            self._logprobs = _merged_logprobs(self._logprobs, choice.logprobs)
        if choice.content_filter_results:
            self._filters.update(choice.content_filter_results)
        if choice.message is not None:
            self._message = choice.message
        self._add_delta(choice.delta)

    def _add_delta(self, delta: Delta) -> None:
        if delta.role and not self._role:
            self._role = delta.role
        if delta.content is not None:
            # Also an empty string: it tells "" from null in the answer.
            self._content.append(text_of(delta))
        if delta.refusal:
            self._refusal.append(delta.refusal)
        self._add_reasoning(delta)
        for call in delta.tool_calls or ():
            self._calls.setdefault(self._numbering.index(call), _CallParts()).add_call(call)
        if delta.function_call is not None:
            self._function = self._function or _CallParts()
            self._function.add(delta.function_call)
        for name in ("annotations", "images"):
            if items := getattr(delta, name):
                self._lists.setdefault(name, []).extend(items)
        if delta.audio:
            _append_strings(self._audio, delta.audio, ("data", "transcript"))
        if delta.extra_content:
            self._extra.update(delta.extra_content)
        self._spoken = self._spoken or bool(self._calls or self._function or self._audio or self._lists)
        self._spoken = self._spoken or bool(delta.content or delta.refusal or self._reasoning or self._details)

    def _add_reasoning(self, delta: Delta) -> None:
        if delta.reasoning_content:
            self._reasoning.setdefault("reasoning_content", []).append(delta.reasoning_content)
        if delta.reasoning:
            self._reasoning.setdefault("reasoning", []).append(delta.reasoning)
        if isinstance(delta.content, list) and (thinking := reasoning_of(delta)):
            self._reasoning.setdefault("reasoning_content", []).append(thinking)
        for detail in delta.reasoning_details or ():
            if not self._details or not _continues(self._details[-1], detail):
                self._details.append(dict(detail) if isinstance(detail, dict) else detail)
            else:
                _append_strings(self._details[-1], detail, ("text", "summary"))

    def result(self, index: int) -> dict[str, Any]:
        whole: dict[str, Any] = {
            "index": index,
            "message": self._whole_message(),
            "logprobs": self._logprobs,
            "finish_reason": self.finish or None,
        }
        if self._filters:
            whole["content_filter_results"] = self._filters
        return whole

    def _whole_message(self) -> dict[str, Any]:
        if not self._spoken and self._message is not None:
            return self._message
        message: dict[str, Any] = {"role": self._role or "assistant", "content": None, "refusal": None}
        content = "".join(self._content)
        # Streams of tool calls often begin with an empty content, where a whole answer has null.
        if content or (self._content and not (self._calls or self._function or self._refusal)):
            message["content"] = content
        if self._refusal:
            message["refusal"] = "".join(self._refusal)
        message.update({name: "".join(parts) for name, parts in self._reasoning.items()})
        if self._details:
            message["reasoning_details"] = self._details
        if self._calls:
            message["tool_calls"] = [call.result() for _, call in sorted(self._calls.items())]
        if self._function is not None:
            message["function_call"] = self._function.function()
        message.update(self._lists)
        if self._audio:
            message["audio"] = self._audio
        if self._extra:
            message["extra_content"] = self._extra
        return message


class _CallParts:
    """One tool call in the making. Id and name come once; servers that repeat them repeat them whole."""

    def __init__(self) -> None:
        self._id = ""
        self._type = ""
        self._name = ""
        self._arguments: list[str] = []
        self._extra: dict[str, Any] = {}

    def add_call(self, call: ToolCall) -> None:
        self._id = self._id or call.id or ""
        self._type = self._type or call.type or ""
        if call.function is not None:
            self.add(call.function)
        if call.extra_content:
            self._extra.update(call.extra_content)

    def add(self, function: FunctionCall) -> None:
        self._name = self._name or function.name or ""
        self._arguments.append(arguments_of(function))

    def function(self) -> dict[str, Any]:
        return {"name": self._name, "arguments": "".join(self._arguments)}

    def result(self) -> dict[str, Any]:
        call: dict[str, Any] = {"id": self._id, "type": self._type or "function", "function": self.function()}
        if self._extra:
            call["extra_content"] = self._extra
        return call


def _merged_logprobs(so_far: dict[str, Any] | None, more: dict[str, Any]) -> dict[str, Any]:
    merged = so_far if so_far is not None else {}
    for name, value in more.items():
        known = merged.get(name)
        if isinstance(value, list) and isinstance(known, list):
            known.extend(value)
        elif isinstance(value, list):
            merged[name] = list(value)
        elif known is None:
            merged[name] = value
    return merged


def _continues(last: Any, detail: Any) -> bool:
    """Whether a reasoning detail goes on where the last one stopped: same kind and place, and text, not a blob."""
    if not isinstance(last, dict) or not isinstance(detail, dict):
        return False
    if detail.get("type") not in ("reasoning.text", "reasoning.summary"):
        return False
    same_id = not last.get("id") or not detail.get("id") or last["id"] == detail["id"]
    return same_id and last.get("type") == detail.get("type") and last.get("index") == detail.get("index")


def _append_strings(target: dict[str, Any], more: dict[str, Any], growing: tuple[str, ...]) -> None:
    """Strings under the ``growing`` names are fragments; of everything else the last value counts."""
    for name, value in more.items():
        known = target.get(name)
        if name in growing and isinstance(known, str) and isinstance(value, str):
            target[name] = known + value
        elif value is not None:
            target[name] = value


def _encodable(value: Any) -> bool:
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError:
        return False
    return True


def _repaired(value: Any) -> Any:
    """``value`` with halves of surrogate pairs that met again made whole, and lonely ones replaced by U+FFFD."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, list):
        return [_repaired(item) for item in value]
    if isinstance(value, dict):
        return {_repaired(name): _repaired(item) for name, item in value.items()}
    return value
