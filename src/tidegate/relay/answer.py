"""PURE. What is known of one answer while it passes: tokens, finish reasons, usage, errors; what each event becomes.

This is where completeness is decided. An answer is complete when every choice that was seen has a finish reason;
``[DONE]`` alone proves nothing, because model servers send it after a cut too.
"""

from __future__ import annotations

from typing import Any, Final

from tidegate.errors import TidegateError, UpstreamErrorEvent, UpstreamProtocolError, UpstreamRefused
from tidegate.events import Failed, Usage
from tidegate.wire.openai_chat import (
    ChatAssembler,
    Chunk,
    MalformedChunk,
    decode_chunk,
    encode_json,
    error_of,
    has_token,
    usage_of,
)
from tidegate.wire.openai_chat.chunk import decode_object

__all__ = ["MAX_ANSWER", "Answer"]

MAX_ANSWER: Final = 64 * 1024 * 1024
"""Bytes of a whole answer that is held for a request without ``stream``. The longest real ones are below 2 MiB."""

MAX_CHOICES: Final = 128
"""OpenAI's limit for ``n``."""

_DONE: Final = b"[DONE]"
_FRAMING: Final = len("data: \n\n")
_REPORTED: Final = 5
"""Malformed events that are reported one by one; the rest is only counted."""


class Answer:
    """Fed with the JSON of each event, in order.

    :param fatal_malformed: an event that is not valid ends the answer instead of being skipped.
    :param collect: keep every chunk, for one whole answer at the end.
    """

    __slots__ = (
        "_fatal_malformed",
        "_held",
        "_seen",
        "aside",
        "assembler",
        "attention",
        "chunk",
        "created",
        "done",
        "error",
        "finished",
        "hide_usage",
        "id",
        "latest",
        "malformed",
        "malformed_at",
        "model",
        "tokens",
        "usage",
    )

    def __init__(self, *, fatal_malformed: bool = False, collect: bool = False) -> None:
        self.tokens = 0
        """Deltas that carry something for the reader."""
        self.latest = 0
        """Those of the last chunk that passed."""
        self.attention = False
        """More than another token happened: look at ``done``, ``error``, ``complete``, ``malformed_at``."""
        self.done = False
        """The end marker was seen; whatever follows is ignored."""
        self.error: TidegateError | None = None
        """The answer has failed; whatever follows is ignored."""
        self.finished: dict[int, str] = {}
        """The finish reason of each choice that has one."""
        self.usage: Usage | None = None
        self.malformed = 0
        self.malformed_at: list[tuple[int, int]] = []
        """Offset and size of the first few malformed events, until somebody reports them."""
        self.chunk: Chunk | None = None
        """The last chunk that passed."""
        self.id = ""
        self.model = ""
        self.created = 0
        self.assembler = ChatAssembler() if collect else None
        self.aside = 0
        """Bytes of events without a token."""
        self.hide_usage = False
        """The reader did not ask for the usage chunk; we did."""
        self._held = 0
        self._seen: set[int] = set()
        self._fatal_malformed = fatal_malformed

    @property
    def complete(self) -> bool:
        """Every choice that was seen has its finish reason, and there is one."""
        return bool(self._seen) and len(self.finished) == len(self._seen)

    @property
    def finish_reason(self) -> str | None:
        """The upstream's word for the first choice."""
        return self.finished[min(self.finished)] if self.finished else None

    @property
    def text(self) -> str | None:
        """The text so far of an answer that is collected; ``None`` of any other."""
        return None if self.assembler is None else self.assembler.text

    @property
    def open_choices(self) -> list[int]:
        """Choices without a finish reason; ``[0]`` when none was seen yet."""
        return sorted(self._seen - self.finished.keys()) if self._seen else [0]

    def look(self, payload: bytes, offset: int = 0) -> bytes | None:
        """What the event's JSON becomes: itself (the same object), a repaired one, or ``None`` for nothing.

        :param offset: where the event stands in the body, for the report of a malformed one.
        """
        self.chunk = None
        if self.done or self.error is not None or not payload:
            return None
        if payload[:1] != b"{" and payload.strip() == _DONE:
            self.done = self.attention = True
            return None
        try:
            chunk = decode_chunk(payload)
        except MalformedChunk:
            self._note_malformed(len(payload), offset)
            return None
        failed = error_of(chunk)
        if failed is not None:
            self.fail(failed)
            if not has_token(chunk):
                return None
            # An error beside a token: the token still counts, the error follows as our own event.
            payload = _without_errors(payload)
            chunk = decode_chunk(payload)
        return self._pass(chunk, payload)

    def fail(self, failed: Failed) -> None:
        """The upstream reported an error inside the stream."""
        self.end(_error_of_event(failed))

    def end(self, error: TidegateError) -> None:
        """The answer cannot go on."""
        if self.error is None:
            self.error = error
            self.attention = True

    def _pass(self, chunk: Chunk, payload: bytes) -> bytes | None:
        self.chunk = chunk
        roleless = False
        for choice in chunk.choices:
            if choice.index not in self._seen:
                if len(self._seen) == MAX_CHOICES:
                    self.end(UpstreamProtocolError(f"The upstream sent more than {MAX_CHOICES} choices."))
                    return None
                self._seen.add(choice.index)
                roleless = roleless or (choice.delta.role is None and choice.message is None)
            if choice.finish_reason:
                self.finished[choice.index] = choice.finish_reason
                self.attention = True
                if choice.finish_reason == "error":
                    self.end(UpstreamErrorEvent("The upstream ended the answer with finish reason 'error'."))
        self.latest = has_token(chunk)
        self.tokens += self.latest
        if not self.latest:
            self.aside += len(payload) + _FRAMING
        usage = usage_of(chunk)
        if usage is not None:
            self.usage = usage
            if self.hide_usage and not chunk.choices:
                return None
        if not self.id:
            self.id, self.model, self.created = chunk.id or "", chunk.model or "", int(chunk.created or 0)
        if self.assembler is not None:
            self._collect(chunk, len(payload))
        return _with_role(payload) if roleless else payload

    def _collect(self, chunk: Chunk, size: int) -> None:
        assert self.assembler is not None
        self._held += size
        if self._held > MAX_ANSWER:
            self.end(UpstreamProtocolError(f"The answer is larger than {MAX_ANSWER} bytes; ask for a stream."))
        else:
            self.assembler.feed(chunk)

    def _note_malformed(self, size: int, offset: int) -> None:
        self.malformed += 1
        self.attention = True
        if self.malformed <= _REPORTED:
            self.malformed_at.append((offset, size))
        if self._fatal_malformed:
            self.end(UpstreamProtocolError("The upstream sent an event that is not valid.", code="malformed_event"))


def _error_of_event(failed: Failed) -> TidegateError:
    """A numeric 4xx code means what the status would have meant, had the error come before the stream."""
    code = failed.code
    if code is not None and len(code) == 3 and code.isascii() and code.isdigit() and code[0] == "4":
        return UpstreamRefused(failed.message, status=int(code), code=failed.type or code)
    return UpstreamErrorEvent(failed.message, code=code or failed.type)


def _with_role(payload: bytes) -> bytes:
    """The first delta of a choice says who speaks; SDKs that build a message from deltas fail without it."""
    chunk = decode_object(payload)
    for choice in chunk["choices"]:
        delta = choice.get("delta") if isinstance(choice, dict) else None
        if isinstance(delta, dict) and delta.get("role") is None:
            choice["delta"] = {"role": "assistant", **{name: value for name, value in delta.items() if name != "role"}}
        elif isinstance(choice, dict) and delta is None:
            choice["delta"] = {"role": "assistant"}
    return encode_json(chunk)


def _without_errors(payload: bytes) -> bytes:
    chunk: dict[str, Any] = decode_object(payload)
    chunk.pop("error", None)
    for choice in chunk.get("choices", ()):
        if isinstance(choice, dict):
            choice.pop("error", None)
            if choice.get("finish_reason") == "error":
                choice["finish_reason"] = None
    return encode_json(chunk)
