"""PURE. The rewrite lane: an answer whose texts pass a filter on their way.

:class:`FilteredAnswer` stands where an :class:`~tidegate.relay.answer.Answer` stands, so that every lane and framing,
and an answer that comes whole, is filtered by the same code: what it says an event becomes is what the filter left of
it. :class:`RewriteLane` is the quick way for the events that nearly all are, one token in a known shape: the token goes
through its filter without the chunk being decoded.

Text that is held is not there for the reader, and costs no write. What is left when a choice finishes leaves with its
finish reason; what is left when an answer breaks off leaves through :meth:`FilteredAnswer.flush`, or not at all.
"""

from __future__ import annotations

import re
from typing import Any, Final

from tidegate.relay.answer import Answer
from tidegate.relay.lane import Redact, SseLane
from tidegate.relay.template import NEVER, PLAIN, Template, learn
from tidegate.safety.chat import ChatFilter, TextStream
from tidegate.safety.json_text import escaped
from tidegate.wire.ndjson import encode_record
from tidegate.wire.openai_chat import Chunk, decode_chunk, encode_json
from tidegate.wire.sse import encode_sse

__all__ = ["FilteredAnswer", "RewriteLane"]

_FIELD: Final = re.compile(rb'"(content|reasoning_content|reasoning)": ?"$')
_TELLS: Final = re.compile(rb'"(?:logprobs|token_ids|tokens|text_offset)": ?[^n\s]')
"""Fields that say the text once more, with something in them."""

_TRIES: Final = 8
"""Shapes that are learnt in one answer. Two take turns when a model thinks; more is a server that varies."""

_plain = PLAIN.fullmatch


class FilteredAnswer(Answer):
    """An answer that only shows what its filter lets through.

    A choice that a rule ends gets the finish reason ``content_filter``; when all have finished, the answer is done.

    :param texts: the filter.
    """

    __slots__ = ("texts",)

    def __init__(self, texts: ChatFilter, *, fatal_malformed: bool = False, collect: bool = False) -> None:
        super().__init__(fatal_malformed=fatal_malformed, collect=collect)
        self.texts = texts

    @property
    def blocked(self) -> bool:
        """A rule has ended a choice."""
        return bool(self.texts.blocked)

    def look(self, payload: bytes, offset: int = 0) -> bytes | None:
        passed = super().look(payload, offset)
        chunk = self.chunk
        if passed is None or chunk is None:
            return passed
        before = len(self.texts.blocked)
        left = self.texts.apply(passed, chunk)
        if len(self.texts.blocked) != before:
            self.note_blocked()
        if left is not None and self.assembler is not None:
            super()._collect(decode_chunk(left), len(left))
        return left

    def note_blocked(self) -> None:
        """A rule has ended a choice: it has its finish reason, and nothing more is wanted when all have theirs."""
        for choice in self.texts.blocked:
            self.finished[choice] = "content_filter"
        self.attention = True
        if self.complete:
            self.done = True

    def flush(self) -> bytes | None:
        """The rest of an answer that breaks off, through the filter, as one more chunk; ``None`` when there is none."""
        rest = self.texts.flush(self.head())
        if rest is not None and self.assembler is not None:
            super()._collect(decode_chunk(rest), len(rest))
        return rest

    def head(self) -> dict[str, Any]:
        """What every chunk of this answer begins with."""
        return {"id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model}

    def _collect(self, chunk: Chunk, size: int) -> None:
        """Not what the upstream said; :meth:`look` collects what is left of it."""


class RewriteLane(SseLane):
    """From an event stream, through the filter of ``answer``. Same parameters as :class:`SseLane`."""

    __slots__ = ("_choice", "_end", "_head", "_stream", "_token_tries", "_told", "shape")

    def __init__(self, answer: FilteredAnswer, *, ndjson: bool, max_event: int, redact: Redact | None = None) -> None:
        super().__init__(answer, ndjson=ndjson, max_event=max_event, redact=redact, fast=False)
        self._told = answer
        self._token_tries = _TRIES
        self._stream: TextStream | None = None
        self._choice = 0

    def feed(self, data: bytes) -> bytes:
        answer = self._told
        if (
            data.startswith(self._head)
            and data.endswith(self._end)
            and not self.held
            and not self._generic
            and not answer.done
            and answer.error is None
            and _plain(data, len(self._head), len(data) - len(self._end)) is not None
            and (self._redact is None or not self._redact.found(data))
            and len(data) <= self._max
        ):
            try:
                text = data[len(self._head) : -len(self._end)].decode()
            except UnicodeDecodeError:
                return super().feed(data)
            return self._token(data, text)
        out = super().feed(data)
        if self._token_tries and answer.chunk is not None and answer.latest == 1 and not self.held:
            self._learn_token(data, answer.chunk)
        return out

    def _token(self, data: bytes, text: str) -> bytes:
        """One token in the known shape."""
        answer = self._told
        answer.tokens += 1
        self.offset += len(data)
        stream = self._stream
        if stream is not None and stream.closed:  # text after the finish reason still counts
            stream = self._stream = answer.texts.text(self._choice, self._field())
        if stream is None:
            return data[6:-1] if self._ndjson else data
        out = stream.feed(text)
        if stream.blocked is not None:
            return self.blocked(out)
        if not out:
            return b""
        if out != text:
            data = self._head + escaped(out).encode() + self._end
        return data[6:-1] if self._ndjson else data

    @property
    def stream(self) -> TextStream | None:
        """The filter of the texts of events of this :attr:`shape`; ``None``: they pass."""
        return self._stream

    def blocked(self, out: str) -> bytes:
        """A rule ends the choice: what stands before its match, and the finish reason."""
        answer, field = self._told, self._field()
        answer.texts.note_blocked(self._choice)
        answer.note_blocked()
        self._take(NEVER)
        self._token_tries = 0
        delta = {field: out} if out else {}
        choice = {"index": self._choice, "delta": delta, "finish_reason": "content_filter"}
        payload = encode_json({**answer.head(), "choices": [choice]})
        return encode_record(payload) if self._ndjson else encode_sse(payload)

    def _field(self) -> str:
        found = _FIELD.search(self._head)
        assert found is not None
        return found[1].decode()

    def _learn_token(self, data: bytes, chunk: Chunk) -> None:
        """The shape of the event that has just passed, when it was one, and alone."""
        if data[:6] != b"data: " or data.find(b"\n") != len(data) - 2 or _TELLS.search(data) or self._generic:
            return
        if data.startswith(self._head) and data.endswith(self._end):
            return  # known: its text only did not stand for itself
        if chunk.choices and chunk.choices[0].index in self._told.texts.blocked:
            return
        template = learn(data[:-2], 6, chunk)
        if template is None or _FIELD.search(template.prefix) is None:
            return
        self._token_tries -= 1
        self._take(template)
        self._choice = chunk.choices[0].index
        self._stream = self._told.texts.text(self._choice, self._field())

    def _set(self, template: Template) -> None:
        super()._set(template)
        self._take(template)

    def _take(self, template: Template) -> None:
        self.shape = template
        """What events with a token look like, as far as is known."""
        self._head = template.prefix
        self._end = template.suffix + b"\n\n"
