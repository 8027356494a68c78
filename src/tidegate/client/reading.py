"""PURE. The body of one answer: bytes in; text, events and the truth about its end out.

Nearly every chunk of a stream is one token of text and nothing else. Such a chunk is recognised by a strict type that
cannot decode anything more, so that it costs one decode and no assembling; the bytes around its text are remembered,
and a read that is those bytes around other plain texts, any number of them, costs not even that. Everything else takes
the tolerant path.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

import msgspec

from tidegate.errors import (
    EventTooLarge,
    FirstTokenTimeout,
    IdleTimeout,
    ShutDown,
    TidegateError,
    TotalTimeout,
    UpstreamCut,
    UpstreamErrorEvent,
    UpstreamProtocolError,
    UpstreamRefused,
)
from tidegate.events import Event, Failed, TextDelta, Usage
from tidegate.wire.ndjson import NdjsonDecoder
from tidegate.wire.openai_chat import (
    ChatAssembler,
    Choice,
    Chunk,
    Delta,
    MalformedChunk,
    ToolCallIndex,
    chunks_of_response,
    decode_chunk,
    error_of,
    events,
    has_token,
    text_of,
)
from tidegate.wire.openai_chat.chunk import decode_object
from tidegate.wire.replay import EventIds
from tidegate.wire.sse import SseDecoder, SseEvent

__all__ = ["Reading"]

MAX_ANSWER: Final = 64 * 1024 * 1024
"""Bytes of an answer that is kept for its result. The longest real ones are below 2 MiB."""


class _PlainDelta(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    content: str


class _PlainChoice(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    delta: _PlainDelta
    index: Annotated[int, msgspec.Meta(ge=0, le=0)] = 0
    logprobs: None = None
    finish_reason: None = None


class _PlainChunk(msgspec.Struct, frozen=True, gc=False):
    """What the tolerant path would look at must be absent or null; the rest was said by the first chunk."""

    choices: Annotated[list[_PlainChoice], msgspec.Meta(min_length=1, max_length=1)]
    usage: None = None
    error: None = None
    message: None = None
    type: None = None
    code: None = None
    citations: None = None
    search_results: None = None
    prompt_filter_results: None = None
    x_groq: None = None


_plain = msgspec.json.Decoder(_PlainChunk).decode

_UNESCAPED: Final = re.compile(rb'[^"\\\x00-\x1f]+')
"""JSON string content that stands for itself (RFC 8259 §7)."""

_unescaped = _UNESCAPED.fullmatch

_NEVER: Final = b"\x00"
"""Begins no event."""

_LEARN: Final = 16
"""A template is learnt from every so-many-th chunk that had to be decoded: the first was of no use, or it changed."""

_MISSES: Final = 8
"""Chunks in a row that were not plain before a stream is no longer tried: a refused decode is dear."""


class Reading:
    """One body.

    :param content_type: of the response; decides how the body is cut into chunks.
    :param raw: keep every event for :attr:`events`; else only the first choice's text for :attr:`texts`.
    :param max_event: bytes of one chunk.
    """

    __slots__ = (
        "_between",
        "_calls",
        "_done",
        "_finishing",
        "_framing",
        "_hits",
        "_ids",
        "_misses",
        "_ndjson",
        "_plain_texts",
        "_prefix",
        "_raw",
        "_roles",
        "_size",
        "_sse",
        "_suffix",
        "_whole",
        "assembler",
        "error",
        "events",
        "malformed",
        "ours",
        "texts",
        "tokens",
    )

    def __init__(self, content_type: str, *, raw: bool, max_event: int) -> None:
        kind = content_type.partition(";")[0].strip().lower()
        self.texts: list[str] = []
        """Deltas of text, until somebody takes them."""
        self.events: list[Event] = []
        """Events, until somebody takes them."""
        self.tokens = 0
        """Deltas that carried something."""
        self.malformed = 0
        """Chunks that were not JSON; skipped."""
        self.error: TidegateError | None = None
        """The answer has failed; whatever follows is ignored."""
        self.ours: dict[str, Any] = {}
        """What a Tidegate gateway added of its own."""
        self.assembler = ChatAssembler()
        self._raw = raw
        self._done = False
        self._finishing = False
        self._sse = SseDecoder(max_event=max_event)
        self._ndjson = NdjsonDecoder(max_record=max_event)
        self._whole: list[bytes] = []
        self._size = 0
        self._ids = EventIds()
        self._roles: set[int] = set()
        self._calls: dict[int, ToolCallIndex] = {}
        # Plain text that the assembler has not seen yet, and how long no plain chunk has come.
        self._plain_texts: list[str] = []
        self._misses = 0
        self._hits = 0
        # What stands around the text in an event (a record) of this stream, its end included.
        self._prefix = self._suffix = self._between = _NEVER
        self._framing = _FRAMINGS.get(kind, "")
        if not self._framing:
            self.fail(UpstreamProtocolError("The server's answer is neither an event stream nor JSON."))

    @property
    def complete(self) -> bool:
        """Every choice that was seen has its finish reason, and there is one. ``[DONE]`` proves nothing."""
        # Asked after every read: the assembler is not woken before there is a finish reason.
        return self._finishing and self.error is None and self.assembled.complete

    @property
    def attention(self) -> bool:
        """A finish reason, the end marker or an error was seen."""
        return self._finishing or self._done or self.error is not None

    @property
    def over(self) -> bool:
        """Nothing more is to come: the end marker was seen, or the answer has failed."""
        return self._done or self.error is not None

    @property
    def assembled(self) -> ChatAssembler:
        """The answer so far."""
        if self._plain_texts:
            whole = Delta(content="".join(self._plain_texts))
            self._plain_texts.clear()
            self.assembler.feed(Chunk(choices=[Choice(delta=whole)]))
        return self.assembler

    @property
    def usage(self) -> Usage | None:
        """The last token counts reported."""
        return self.assembler.usage

    def feed(self, data: bytes) -> None:
        """Bytes of the body, in order."""
        self._size += len(data)
        if data.startswith(self._prefix) and data.endswith(self._suffix) and not self._pending:
            # Nothing but the text may stand between two templates: neither a quote nor a line end of another event.
            found = data[len(self._prefix) : len(data) - len(self._suffix)].split(self._between)
            if _unescaped(found[0] if len(found) == 1 else b"".join(found)) is not None:
                try:
                    self._plain([text.decode() for text in found if text])
                    return
                except UnicodeDecodeError:
                    pass
        if self._size > MAX_ANSWER:
            self.fail(UpstreamProtocolError(f"The answer is larger than {MAX_ANSWER} bytes."))
        if self._done or self.error is not None:
            return
        try:
            if self._framing == "sse":
                payloads = self._sse.payloads(data)
                if payloads is not None:
                    for payload in payloads:
                        self._look(payload)
                    return
                for event in self._sse.feed(data):
                    self._event(event)
                self._sse.close()  # owes the error of an event that is too large
            elif self._framing == "ndjson":
                for record in self._ndjson.feed(data):
                    self._look(record)
            else:
                self._whole.append(data)
        except EventTooLarge as error:
            self.fail(error)

    def close(self) -> None:
        """The body has ended."""
        if self.over:
            return
        try:
            if self._framing == "ndjson":
                for record in self._ndjson.close():
                    self._look(record)
            elif self._framing == "json":
                self._read_whole(b"".join(self._whole))
        except EventTooLarge as error:
            self.fail(error)

    def fail(self, error: TidegateError) -> None:
        """The answer cannot go on."""
        if self.error is None:
            self.error = error

    def _event(self, event: SseEvent) -> None:
        if event.event == "error":
            self._failed(error_of(event.data) or Failed("The server reported an error."))
        elif event.id is None or not self._ids.repeated(event.id, event.data):
            self._look(event.data)

    @property
    def _pending(self) -> bool:
        """This read is not the beginning of an event, or nothing is read any more."""
        unfinished = self._sse.pending if self._framing == "sse" else self._ndjson.pending
        return bool(unfinished) or self._done or self.error is not None or self._size > MAX_ANSWER

    def _learn(self, payload: bytes, text: str) -> None:
        """Remember what stands around ``text``, when the same around another text would say that text and no more."""
        prefix, found, suffix = payload.partition(b'"%b"' % text.encode())
        if not found or not _unescaped(text.encode()):
            return
        prefix, suffix = prefix + b'"', b'"' + suffix
        for probe in ("x", "yz"):
            try:
                if _plain(prefix + probe.encode() + suffix).choices[0].delta.content != probe:
                    return
            except msgspec.DecodeError:
                return
        sse = self._framing == "sse"
        self._prefix = b"data: " + prefix if sse else prefix
        self._suffix = suffix + (b"\n\n" if sse else b"\n")
        self._between = self._suffix + self._prefix

    def _look(self, payload: bytes) -> None:
        if self._misses < _MISSES:
            try:
                text = _plain(payload).choices[0].delta.content
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                self._misses += 1
            else:
                self._misses = 0
                # The first chunk tells who answers: it is read in full whatever it looks like.
                if self._roles and self.error is None and not self._done:
                    if self._hits % _LEARN == 0 and text and b"\n" not in payload:
                        self._learn(payload, text)
                    self._hits += 1
                    if text:
                        self._plain([text])
                    return
        self._look_closely(payload)

    def _plain(self, texts: list[str]) -> None:
        """Deltas of text and nothing else."""
        self.tokens += len(texts)
        self._plain_texts += texts
        if self._raw:
            self.events += map(TextDelta, texts)
        else:
            self.texts += texts

    def _look_closely(self, payload: bytes) -> None:
        if self.over or not payload:
            return
        if payload[:1] != b"{" and payload.strip() == b"[DONE]":
            self._done = True
            return
        try:
            chunk = decode_chunk(payload)
        except MalformedChunk:
            self.malformed += 1
            return
        self._chunk(chunk)
        if b'"tidegate"' in payload and isinstance(ours := decode_object(payload).get("tidegate"), dict):
            self.ours.update(ours)

    def _chunk(self, chunk: Chunk) -> None:
        self.assembled.feed(chunk)
        self.tokens += has_token(chunk)
        self._finishing = self._finishing or any(choice.finish_reason for choice in chunk.choices)
        if self._raw:
            # The error follows as an exception, not as an event.
            found = events(chunk, known_roles=self._roles, calls=self._calls)
            self.events += [event for event in found if not isinstance(event, Failed)]
        else:
            self._roles.update(choice.index for choice in chunk.choices)
            self.texts += [text for choice in chunk.choices if choice.index == 0 and (text := text_of(choice.delta))]
        if (failed := error_of(chunk)) is not None:
            self._failed(failed)
        elif any(choice.finish_reason == "error" for choice in chunk.choices):
            self._failed(Failed("The server ended the answer with finish reason 'error'."))

    def _read_whole(self, body: bytes) -> None:
        """A server that ignored ``stream: true`` sent one answer; one that streams under a wrong name, lines."""
        try:
            payloads = chunks_of_response(body)
        except MalformedChunk:
            payloads = [line for line in body.split(b"\n") if line.strip()]
        for payload in payloads:
            self._look(payload)

    def _failed(self, failed: Failed) -> None:
        code = failed.code
        if code is not None and len(code) == 3 and code.isascii() and code.isdigit() and code[0] == "4":
            # What the status would have meant, had the error come before the stream.
            self.fail(UpstreamRefused(failed.message, status=int(code), code=failed.type or code))
        elif code in _NAMED:
            self.fail(_NAMED[code](failed.message))
        else:
            self.fail(UpstreamErrorEvent(failed.message, code=code or failed.type))


_NAMED: Final[dict[str, type[TidegateError]]] = {
    kind.default_code: kind for kind in (UpstreamCut, FirstTokenTimeout, IdleTimeout, TotalTimeout, ShutDown)
}
"""A gateway's own codes, as the errors that they were there."""

_FRAMINGS: Final = {
    "text/event-stream": "sse",
    "": "sse",
    "text/plain": "sse",
    "application/octet-stream": "sse",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/json": "json",
}
"""Content type to framing. Servers that forget to name an event stream are read as one."""
