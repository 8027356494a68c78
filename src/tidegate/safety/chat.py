"""One chat answer, chunk by chunk: a filter for every text in it.

A text is what one choice says under one name: its content, its reasoning, its refusal, the arguments of one of its tool
calls. Each has a stream of its own, because a reader joins exactly these; what a choice says between two pieces of a
text does not end it. What is held leaves with the finish reason of its choice, in the same chunk.

Text that stands beside its tokens (``logprobs``, token ids) would tell what was redacted, and is taken out of every
chunk while a filter is on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from tidegate.safety.json_text import JsonFilter
from tidegate.safety.profile import Channel, Profile
from tidegate.safety.rules import Action, Hit
from tidegate.safety.stream import TextFilter, sanitize
from tidegate.wire.openai_chat import Chunk, FunctionCall, ToolCall, ToolCallIndex, encode_json
from tidegate.wire.openai_chat.chunk import decode_object

if TYPE_CHECKING:
    from tidegate.safety.profanity import ProfanityModel

__all__ = ["Chained", "ChatFilter", "TextStream"]

_TEXTS: Final = {
    "content": Channel.OUTPUT,
    "refusal": Channel.OUTPUT,
    "reasoning_content": Channel.REASONING,
    "reasoning": Channel.REASONING,
}
"""Fields of a delta that are fragments of a text."""

_TELLING: Final = ("logprobs", "token_ids", "tokens", "text_offset")
"""Fields that say the text once more."""

_HANDLED: Final = frozenset(
    {*_TEXTS, "role", "reasoning_details", "tool_calls", "function_call", "audio", "images", "extra_content"}
)
"""Fields of a delta that need not be looked at further: pictures, and the signatures that Gemini wants back."""


class TextStream(Protocol):
    """A filter over one plain text (:class:`~tidegate.safety.stream.TextFilter`)."""

    @property
    def held(self) -> int: ...

    @property
    def blocked(self) -> Hit | None: ...

    @property
    def closed(self) -> bool: ...

    def feed(self, chunk: str) -> str: ...

    def close(self) -> str: ...


class Chained:
    """Two filters, one behind the other. What the first has ended, the second says no more of."""

    __slots__ = ("_first", "_second")

    def __init__(self, first: TextStream, second: TextStream) -> None:
        self._first = first
        self._second = second

    @property
    def held(self) -> int:
        return self._first.held + self._second.held

    @property
    def blocked(self) -> Hit | None:
        return self._first.blocked or self._second.blocked

    @property
    def closed(self) -> bool:
        return self._first.closed

    def feed(self, chunk: str) -> str:
        return self._second.feed(self._first.feed(chunk))

    def close(self) -> str:
        rest = self._first.close()
        if self._first.blocked is not None:
            return ""
        return self._second.feed(rest) + self._second.close()


class ChatFilter:
    """The filters of one answer.

    :param profile: what to look for, and where.
    :param key: of this answer alone, for digests; never the same twice.
    :param on_hit: told every hit, with the channel that it was in.
    :param profanity: the model, for a profile that scores profanity.
    """

    __slots__ = ("_key", "_numbering", "_on_hit", "_profanity", "_profile", "_streams", "blocked")

    def __init__(
        self,
        profile: Profile,
        *,
        key: bytes,
        on_hit: Callable[[Channel, Hit], None] | None = None,
        profanity: ProfanityModel | None = None,
    ) -> None:
        self._profile = profile
        self._profanity = profanity
        self._key = key
        self._on_hit = on_hit
        # By choice: by the name of the text.
        self._streams: dict[int, dict[str, TextStream | JsonFilter]] = {}
        self._numbering: dict[int, ToolCallIndex] = {}
        self.blocked: dict[int, Hit] = {}
        """Choices that a rule has ended, and the hit that did."""

    def text(self, choice: int, name: str) -> TextStream | None:
        """The stream of one plain text, for a caller that already has it out of its chunk; ``None``: nothing to do."""
        stream = self._streams.get(choice, {}).get(name) or self._open(choice, name, _TEXTS[name])
        return None if isinstance(stream, JsonFilter) else stream

    def note_blocked(self, choice: int) -> bool:
        """Whether a rule has ended the choice; to be asked after :meth:`text` was fed."""
        if choice not in self.blocked:
            hit = next((one.blocked for one in self._streams.get(choice, {}).values() if one.blocked is not None), None)
            if hit is not None:
                self.blocked[choice] = hit
        return choice in self.blocked

    def apply(self, payload: bytes, chunk: Chunk) -> bytes | None:
        """What leaves of a chunk: itself when nothing in it is text, else a new one; ``None`` when nothing is left.

        :param chunk: what ``payload`` decodes to.
        """
        if not chunk.choices:
            return payload
        whole = decode_object(payload)
        left = [self._choice(choice) for choice in whole["choices"] if isinstance(choice, dict)]
        whole["choices"] = [choice for choice in left if choice is not None]
        for name in _TELLING:
            whole.pop(name, None)
        if not whole["choices"] and not whole.get("usage"):
            return None
        return encode_json(whole)

    def flush(self, chunk: dict[str, Any]) -> bytes | None:
        """The rest of every text of an answer that breaks off, as one more chunk; ``None`` when nothing is held.

        :param chunk: id, model and the like of the chunk to make.
        """
        choices = []
        for index in sorted(self._streams):
            delta: dict[str, Any] = {}
            self._finish(index, delta)
            if delta:
                choices.append({"index": index, "delta": delta, "finish_reason": None})
        return encode_json({**chunk, "choices": choices}) if choices else None

    @property
    def held(self) -> int:
        """Characters that wait, in all texts."""
        return sum(one.held for streams in self._streams.values() for one in streams.values())

    def _choice(self, choice: dict[str, Any]) -> dict[str, Any] | None:
        index = choice.get("index")
        index = index if isinstance(index, int) else 0
        if index in self.blocked:
            return None
        for name in _TELLING:
            if name in choice:
                choice[name] = None
        if choice.get("message") is not None:
            choice["message"] = self._whole(index, choice["message"])
        delta = choice.get("delta")
        said = isinstance(delta, dict) and bool(delta)
        if isinstance(delta, dict):
            self._delta(index, delta)
        else:
            delta = choice["delta"] = {}
        if self.note_blocked(index):
            choice["finish_reason"] = "content_filter"
        elif choice.get("finish_reason"):
            self._finish(index, delta)
            if self.note_blocked(index):
                choice["finish_reason"] = "content_filter"
        if said and not delta and not choice.get("finish_reason") and not choice.get("message"):
            return None
        return choice

    def _delta(self, index: int, delta: dict[str, Any]) -> None:
        """Every text in it, in place; a fragment of which nothing leaves is taken out."""
        for name, channel in _TEXTS.items():
            value = delta.get(name)
            if isinstance(value, str) and value:
                _put(delta, name, self._feed(index, name, channel, value))
            elif isinstance(value, list):
                delta[name] = [self._part(index, name, part) for part in value]
        if isinstance(delta.get("reasoning_details"), list):
            details = delta["reasoning_details"]
            delta["reasoning_details"] = [self._part(index, "reasoning_details", part) for part in details]
        if isinstance(delta.get("tool_calls"), list):
            numbering = self._numbering.setdefault(index, ToolCallIndex())
            for call in delta["tool_calls"]:
                if isinstance(call, dict):
                    self._call(index, numbering, call)
            _put(delta, "tool_calls", [call for call in delta["tool_calls"] if _says(call)])
        if isinstance(delta.get("function_call"), dict):
            self._arguments(index, "function_call", delta["function_call"])
        audio = delta.get("audio")
        if isinstance(audio, dict) and isinstance(audio.get("transcript"), str):
            audio["transcript"] = self._feed(index, "audio", Channel.OUTPUT, audio["transcript"])
        for name in [name for name in delta if name not in _HANDLED]:
            # A field that nobody has heard of is a text too: what is not looked at is what leaks.
            value = delta[name]
            if isinstance(value, str) and value:
                _put(delta, name, self._feed(index, name, Channel.OUTPUT, value))
            else:
                delta[name] = self._whole(index, value)

    def _part(self, index: int, name: str, part: Any) -> Any:
        """A typed part of a list: text or reasoning, nested once more with some servers."""
        if isinstance(part, str):
            return self._feed(index, name, Channel.OUTPUT, part)
        if not isinstance(part, dict):
            return part
        thinks = part.get("type") in ("thinking", "reasoning") or name == "reasoning_details"
        channel = Channel.REASONING if thinks else Channel.OUTPUT
        text = f"{name}:{'thinking' if thinks else 'text'}"
        for field in ("text", "summary", "thinking"):
            value = part.get(field)
            if isinstance(value, str):
                part[field] = self._feed(index, f"{text}:{field}", channel, value)
            elif isinstance(value, list):
                for inner in value:
                    if isinstance(inner, dict) and isinstance(inner.get("text"), str):
                        inner["text"] = self._feed(index, f"{text}:{field}", channel, inner["text"])
        return part

    def _call(self, index: int, numbering: ToolCallIndex, call: dict[str, Any]) -> None:
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        given, name, ident = call.get("index"), function.get("name"), call.get("id")
        number = numbering.index(
            ToolCall(
                given if isinstance(given, int) else None,
                ident if isinstance(ident, str) else None,
                None,
                FunctionCall(name if isinstance(name, str) else None),
            )
        )
        self._arguments(index, f"tool_calls:{number}", function)

    def _arguments(self, index: int, name: str, function: dict[str, Any]) -> None:
        arguments = function.get("arguments")
        if isinstance(arguments, str) and arguments:
            function["arguments"] = self._feed(index, name, Channel.TOOL_ARGUMENTS, arguments)
        elif isinstance(arguments, dict):
            function["arguments"] = self._whole(index, arguments, Channel.TOOL_ARGUMENTS)

    def _whole(self, index: int, value: Any, channel: Channel = Channel.OUTPUT) -> Any:
        """Something that came at once: each of its strings by itself."""
        if isinstance(value, str):
            if self._scores(channel):
                return self._scored_whole(index, value, channel)
            machine = self._profile.machine(channel)
            if machine is None:
                return value
            done = sanitize(machine, value, key=self._key)
            if self._on_hit is not None:
                for hit in done.hits:
                    self._on_hit(channel, hit)
            if done.blocked is not None:
                self.blocked.setdefault(index, done.blocked)
            return done.text
        if isinstance(value, list):
            return [self._whole(index, each, channel) for each in value]
        if isinstance(value, dict):
            return {
                name: self._whole(index, each, Channel.TOOL_ARGUMENTS if name == "arguments" else channel)
                for name, each in value.items()
            }
        return value

    def _feed(self, index: int, name: str, channel: Channel, text: str) -> str:
        stream = self._streams.get(index, {}).get(name) or self._open(index, name, channel)
        return text if stream is None else stream.feed(text)

    def _open(self, index: int, name: str, channel: Channel) -> TextStream | JsonFilter | None:
        stream = self._made(channel)
        if stream is not None:
            self._streams.setdefault(index, {})[name] = stream
        return stream

    def _made(self, channel: Channel) -> TextStream | JsonFilter | None:
        machine = self._profile.machine(channel)
        told = self._telling(channel)
        if machine is not None and channel is Channel.TOOL_ARGUMENTS:
            return JsonFilter(machine, key=self._key, on_hit=told)
        rules = None if machine is None else TextFilter(machine, key=self._key, on_hit=told)
        if not self._scores(channel):
            return rules
        from tidegate.safety.profanity import ProfanityFilter  # only where a profile scores

        score = self._profile.profanity
        assert score is not None
        assert self._profanity is not None
        action = Action.BLOCK if score.strict else Action.TAG
        words = ProfanityFilter(self._profanity, threshold=score.threshold, action=action, key=self._key, on_hit=told)
        return words if rules is None else Chained(words, rules)

    def _scores(self, channel: Channel) -> bool:
        score = self._profile.profanity
        return score is not None and self._profanity is not None and channel in score.channels

    def _scored_whole(self, index: int, value: str, channel: Channel) -> str:
        stream = self._made(channel)
        assert stream is not None
        out = stream.feed(value)
        if stream.blocked is None:
            out += stream.close()
        if stream.blocked is not None:
            self.blocked.setdefault(index, stream.blocked)
        return out

    def _telling(self, channel: Channel) -> Callable[[Hit], None] | None:
        on_hit = self._on_hit
        return None if on_hit is None else lambda hit: on_hit(channel, hit)

    def _finish(self, index: int, delta: dict[str, Any]) -> None:
        """The choice has finished: what it holds, into its last delta."""
        streams = self._streams.pop(index, {})
        for name, stream in streams.items():
            rest = stream.close()
            if stream.blocked is not None:
                self.blocked.setdefault(index, stream.blocked)
            if rest:
                _append(delta, name, rest)


def _put(delta: dict[str, Any], name: str, value: Any) -> None:
    if value:
        delta[name] = value
    else:
        del delta[name]


def _says(call: Any) -> bool:
    """Whether a fragment of a tool call still says something once its arguments are held."""
    if not isinstance(call, dict) or call.get("id"):
        return True
    function = call.get("function")
    return not isinstance(function, dict) or any(function.values())


def _append(delta: dict[str, Any], name: str, rest: str) -> None:
    """The rest of a text, in the shape in which its fragments came."""
    kind, _, detail = name.partition(":")
    if kind == "tool_calls":
        delta.setdefault("tool_calls", []).append({"index": int(detail), "function": {"arguments": rest}})
    elif kind == "function_call":
        function = delta.setdefault("function_call", {})
        function["arguments"] = function.get("arguments", "") + rest
    elif kind == "audio":
        audio = delta.setdefault("audio", {})
        audio["transcript"] = audio.get("transcript", "") + rest
    elif not detail:
        delta[name] = _joined(delta.get(name), rest)
    elif kind == "reasoning_details":
        field = detail.partition(":")[2]
        delta.setdefault(kind, []).append({"type": f"reasoning.{field}", field: rest})
    elif detail.startswith("thinking"):
        part = {"type": "thinking", "thinking": [{"type": "text", "text": rest}]}
        delta[kind] = [*(delta.get(kind) or ()), part]
    else:
        delta[kind] = [*(delta.get(kind) or ()), {"type": "text", "text": rest}]


def _joined(so_far: Any, rest: str) -> Any:
    if isinstance(so_far, list):
        return [*so_far, rest]
    return (so_far or "") + rest
