"""PURE. The body of an answer to a call that is not chat, on its way through: whole events, or bytes as they come.

Nothing is decoded but what may say something: usage, finish reasons, errors. The upstream's secrets are removed.
"""

from __future__ import annotations

import re
from typing import Any, Final, Protocol

import msgspec

from tidegate.errors import EventTooLarge, UpstreamErrorEvent
from tidegate.relay.answer import Answer
from tidegate.relay.body import Head, Redactor
from tidegate.wire.call import MAX_TAIL, call_usage, usage_in
from tidegate.wire.openai_chat import MalformedChunk, error_of
from tidegate.wire.openai_chat.chunk import decode_object

__all__ = ["HELD", "BytesLane", "CallAnswer", "CallLane", "EventLane", "call_lane"]

HELD: Final = 256 * 1024
"""Bytes of a JSON answer that are held until it is whole, so that one that is cut becomes an error; a longer one
flows."""

_BORDER: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_BORDER_BYTES: Final = 4
_LINE: Final = re.compile(rb"\r\n|\n|\r")
_TERMINAL: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
_DONE: Final = b"[DONE]"


class CallAnswer(Answer):
    """What is known of an answer while it passes.

    :param path: of the call, behind ``/v1``: it decides what a stream ends with.
    """

    __slots__ = ("_completion", "_events", "_response", "_terminal", "told", "whole")

    def __init__(self, path: str) -> None:
        super().__init__()
        self.whole = False
        """The body has come to its end, as far as HTTP can tell."""
        self.told: UpstreamErrorEvent | None = None
        """An error that the reader has got, in the upstream's own words."""
        self._completion = path == "/completions"
        self._response = path.startswith("/responses")
        self._events = False
        self._terminal = False

    @property
    def complete(self) -> bool:
        """Nothing is missing. A completion needs a finish reason of each choice, a response its terminal event; of
        everything else the end of the body is all that can be known.
        """
        if self.told is not None:
            return True
        if self._events and self._completion:
            return super().complete
        return self._terminal if self._events and self._response else self.whole

    def expect_events(self) -> None:
        """It is a stream."""
        self._events = True

    def event(self, payload: bytes) -> bool:
        """One event has come; ``False``: it must not pass, because it claims an end that is none."""
        if payload.strip() == _DONE:
            self.done = not self._completion or super().complete or self.told is not None
            return self.done
        telling = payload.find(b'"usage"') >= 0 or payload.find(b'"error"') >= 0 or payload.find(b'"response.') >= 0
        if not telling and not self._completion:
            self.tokens += 1
            return True
        try:
            event = decode_object(payload)
        except MalformedChunk:
            self.malformed += 1
            return True
        self._look(event, payload)
        return True

    def _look(self, event: dict[str, Any], payload: bytes) -> None:
        kind, response = event.get("type"), event.get("response")
        inner = response if isinstance(response, dict) else {}
        usage = call_usage(event.get("usage")) or call_usage(inner.get("usage"))
        if usage is not None:
            self.usage = usage
        if kind in _TERMINAL:
            self._terminal = self.done = True
        if event.get("error") or kind == "error" or kind == "response.failed":
            failed = error_of(msgspec.json.encode(inner) if inner else payload)
            message = "The upstream reported an error." if failed is None else failed.message
            self.told = UpstreamErrorEvent(message, code=None if failed is None else failed.code)
        elif self._completion:
            self._choices(event)
        elif isinstance(kind, str) and kind.endswith(".delta"):
            self.tokens += 1

    def _choices(self, event: dict[str, Any]) -> None:
        for choice in event.get("choices") or ():
            if isinstance(choice, dict):
                index, reason = choice.get("index", 0), choice.get("finish_reason")
                self._seen.add(index if isinstance(index, int) else 0)
                if isinstance(reason, str) and reason:
                    self.finished[index if isinstance(index, int) else 0] = reason
                if choice.get("text"):
                    self.tokens += 1


class CallLane(Protocol):
    """One answer's bytes."""

    starts: bool
    """What has come is worth a head: from here on nothing can be tried again."""

    @property
    def pending(self) -> int:
        """Bytes that are held."""

    def feed(self, data: bytes) -> bytes:
        """The bytes to write now."""

    def close(self) -> bytes:
        """The body has ended cleanly: what is left of it. Says so in the answer when it is whole."""


class EventLane:
    """Server-sent events: each leaves whole or not at all, so that an error event can follow."""

    __slots__ = ("_answer", "_held", "_max", "_redact", "starts")

    def __init__(self, answer: CallAnswer, *, max_event: int, redact: Redactor | None) -> None:
        self._answer = answer
        answer.expect_events()
        self._max = max_event
        self._redact = redact
        self._held = bytearray()
        self.starts = False

    @property
    def pending(self) -> int:
        return len(self._held)

    def feed(self, data: bytes) -> bytes:
        # Only what is new, and a border that begins in what was held.
        start = max(0, len(self._held) - _BORDER_BYTES + 1)
        self._held += data
        cut = 0
        for border in _BORDER.finditer(self._held, start):
            cut = border.end()
        if len(self._held) - cut > self._max:
            self._answer.end(EventTooLarge(f"The upstream sent an event of more than {self._max} bytes."))
        if not cut:
            return b""
        whole = bytes(memoryview(self._held)[:cut])
        del self._held[:cut]
        return self._events(whole)

    def close(self) -> bytes:
        rest = bytes(self._held)
        # The last event's blank line may be missing, half a line is half an event.
        if rest.strip() and rest[-1:] not in (b"\n", b"\r"):
            return b""
        self._held.clear()
        self._answer.whole = True
        return self._events(rest + b"\n") if rest.strip() else b""

    def _events(self, whole: bytes) -> bytes:
        if self._redact is not None and self._redact.found(whole):
            whole = self._redact.redact_bytes(whole)
        passed, at = [], 0
        for border in _BORDER.finditer(whole):
            payload = _payload(whole[at : border.start()])
            if payload is None or self._answer.event(payload):
                if self._answer.told is not None and not self.starts:
                    self._answer.end(self._answer.told)  # nobody has seen anything yet: another try may go better
                    return b""
                passed.append(whole[at : border.end()])
                self.starts = self.starts or payload is not None
            at = border.end()
        return b"".join(passed)


class BytesLane:
    """Anything else: bytes as they come.

    :param hold: so many are held until the body is whole.
    :param json: the body is JSON, whose usage is looked for.
    """

    __slots__ = ("_answer", "_hold", "_json", "_kept", "_redact", "_size", "_tail", "starts")

    def __init__(self, answer: CallAnswer, *, hold: int, json: bool, redact: Redactor | None) -> None:
        self._answer = answer
        self._hold = hold
        self._json = json
        self._redact = redact
        self._tail = bytearray()
        self._kept = b""
        self._size = 0
        self.starts = False

    @property
    def pending(self) -> int:
        return len(self._kept)

    def feed(self, data: bytes) -> bytes:
        self._size += len(data)
        if self._json:
            self._tail += data
            if self._size > self._hold:
                del self._tail[:-MAX_TAIL]
        out = self._clean(data) if self._redact is not None else data
        self.starts = self._size > self._hold
        return out

    def _clean(self, data: bytes) -> bytes:
        """Without secrets; so many bytes wait that one which stands across two reads is found."""
        assert self._redact is not None
        data = self._kept + data
        if self._redact.found(data):
            data = self._redact.redact_bytes(data)
        at = max(0, len(data) - self._redact.longest + 1)
        self._kept = data[at:]
        return data[:at]

    def close(self) -> bytes:
        tail = bytes(self._tail)
        self._answer.whole = not self._json or tail.rstrip()[-1:] in (b"}", b"]")
        if self._json:
            self._answer.usage = usage_in(tail, whole=self._size <= self._hold)
        kept, self._kept = self._kept, b""
        return kept


def call_lane(
    head: Head, answer: CallAnswer, *, max_event: int, redact: Redactor | None, hold: int = HELD
) -> EventLane | BytesLane:
    """The lane for a body, by its ``content-type``."""
    kind = (head.get(b"content-type") or b"").partition(b";")[0].strip().lower()
    if kind == b"text/event-stream":
        return EventLane(answer, max_event=max_event, redact=redact)
    json = kind == b"application/json" or kind.endswith(b"+json")
    return BytesLane(answer, hold=hold if json else 0, json=json, redact=redact)


def _payload(block: bytes) -> bytes | None:
    """The data of one event; ``None`` for a comment."""
    if block.startswith(b"data:") and block.find(b"\n") < 0 and block.find(b"\r") < 0:
        return block[5:].removeprefix(b" ")
    lines = [line for line in _LINE.split(block) if line.startswith(b"data:")]
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines) if lines else None
