"""What one try's answer turns out to be: from its head and its first bytes to what its end means."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tidegate.errors import TidegateError, UpstreamCut, UpstreamProtocolError
from tidegate.policy.retry import retry_after_of
from tidegate.relay.answer import Answer
from tidegate.relay.body import Redactor, Refusal, WholeBody, lane_of
from tidegate.relay.endings import Framing
from tidegate.relay.lane import Lane, NdjsonLane, SseLane
from tidegate.relay.options import StreamOptions
from tidegate.relay.rewrite import FilteredAnswer, RewriteLane
from tidegate.safety.chat import ChatFilter
from tidegate.upstream.exchange import ResponseHead
from tidegate.wire.ndjson import encode_record
from tidegate.wire.openai_chat import MalformedChunk, chunks_of_response
from tidegate.wire.sse import encode_sse

if TYPE_CHECKING:
    from tidegate.relay.checks.answer import Looks

__all__ = ["Intake"]

MAX_GROWTH: Final = 1024 * 1024
"""Bytes by which one JSON body may grow when it becomes events."""


class Intake:
    """One try's head, lane and answer.

    :param framing: what the reader wants.
    :param redact: looked at for everything that passes; ``None`` when there is no secret.
    :param texts: makes the filter that the answer's texts pass; ``None`` when they pass as they come.
    :param collect: keep what the answer says, as every answer in one body does.
    :param looks: looks at every chunk that leaves; ``None`` when nothing is checked.
    """

    __slots__ = ("_collect", "_every", "_framing", "_options", "answer", "head", "lane", "redact")

    def __init__(
        self,
        framing: Framing,
        options: StreamOptions,
        redact: Redactor | None = None,
        texts: Callable[[], ChatFilter] | None = None,
        *,
        collect: bool = False,
        looks: Looks | None = None,
    ) -> None:
        self._framing = framing
        self._options = options
        self.redact = redact
        self.head: ResponseHead | None = None
        self.lane: Lane | WholeBody | Refusal | None = None
        """What the body goes through; ``None`` before its first bytes."""
        self._collect = collect = collect or framing is Framing.JSON
        self._every = collect or looks is not None
        """Every chunk has to be decoded."""
        fatal = options.malformed == "fatal"
        if looks is not None:
            from tidegate.relay.checks.answer import checked_answer  # only where something is checked

            filter_ = None if texts is None else texts()
            self.answer: Answer = checked_answer(looks, filter_, fatal_malformed=fatal, collect=collect)
            return
        self.answer = (
            Answer(fatal_malformed=fatal, collect=collect)
            if texts is None
            else FilteredAnswer(texts(), fatal_malformed=fatal, collect=collect)
        )

    def on_head(self, head: ResponseHead) -> None:
        """The final head is here."""
        self.head = head
        if not 200 <= head.status < 300:
            self.lane = Refusal(head, retry_after_of(head.headers, now_epoch=time.time()))

    def first(self, data: bytes) -> bytes:
        """The body's first bytes; they decide what carries it.

        :raises UpstreamProtocolError: it is nothing that can be carried.
        """
        assert self.head is not None
        lane = lane_of(
            self.head,
            data,
            self.answer,
            ndjson=self._framing is Framing.NDJSON,
            max_event=self._options.max_event_bytes,
            redact=self.redact,
            fast=not self._every and not isinstance(self.answer, FilteredAnswer),
        )
        if isinstance(lane, UpstreamProtocolError):
            raise lane
        streaming = not self._every  # what is collected or looked at wants every chunk decoded
        if streaming and isinstance(lane, SseLane) and isinstance(self.answer, FilteredAnswer):
            lane = RewriteLane(
                self.answer,
                ndjson=self._framing is Framing.NDJSON,
                max_event=self._options.max_event_bytes,
                redact=self.redact,
            )
        self.lane = lane
        return lane.feed(data)

    def close(self) -> bytes:
        """The body has ended: what of it was still held."""
        if isinstance(self.lane, WholeBody):
            return self._as_events(self.lane.body())
        return self.lane.close() if isinstance(self.lane, NdjsonLane) else b""

    def _as_events(self, body: bytes) -> bytes:
        """One JSON body where a stream was asked for: as a stream, or as the error that it is."""
        lane = SseLane(
            self.answer,
            ndjson=self._framing is Framing.NDJSON,
            max_event=2 * len(body) + MAX_GROWTH,
            redact=self.redact,
            fast=False,
        )
        try:
            chunks = chunks_of_response(body)
        except MalformedChunk:
            chunks = [body]  # an error object, which the answer recognises, or nothing that it knows
        return lane.feed(
            b"".join(b"data: " + chunk.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n\n" for chunk in chunks)
        )

    @property
    def blocked(self) -> bool:
        """A filter has ended the answer, whatever the upstream still has to say."""
        return isinstance(self.answer, FilteredAnswer) and self.answer.blocked

    def rest(self) -> bytes:
        """What a filter still holds of an answer that breaks off, as far as it may be seen."""
        rest = self.answer.flush() if isinstance(self.answer, FilteredAnswer) else None
        if rest is None or self._framing is Framing.JSON:
            return b""
        return encode_record(rest) if self._framing is Framing.NDJSON else encode_sse(rest)

    def refusal(self) -> TidegateError | None:
        """The upstream's refusal, if it is one."""
        return self.lane.error(self.redact) if isinstance(self.lane, Refusal) else None

    def cut(self) -> UpstreamCut:
        """Why a body that has ended without completing its answer is not whole."""
        if self.lane is not None and not isinstance(self.lane, WholeBody) and self.lane.pending:
            return UpstreamCut("The upstream's answer ended in the middle of an event.")
        if self.answer.tokens:
            return UpstreamCut("The upstream's answer ended without a finish reason.")
        return UpstreamCut("The upstream's answer ended before its first token.")
