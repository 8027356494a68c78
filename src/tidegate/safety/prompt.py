"""A prompt, before it leaves for the model server: what its messages say, filtered; or refused."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final

import msgspec

from tidegate.errors import InvalidRequest
from tidegate.safety.json_text import JsonFilter
from tidegate.safety.machine import Machine
from tidegate.safety.rules import Hit
from tidegate.safety.stream import TextFilter
from tidegate.wire.chat_request import ChatRequest
from tidegate.wire.openai_chat import encode_json

__all__ = ["filtered_prompt"]

_PIECE: Final = 8192
"""Characters between two chances for others to run: two milliseconds."""

_NAMES: Final = frozenset({"role", "type", "id", "tool_call_id", "name", "detail", "format"})
"""Fields that are names, whatever they look like."""

_OUTSIDE: Final = frozenset({"model", "stream", "stream_options"})
"""Fields of the request that say what is asked of whom."""

_BLOBS: Final = frozenset({"image_url", "input_audio", "file", "extra_content"})
"""Fields that are no text."""

_TEXTUAL: Final = (b'"', b"[", b"{")
"""How JSON begins that can hold a text."""


def filtered_prompt(
    request: ChatRequest, machine: Machine, *, key: bytes, on_hit: Callable[[Hit], None] | None = None
) -> Generator[None, None, ChatRequest]:
    """The request as it may leave: itself when nothing was found. A generator, so that a long prompt stalls nobody.

    :raises InvalidRequest: a rule that blocks was hit. The message names the rule and never the value.
    """
    hits: list[Hit] = []

    def note(hit: Hit) -> None:
        hits.append(hit)
        if on_hit is not None:
            on_hit(hit)

    fields = dict(request.fields)
    for name, raw in request.fields.items():
        # Descriptions of tools and fields that nobody has heard of leave too: what is not looked at is what leaks.
        if name not in _OUTSIDE and bytes(raw)[:1] in _TEXTUAL:
            found = len(hits)
            walk = _Walk(machine, key, note, name)
            filtered = yield from walk.value(msgspec.json.decode(raw))
            if len(hits) > found:
                fields[name] = msgspec.Raw(encode_json(filtered))
    if not hits:
        return request
    return msgspec.structs.replace(request, fields=fields, body=msgspec.json.encode(fields))


class _Walk:
    def __init__(self, machine: Machine, key: bytes, note: Callable[[Hit], None], field: str) -> None:
        self._machine = machine
        self._key = key
        self._note = note
        self._field = field

    def value(self, value: Any, name: str = "") -> Generator[None, None, Any]:
        """Every text in it, each by itself."""
        if isinstance(value, str):
            return (yield from self._text(value, name))
        if isinstance(value, list):
            found = []
            for each in value:
                found.append((yield from self.value(each, name)))  # noqa: PERF401 # no comprehension can yield
            return found
        if isinstance(value, dict):
            whole = {}
            for inner, each in value.items():
                untouched = inner in _NAMES or inner in _BLOBS
                whole[inner] = each if untouched else (yield from self.value(each, inner))
            return whole
        return value

    def _text(self, text: str, name: str) -> Generator[None, None, str]:
        kind: type[TextFilter] | type[JsonFilter] = JsonFilter if name == "arguments" else TextFilter
        stream = kind(self._machine, key=self._key, on_hit=self._note)
        out = []
        for at in range(0, len(text), _PIECE):
            out.append(stream.feed(text[at : at + _PIECE]))
            yield
        out.append(stream.close())
        if stream.blocked is not None:
            raise InvalidRequest(
                f'The prompt is refused: the rule "{stream.blocked.rule}" does not let something in it pass.',
                param=self._field,
                code="content_filter",
            )
        return "".join(out)
