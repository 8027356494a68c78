"""A call that is not chat: a :class:`tidegate.relay.stream.Stream` whose answer passes as the upstream framed it.

Life, deadlines, backpressure, cancel, tries and books are a stream's. What differs is here: which bytes make a head
worth sending, and what the reader gets at the end.
"""

from __future__ import annotations

from math import ceil
from typing import Any, Final

from tidegate.errors import TidegateError, UpstreamCut
from tidegate.relay.allowance import Allowance
from tidegate.relay.answer import Answer
from tidegate.relay.body import Head, Redactor, Refusal
from tidegate.relay.call_body import BytesLane, CallAnswer, EventLane, call_lane
from tidegate.relay.downstream import Downstream
from tidegate.relay.endings import Framing, error_body
from tidegate.relay.headers import described, passed_on
from tidegate.relay.intake import Intake
from tidegate.relay.lifecycle import Reason, State
from tidegate.relay.options import StreamOptions
from tidegate.relay.output import Headers, Output
from tidegate.relay.stream import Stream
from tidegate.wire.openai_chat import encode_json
from tidegate.wire.sse import encode_sse

__all__ = ["CallStream"]

# Whatever it is, a browser shall neither guess what it is nor run it as a page of the gateway's own.
_GUARD: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"sandbox; default-src 'none'"),
)
_STREAMING: Final = ((b"cache-control", b"no-cache, no-transform"), (b"x-accel-buffering", b"no"))


class CallStream(Stream):
    """One call."""

    __slots__ = ()

    _intake: CallIntake
    _out: CallOutput
    answer: CallAnswer

    def _new_intake(self, redact: Redactor | None) -> CallIntake:
        return CallIntake(self.request.path.partition("?")[0], self._options, redact)

    def _new_output(self, headers: Headers) -> CallOutput:
        return CallOutput(self._down, self.framing, self.id, self._options, headers)

    def _pass(self, data: bytes, framed: bytes | None, now: float) -> None:
        intake, answer = self._intake, self.answer
        out = intake.lane.feed(data) if intake.lane is not None else intake.first(data)
        self._out.events = isinstance(intake.lane, EventLane)
        if self._away:
            if answer.done or answer.error is not None:
                self._settle()
            return
        if out and intake.starts and self.life.state is State.WAITING:
            self._on_first_token(out, now)
        else:
            if answer.tokens != self.timing.tokens:
                self.timing.on_tokens(now, answer.tokens)
            if out:
                self._give(out, now)
        if answer.error is not None:
            self._failed(answer.error)
        elif answer.done:
            self._complete(b"")

    def _pass_within(self, allowance: Allowance, data: bytes, framed: bytes | None, now: float) -> None:
        """Events are tokens, about; what is not a stream tells its tokens at its end, if at all."""
        if isinstance(self._intake.lane, BytesLane):
            self._pass(data, framed, now)
        else:
            super()._pass_within(allowance, data, framed, now)

    def _succeed(self, out: bytes) -> None:
        self._out.succeed(self.answer, out)
        self.error = self.answer.told
        self._end(Reason.STOP if self.error is None else Reason.UPSTREAM_ERROR)

    def soft_stop(self) -> bool:
        """There is no clean end of an answer whose form is not known: the same as a cancel."""
        if self.ended:
            return False
        self.cancel()
        return True


class CallIntake(Intake):
    """One try's head, lane and answer.

    :param path: of the call, behind ``/v1``.
    """

    __slots__ = ()

    lane: EventLane | BytesLane | Refusal | None
    answer: CallAnswer

    def __init__(self, path: str, options: StreamOptions, redact: Redactor | None) -> None:
        super().__init__(Framing.RAW, options, redact)
        self.answer = CallAnswer(path)

    @property
    def starts(self) -> bool:
        """What has come is worth a head."""
        return not isinstance(self.lane, Refusal) and self.lane is not None and self.lane.starts

    def first(self, data: bytes) -> bytes:
        assert self.head is not None
        self.lane = call_lane(self.head, self.answer, max_event=self._options.max_event_bytes, redact=self.redact)
        return self.lane.feed(data)

    def close(self) -> bytes:
        if self.lane is None:
            self.answer.whole = True
            return b""
        return b"" if isinstance(self.lane, Refusal) else self.lane.close()

    def rest(self) -> bytes:
        return b""

    def cut(self) -> UpstreamCut:
        if self.lane is not None and self.lane.pending:
            return UpstreamCut("The upstream's answer ended in the middle of an event.")
        return UpstreamCut("The upstream's answer ended before it was whole.")


class CallOutput(Output):
    """Ours to the downstream: the upstream's status and what it says of its body."""

    __slots__ = ("events",)

    def __init__(
        self, down: Downstream, framing: Framing, stream_id: str, options: StreamOptions, also: Headers = ()
    ) -> None:
        super().__init__(down, framing, stream_id, options, also)
        self.events = False
        """The body is an event stream."""

    def start(self, status: int, extra: Headers = (), length: int | None = None) -> None:
        if self.status:
            return
        headers = [(b"x-stream-id", self._id.encode("ascii")), *self._also, *extra]
        head = self._head
        if status == 200 and head is not None:  # the answer itself, with a status of its own
            status = head.status
            headers += [*described(head, self._redact), *passed_on(head, self._redact), *_GUARD]
            if length is None:
                headers += _STREAMING
                length = None if self._redact is not None else _length(head)
        self.status = status
        self._down.start(status, headers, length)

    def succeed(self, answer: Answer, last: bytes, verdict: dict[str, Any] | None = None) -> None:
        if self.status:
            self.finish(last)
            return
        # All of it is here: its length is known, and it goes in one piece.
        body = b"".join(self._prelude or ()) + last
        self._prelude = None
        self.start(200, length=len(body))
        self.finish(body)

    def tell(self, error: TidegateError) -> None:
        if not self.status:
            extra = [(b"content-type", b"application/json")]
            if error.retry_after is not None:
                extra.append((b"retry-after", b"%d" % max(1, ceil(error.retry_after))))
            self._head = None
            self._reply(error.status, error_body(error, self._id), extra)
        elif self.events:
            public = error.public(self._id)
            # A completion's SDK raises on `error` inside, a response's on the event's type.
            event = encode_json({"type": "error", **{key: public["error"][key] for key in _TOLD}, **public})
            self.finish(encode_sse(event, event="error"))
        else:
            self.abort()  # there is no other word for it that could not be part of the body


_TOLD: Final = ("message", "code", "param")


def _length(head: Head) -> int | None:
    """Of the body, when the upstream has said it and it passes as it is."""
    told = head.get(b"content-length")
    coded = (head.get(b"content-encoding") or b"identity").strip().lower() != b"identity"
    return int(told) if told is not None and told.isdigit() and not coded else None
