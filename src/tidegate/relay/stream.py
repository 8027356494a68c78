"""ONE stream: what the upstream sends on one side, the reader on the other, and its end.

The token path is :meth:`Stream.on_data`, with :mod:`tidegate.relay.express` before it: one read of the upstream's
socket becomes one write to the reader's, in the same callback, without a coroutine, a timer or a lock. Everything that
may wait (connecting, backing off) happens in :mod:`tidegate.relay.attempts`, which sleeps until this object wakes it.

What is here is who hears what, and when it is over. The way to the upstream is a :class:`tidegate.relay.leg.Leg`, the
reader's side an :class:`tidegate.relay.output.Output`, and time an :class:`tidegate.relay.deadlines.Alarm`.

Every way to end leads through :meth:`Stream._end`; the lifecycle's table decides who was first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, MutableMapping
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import structlog

from tidegate.errors import (
    Cancelled,
    FirstTokenTimeout,
    IdleTimeout,
    InternalError,
    StaleConnection,
    StreamEnded,
    TidegateError,
    TotalTimeout,
    UpstreamCut,
    UpstreamFault,
    UpstreamProtocolError,
)
from tidegate.policy.limits import NO_END
from tidegate.relay.allowance import Allowance
from tidegate.relay.body import Redactor, text_bytes
from tidegate.relay.deadlines import Alarm, Due, Waits, next_due
from tidegate.relay.downstream import Downstream
from tidegate.relay.endings import Framing, reason_of
from tidegate.relay.express import Express
from tidegate.relay.intake import Intake
from tidegate.relay.leg import Leg, Told, Tried
from tidegate.relay.lifecycle import Lifecycle, Reason, State, Step, reason_of_finish
from tidegate.relay.options import StreamOptions
from tidegate.relay.output import Headers, Output
from tidegate.relay.request import Request
from tidegate.relay.timing import Timing
from tidegate.relay.ways import express_of
from tidegate.safety.chat import ChatFilter
from tidegate.telemetry.log import place_of
from tidegate.upstream.exchange import Exchange, ResponseHead

if TYPE_CHECKING:
    from tidegate.relay.checks.judge import Ruling
    from tidegate.relay.checks.plan import CheckPlan
    from tidegate.relay.checks.watch import Watch

__all__ = ["Stream"]

GRACE: Final = 5.0
"""After every choice has finished: how long usage and the end marker may take to come."""

SMALLEST: Final = 16
"""Bytes that an event with a token has at the very least."""

_BUG: Final = "The gateway failed; the details are in its log."

_log = structlog.get_logger()


class Stream:
    """The upstream's sink, the downstream's reader, and the owner of the end.

    :param settled: told once, when everything of the stream is over.
    :param texts: makes the filter that the answer's texts pass; one for each try.
    :param allowance: how many tokens it may deliver; ``None``: any number.
    :param headers: of its head.
    :param tags: of the key, for the ledger.
    :param collect: keep what the answer says.
    :param plan: what the answer is checked for; ``None``: nothing.
    """

    __slots__ = (
        "_alarm",
        "_allowance",
        "_away",
        "_backlog",
        "_checking",
        "_closing",
        "_collect",
        "_down",
        "_express",
        "_flowing",
        "_grace_at",
        "_intake",
        "_last_in",
        "_leg",
        "_options",
        "_out",
        "_paused_at",
        "_plan",
        "_settled",
        "_settled_once",
        "_texts",
        "_watch",
        "accepted_at",
        "allowance",
        "answer",
        "bytes_in",
        "client",
        "error",
        "framing",
        "hits",
        "id",
        "life",
        "malformed",
        "model",
        "request",
        "retries",
        "tags",
        "timing",
        "tries",
        "upstream",
        "validation",
    )

    def __init__(
        self,
        *,
        stream_id: str,
        client: str,
        request: Request,
        framing: Framing,
        down: Downstream,
        options: StreamOptions,
        settled: Callable[[Stream], None],
        accepted: float | None = None,
        texts: Callable[[], ChatFilter] | None = None,
        allowance: Allowance | None = None,
        headers: Headers = (),
        tags: object = (),
        collect: bool = False,
        plan: CheckPlan | None = None,
    ) -> None:
        now = monotonic()
        self.id = stream_id
        self.client = client
        self.request = request
        self.framing = framing
        self.life = Lifecycle()
        self.timing = Timing(now if accepted is None else accepted)
        self.accepted_at = time.time() - (now - self.timing.accepted)
        self.error: TidegateError | None = None
        self.upstream = ""
        self.model = ""
        """The upstream's own name of the model."""
        self.retries = 0
        self.bytes_in = 0
        self.malformed = 0
        self.tags = tags
        self.hits: MutableMapping[tuple[str, str], int] = {}
        """What the safety rules found: how often, by rule and action."""
        self.tries: tuple[Tried, ...] = ()
        """Those before the one that counts."""
        self._texts = texts
        self.allowance = allowance
        # Without an end to it, nothing is compared with it.
        self._allowance = None if allowance is None or allowance.tokens >= NO_END else allowance
        if self._allowance is not None:
            self._allowance.bind(self._allow)
        self._collect = collect
        self._options = options
        self.validation: dict[str, Any] | None = None
        """The verdict on the whole answer."""
        self._plan = plan
        self._watch: Watch | None = None
        # The answer is whole, and waits for the verdicts on it.
        self._checking = False
        self._backlog = False
        self._down = down
        self._settled = settled
        self._settled_once = False
        # The upstream's side.
        self._leg = Leg()
        self._express: Express | None = None
        self._last_in = now
        # The reader's side.
        self._out = self._new_output(headers)
        self._take_in(None)
        self._flowing = False
        self._paused_at: float | None = None
        # The end.
        self._closing: Callable[[], None] | None = None
        self._away = False
        self._grace_at: float | None = None
        self._alarm = Alarm(self._next_due, self._on_due, self.on_bug)

    def _new_intake(self, redact: Redactor | None) -> Intake:
        """What the next try's answer turns out to be."""
        return Intake(self.framing, self._options, redact, self._texts, collect=self._collect, looks=self._watch)

    def _new_output(self, headers: Headers) -> Output:
        return Output(self._down, self.framing, self.id, self._options, headers)

    def open(self) -> None:
        """Begin to listen to the reader."""
        self._down.bind(self)

    @property
    def paused(self) -> bool:
        """The reader is behind."""
        return self._paused_at is not None

    @property
    def bytes_out(self) -> int:
        """Body bytes sent to the reader."""
        return self._out.size

    @property
    def status(self) -> int:
        """The HTTP status that the reader got; 0 before the head was sent."""
        return self._out.status

    @property
    def text_bytes(self) -> int:
        """About how many bytes of text have come, where the shape of the events tells; else 0."""
        return text_bytes(self._intake.lane, min(self.bytes_in, self.bytes_out) - self.answer.aside, self.answer.tokens)

    # What the runner of attempts calls.

    @property
    def ended(self) -> bool:
        """No further attempt makes sense."""
        return self.life.state is State.ENDED or self._closing is not None or self._checking

    def connect(self, upstream: str, model: str, redact: Redactor | None, tell: Told) -> None:
        """An attempt begins; ``tell`` is told its outcome, once."""
        if self.life.state is State.WAITING:
            self.life.step(Step.RETRY)
        self.life.step(Step.CONNECT)
        self.upstream, self.model = upstream, model
        if self._intake.head is None:
            self._intake.redact = redact  # nothing has come in yet
        else:
            self.malformed += self.answer.malformed
            self._take_in(redact)
            self._out.begin()
        self._express = None
        self._grace_at = None
        self._leg.begin(tell)

    def _take_in(self, redact: Redactor | None) -> None:
        """A fresh answer."""
        if self._plan is not None:
            self._watch_anew(self._plan)
        self._intake = self._new_intake(redact)
        self.answer = self._intake.answer

    def _watch_anew(self, plan: CheckPlan) -> None:
        from tidegate.relay.checks.watch import Watch  # only where something is checked

        if self._watch is not None:
            self._watch.close()
        self._backlog = False
        self._watch = self._out.watch = Watch(plan, self.id, self, self._note_hit)

    def _note_hit(self, rule: str, action: str) -> None:
        self.hits[rule, action] = self.hits.get((rule, action), 0) + 1

    def wait_for(self, connecting: asyncio.Task[Exchange]) -> None:
        """The attempt's connection is being made."""
        self._leg.connecting(connecting, self._on_connected)
        self._arm()

    def sleep(self, seconds: float) -> asyncio.Future[TidegateError | None]:
        """A back-off: done after ``seconds``, or as soon as the stream has ended."""
        return self._leg.sleep(seconds)

    def retry(self, error: TidegateError) -> None:
        """The attempt failed and another one follows."""
        self.retries += 1
        started = self.tries[-1].ended if self.tries else 0.0
        ended = monotonic() - self.timing.accepted
        self.tries += (Tried(self.upstream, self.model, started, ended, error),)
        self.life.step(Step.RETRY)
        self._arm()

    def fail(self, error: TidegateError) -> None:
        """End with an error: a response of its own while there is no head yet, else an event."""
        if self.life.ended or self._closing is not None:
            return
        self._checked()
        self._leg.close()
        if self._paused_at is None:
            self._tell(error)
        elif isinstance(error, StreamEnded):
            # It has to end now, and a reader that does not read cannot be told.
            self._out.abort()
            self.error = error
            self._end(reason_of(error))
        else:
            self._close_later(partial(self._tell, error))

    def _on_connected(self, task: asyncio.Task[Exchange]) -> None:
        self._leg.connected()
        if task.cancelled():
            self._leg.wake(None)
            return
        error = task.exception()
        if error is None:
            self.on_sent(task.result())
        elif isinstance(error, TidegateError):
            self._leg.wake(error)
        else:
            self.on_bug(error)

    def on_sent(self, exchange: Exchange) -> None:
        """The attempt's request is on its way."""
        if self.ended:
            exchange.abort()
            return
        self._leg.exchange = exchange
        self.life.step(Step.SENT)
        self.timing.sent = self._last_in = monotonic()
        if self._paused_at is not None:
            exchange.pause()
        self._arm()

    # The upstream's side: upstream.exchange.Sink.

    def on_head(self, head: ResponseHead) -> None:
        self._intake.on_head(head)
        self._out.answered(head, self._intake.redact)

    def count(self) -> None:
        """Bring the figures up to date with what went straight through."""
        if self._express is not None:
            self._express.settle()

    def on_data(self, data: bytes, framed: bytes | None) -> None:
        now = monotonic()
        self._last_in = now
        self.count()
        self.bytes_in += len(data)
        try:
            if self._allowance is None or self._away:
                self._pass(data, framed, now)
            else:
                self._pass_within(self._allowance, data, framed, now)
        except UpstreamProtocolError as error:
            self._failed(error)
        except Exception as error:
            self.on_bug(error)

    def _pass(self, data: bytes, framed: bytes | None, now: float) -> None:
        lane = self._intake.lane
        out = lane.feed(data) if lane is not None else self._intake.first(data)
        answer = self.answer
        if answer.attention or not self._flowing:
            self._on_more(out, now)
            return
        self.timing.on_tokens(now, answer.tokens)
        if framed is None or out is not data or self._out.write_framed is None:
            if out:
                self._out.write(out)
        else:
            self._out.write_framed(framed)
            self._out.size += len(out)
        if framed is not None:
            self._go_express()

    def _pass_within(self, allowance: Allowance, data: bytes, framed: bytes | None, now: float) -> None:
        """Line by line where the read could hold more tokens than may pass: none of them is taken back."""
        answer = self.answer
        most = answer.tokens + len(data) // SMALLEST + 1
        if most >= allowance.tokens:
            most = answer.tokens + data.count(b"\n") + data.count(b"\r")
            if most >= allowance.tokens:
                allowance.ahead(most)
        if most < allowance.tokens:
            self._pass(data, framed, now)
        else:
            for line in data.splitlines(keepends=True):
                self._pass(line, None, now)
                if self.ended:
                    return
                error = allowance.more(answer.tokens) if answer.tokens > allowance.tokens else None
                if error is not None:
                    self.fail(error)
                    return
        self._allow()

    def _allow(self) -> None:
        """The tokens that may go straight through."""
        express = self._express
        if express is not None and self._allowance is not None:
            express.settle()
            express.left = self._allowance.tokens - self.answer.tokens

    def _go_express(self) -> None:
        """Reads of the shape that the lane has learnt need not come here."""
        known = self._express
        found = express_of(
            known,
            self,
            self._intake,
            self.answer,
            self.timing,
            self._out,
            ndjson=self.framing is Framing.NDJSON,
            max_event=self._options.max_event_bytes,
            limited=self._allowance is not None,
            ended=self._on_blocked,
            on_bug=self.on_bug,
        )
        if found is known or found is None:
            return
        self._express = found
        self._leg.go_straight(found)

    def _on_blocked(self, out: bytes) -> None:
        """A rule has ended a choice on the express path, which ends with it."""
        self.count()
        self._leg.go_straight(None)
        self._express = None
        try:
            self._on_more(out, monotonic())
        except Exception as error:
            self.on_bug(error)

    def _stop_flowing(self) -> None:
        self._flowing = False
        self._leg.go_straight(None)
        self.count()

    def on_end(self) -> None:
        self._leg.exchange = None
        self.count()
        try:
            self._on_body_end()
        except Exception as error:
            self.on_bug(error)

    def on_lost(self, error: UpstreamFault) -> None:
        self._leg.exchange = None
        self.count()
        try:
            refusal = self._intake.refusal()
            if refusal is not None:
                self._failed(refusal)
            elif self.answer.complete and not isinstance(error, StaleConnection):
                self._complete(b"")
            else:
                self._failed(error)
        except Exception as bug:
            self.on_bug(bug)

    def _on_body_end(self) -> None:
        refusal = self._intake.refusal()
        if refusal is not None:
            self._failed(refusal)
            return
        last = self._intake.close()
        if last or self.answer.attention:
            self._on_more(last, monotonic())
        if self.ended and not self._away:
            return
        if self.answer.complete:
            self._complete(b"")
        else:
            self._failed(self._intake.cut())

    def _on_more(self, out: bytes, now: float) -> None:
        """Whatever is more than another token in a flowing stream."""
        answer = self.answer
        if self._away:
            answer.attention = False
            if answer.done or answer.error is not None:
                self._settle()
            return
        if self.framing is Framing.JSON:
            out = b""
        if answer.tokens != self.timing.tokens:
            if self.life.state is State.WAITING:
                self._on_first_token(out, now)
                out = b""
            else:
                self.timing.on_tokens(now, answer.tokens)
        if answer.attention:
            self._attend(out, now)
        elif out:
            self._give(out, now)

    def _on_first_token(self, out: bytes, now: float) -> None:
        self.life.step(Step.FIRST_TOKEN)
        timing = self.timing
        timing.first_read = now
        timing.on_tokens(now, self.answer.tokens)
        if self.framing is not Framing.JSON:
            self._out.release(out)
            self._flowing = self._out.immediate
        timing.first_token = monotonic()
        if not self.ended:
            self._alarm.no_later_than(now + self._options.idle_timeout)

    def _give(self, out: bytes, now: float) -> None:
        if not self._out.give(out, now):
            self._failed(UpstreamProtocolError("The upstream sent too much before its first token."))

    def _attend(self, out: bytes, now: float) -> None:
        answer = self.answer
        answer.attention = False
        for offset, size in answer.malformed_at:
            _log.warning("relay.malformed_event", stream_id=self.id, upstream=self.upstream, offset=offset, size=size)
        answer.malformed_at.clear()
        if answer.done and answer.complete and answer.error is None:
            self._complete(out)
            return
        if out:
            self._give(out, now)
        if answer.error is not None:
            self._failed(answer.error)
        elif answer.done:
            self._failed(UpstreamCut("The upstream ended its answer without a finish reason."))
        elif answer.complete and self._grace_at is None:
            self._grace_at = now + min(GRACE, self._options.idle_timeout)
            self._alarm.no_later_than(self._grace_at)

    def _failed(self, error: TidegateError) -> None:
        """The attempt failed. Before the first token the runner decides what next; after it the stream has failed."""
        if self._away:
            self._leg.close()
            self._settle()
        elif self.life.state is State.STREAMING:
            self.fail(error)
        elif not self.ended:
            self._leg.close()
            self._leg.wake(error)

    # The reader's side: relay.downstream.Reader.

    def on_pause(self) -> None:
        self._paused_at = monotonic()
        if not self._away:
            self._leg.pause()
        self._arm()

    def on_resume(self) -> None:
        self._paused_at = None
        self._last_in = self._out.last = monotonic()
        if self._closing is not None:
            closing, self._closing = self._closing, None
            closing()
        else:
            if not self._backlog:
                self._leg.resume()
            self._arm()

    def on_gone(self) -> None:
        if self.life.ended:
            return
        self.timing.gone = monotonic()
        may_drain = self._options.on_disconnect == "drain" and self._closing is None and self._leg.exchange is not None
        if may_drain and not self.answer.complete:
            self._read_on()
            return
        self._leg.close()
        self.timing.closed = monotonic()
        self._end(Reason.CLIENT_CANCEL)

    def _read_on(self) -> None:
        """The reader left, and exact usage is wanted: read on without it, for a while."""
        self._away = True
        if self._watch is not None:
            self._watch.close()
        self._stop_flowing()
        self._leg.resume()
        self._paused_at = None
        self._alarm.instead(self._options.drain_seconds, self._settle)
        self.life.end(Reason.CLIENT_CANCEL)

    # Ends.

    def cancel(self) -> None:
        """DELETE: the model stops; a reader that is still there is told."""
        self.fail(Cancelled("The stream was cancelled."))

    def soft_stop(self) -> bool:
        """The model stops, the answer so far is kept and ends cleanly. False when the stream has ended already."""
        if self.ended:
            return False
        self._leg.close()
        self._when_not_paused(self._soft_stop)
        return True

    # What a watch says: relay.checks.watch.Watched.

    def on_free(self, out: bytes) -> None:
        if not self.life.ended and not self._away:
            self._out.pass_on(out, monotonic())

    def on_ruled(self, ruling: Ruling) -> None:
        if self.life.ended or self._closing is not None:
            return
        self._leg.close()
        self._checked()
        self._when_not_paused(self._ruled)

    def _ruled(self) -> None:
        watch, request = self._watch, self.request
        assert watch is not None
        finished = watch.finished
        watch.close()
        self._out.filtered(
            self.answer,
            finished=finished,
            usage_chunk=request.include_usage,
            model=request.model,
            created=int(self.accepted_at),
        )
        self._end(Reason.FILTERED)

    def on_backlog(self, full: bool) -> None:
        self._backlog = full
        if full:
            self._leg.pause()
        elif self._paused_at is None:
            self._last_in = monotonic()
            self._leg.resume()

    def _checked(self) -> None:
        """Nothing waits for a verdict any more."""
        self._checking = False
        self._backlog = False

    def _soft_stop(self) -> None:
        self.count()
        self._give_rest()
        self._out.soft_stop(
            self.answer,
            usage_chunk=self.request.include_usage,
            model=self.request.model,
            created=int(self.accepted_at),
        )
        self._end(Reason.SOFT_STOP)

    def _complete(self, out: bytes) -> None:
        """The answer is whole."""
        if self.ended and not self._away:
            return
        if self._intake.blocked:
            self._leg.close()  # the model need not go on with what nobody will see
        else:
            self._leg.linger()
        if self._away:
            self._settle()
        elif self._watch is None:
            self._when_not_paused(partial(self._succeed, out))
        else:
            self._when_checked(self._watch, out)

    def _when_checked(self, watch: Watch, out: bytes) -> None:
        """Everything but the end marker leaves as soon as it may; the end waits for the last verdict."""
        self._checking = True
        if self.framing is not Framing.JSON:
            self._out.give(out, monotonic())
        self._arm()
        watch.end(self._all_judged)

    def _all_judged(self) -> None:
        if not self.life.ended and self._checking:
            self._checked()
            self._when_not_paused(partial(self._succeed, b""))

    def _succeed(self, out: bytes) -> None:
        assert self.answer.finish_reason is not None
        told: dict[str, Any] | None = None
        if self._watch is not None and self._watch.verdict is not None:
            verdict = self._watch.verdict
            self.validation = verdict.shown()
            told = verdict.shown(path=True) if self._watch.report else None
        self._out.succeed(self.answer, out, told)
        self._end(Reason.FILTERED if self._intake.blocked else reason_of_finish(self.answer.finish_reason))

    def _give_rest(self) -> None:
        """What a filter holds of an answer that breaks off. What waits for a verdict is not given."""
        rest = self._intake.rest()
        if rest:
            self._out.give(rest, monotonic())
        if self._watch is not None:
            self._watch.close()

    def _tell(self, error: TidegateError) -> None:
        """The last thing that the reader hears."""
        self.error = error
        if self._out.status:
            self._give_rest()
        self._out.tell(error)
        self._end(reason_of(error))

    def _stalled(self) -> None:
        self._closing = None
        self._leg.close()
        self._out.abort()
        self._end(Reason.CLIENT_STALLED)

    def on_bug(self, error: BaseException) -> None:
        """Something of ours raised: the log says where, the reader that it was us."""
        # The exception's own text may hold what passed through; its type and place are enough to find it.
        _log.error("relay.bug", stream_id=self.id, kind=type(error).__name__, where=place_of(error))
        self._leg.close()
        if not self.life.ended:
            try:
                self._closing = None
                self._paused_at = None
                self._tell(InternalError(_BUG))
            except Exception:
                self._out.abort()
                self._end(Reason.INTERNAL_ERROR)
        elif self._away:
            self._settle()

    def shut_down(self, error: TidegateError) -> None:
        """End now: with ``error`` for a reader that is there, at once for one that left or does not read."""
        if self.ended:
            self.abandon()
        else:
            self.fail(error)

    def abandon(self) -> None:
        """The server takes its task away: everything is closed now."""
        self._leg.close()
        self._closing = None
        if not self.life.ended:
            self._out.abort()
            self._end(Reason.SHUTDOWN)
        else:
            self._settle()

    def _when_not_paused(self, closing: Callable[[], None]) -> None:
        if self._paused_at is None:
            closing()
        else:
            self._close_later(closing)

    def _close_later(self, closing: Callable[[], None]) -> None:
        """The reader is behind: its ending waits until it has caught up, or has stalled."""
        self._closing = closing
        self._stop_flowing()
        self._arm()
        self._leg.wake(None)

    def _end(self, reason: Reason) -> None:
        if self.life.end(reason):
            self._flowing = False
            self._settle()

    def _settle(self) -> None:
        if self._settled_once:
            return
        self._settled_once = True
        self.count()
        if self._watch is not None:
            self._watch.close()
            self._watch = self._out.watch = None
        self._leg.close()
        self._alarm.close()
        self._out.close()
        self._express = None
        self.timing.ended = monotonic()
        self.malformed += self.answer.malformed
        self._leg.wake(None)
        self._settled(self)

    # Time.

    def _arm(self) -> None:
        if not self.life.ended:
            self._alarm.arm()

    def _next_due(self) -> tuple[float, Due]:
        timing = self.timing
        waits = Waits(
            state=self.life.state,
            accepted=timing.accepted,
            sent=timing.sent,
            # A token that went straight through was read and written at the same moment.
            last_in=monotonic() if self._backlog else max(self._last_in, timing.last_token),
            last_out=max(self._out.last, timing.last_token),
            grace_at=self._grace_at,
            paused_at=self._paused_at,
            closing=self._closing is not None,
            beats=self.framing is not Framing.JSON and self.framing is not Framing.RAW,
            checking=self._checking,
        )
        return next_due(waits, self._options)

    def _on_due(self, due: Due) -> None:
        options = self._options
        if due is Due.HEARTBEAT:
            self._out.beat()
        elif due is Due.GRACE:
            # Its connection still has something to say, or never will: not worth keeping.
            self._leg.close()
            self._complete(b"")
        elif due is Due.STALL:
            self._stalled()
        elif due is Due.IDLE:
            self._failed(IdleTimeout(f"The upstream was silent for {options.idle_timeout:g} s."))
        elif due is Due.FIRST_TOKEN:
            self._failed(FirstTokenTimeout(f"The upstream sent no token within {options.first_token_timeout:g} s."))
        else:
            self.fail(TotalTimeout(f"The answer was not complete within {options.total_timeout:g} s."))
        self._arm()
