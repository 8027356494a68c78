"""What a stream leaves in the ledger: its legs, its tokens, its cost. On the event loop that is one ``append``; the
rest happens in the ledger's thread, when the stream is over and nothing of it changes any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Final, NamedTuple, Protocol

import msgspec

from tidegate.events import Usage
from tidegate.ledger.entries import Begun, Ended, Item, LegRow, Seen, clean, tags_json
from tidegate.ledger.tokens import TokenCounter
from tidegate.policy.estimates import prompt_tokens
from tidegate.policy.prices import Prices
from tidegate.relay.endings import Framing, reason_of
from tidegate.relay.leg import Tried
from tidegate.relay.stream import Stream
from tidegate.telemetry.record import StreamRecord
from tidegate.wire.seen import Report, perceived_latency, reader_end

__all__ = ["Accounts", "Spent", "Tally"]

LONG_DELTA: Final = 32
"""Bytes of text in a mean delta above which deltas are not tokens: a token has four, one in another script twelve."""

ODDMENTS: Final = 512
"""Bytes that may have come beside the events: an end marker, comments."""

MOST_MODELS: Final = 1000
"""Names that are counted by themselves; clients choose them. The rest is counted without a name."""

_UNSEEN: Final = frozenset({"connect_timeout", "upstream_refused", "upstream_error"})
"""Reasons of streams without a token whose prompt no model has seen."""

_NANOS: Final = 1000


class Book(Protocol):
    """Where the entries go (:class:`tidegate.ledger.writer.Writer`)."""

    instance: str
    """This run of the gateway."""

    def put(self, pending: Callable[[], Item | None]) -> None:
        """Have an entry made, in another thread, and kept."""


class Spent(NamedTuple):
    """What one ended stream used."""

    model: str
    usage: Usage
    cost: Decimal | None
    """Micro-dollars; ``None``: no price is known."""


class Tally:
    """Tokens and cost of everything since the start, by model; for ``/metrics``. Written by the ledger's thread."""

    def __init__(self) -> None:
        self.tokens: Counter[tuple[str, str, bool]] = Counter()
        """By model, kind (``prompt``, ``cached``, ``output``, ``reasoning``) and whether it is estimated."""
        self.cost: Counter[str] = Counter()
        """Nano-dollars by model."""
        self.unpriced: Counter[str] = Counter()
        """Streams by model."""
        self._models: set[str] = set()

    def add(self, spent: Spent) -> None:
        usage, cost = spent.usage, spent.cost
        model = spent.model
        if model not in self._models:
            if len(self._models) >= MOST_MODELS:
                model = ""
            self._models.add(model)
        tokens, estimated = self.tokens, usage.estimated
        if usage.prompt_tokens:
            tokens[model, "prompt", estimated] += usage.prompt_tokens
        if usage.output_tokens:
            tokens[model, "output", estimated] += usage.output_tokens
        if usage.cached_tokens:
            tokens[model, "cached", estimated] += usage.cached_tokens
        if usage.reasoning_tokens:
            tokens[model, "reasoning", estimated] += usage.reasoning_tokens
        if cost is not None:
            self.cost[model] += round(cost * _NANOS)
        elif usage.prompt_tokens or usage.output_tokens:
            self.unpriced[model] += 1


class Accounts:
    """Keeps the books of every stream.

    :param book: takes them.
    :param store_text: keep prompts and answers.
    """

    def __init__(
        self,
        book: Book,
        prices: Prices,
        *,
        counter: TokenCounter | None = None,
        store_text: bool = False,
    ) -> None:
        self._book = book
        self.prices = prices
        self._counter = counter or TokenCounter()
        self.store_text = store_text
        self.tally = Tally()
        self._fresh: dict[str, tuple[str, object, str, str, float]] = {}
        """Of live streams whose begin is not in the book yet, what it says."""

    def begun(self, stream: Stream) -> None:
        """A stream has begun."""
        # The book never keeps the stream: to free one later, when it has gone cold, costs twice as much.
        request = stream.request
        self._fresh[stream.id] = stream.client, stream.tags, request.model, stream.framing._value_, stream.accepted_at
        self._book.put(partial(self._begun, stream.id))

    def ended(self, stream: Stream, record: StreamRecord) -> None:
        """It has ended."""
        self._fresh.pop(stream.id, None)  # the end says it all
        usage = None if self.store_text else _told(stream, record)
        if usage is None:
            self._book.put(partial(self._counted, stream, record))
        else:
            self._book.put(partial(self._ended, record, usage, stream.tags, stream.tries))

    def seen(self, record: StreamRecord, report: Report) -> None:
        """The page of its reader has reported; after :meth:`ended`."""
        self._book.put(partial(_seen, record, report))

    def _begun(self, stream_id: str) -> Begun | None:
        fresh = self._fresh.pop(stream_id, None)
        if fresh is None:
            return None
        client, tags, model, framing, accepted_at = fresh
        return Begun(stream_id, self._book.instance, client, tags_json(tags), model, framing, accepted_at)

    def _counted(self, stream: Stream, record: StreamRecord) -> Ended:
        ended = self._ended(record, self.usage(stream, record), stream.tags, stream.tries)
        return Ended(legs=ended.legs, **_texts(stream)) if self.store_text else ended

    def _ended(self, record: StreamRecord, usage: Usage, tags: object, tries: tuple[Tried, ...]) -> Ended:
        cost = self.prices.cost(record.served_model, record.upstream, usage, record.accepted_at)
        self.tally.add(Spent(record.model, usage, cost))
        shown = tags_json(tags)
        legs = [self._tried(record, number, tried, shown) for number, tried in enumerate(tries)]
        number = len(legs)
        legs.append(
            LegRow(
                id=f"{record.stream_id}/{number}",
                stream_id=record.stream_id,
                leg=number,
                final=1,
                instance=self._book.instance,
                key_id=record.client,
                tags=shown,
                model=record.model,
                served_model=clean(record.served_model) or "",
                upstream=record.upstream,
                framing=record.framing,
                started_at=record.accepted_at + (tries[-1].ended if tries else 0.0),
                ended_at=record.accepted_at + record.duration,
                ttft=record.ttft,
                tpot=record.tpot,
                prompt_tokens=usage.prompt_tokens,
                cached_tokens=usage.cached_tokens,
                output_tokens=usage.output_tokens,
                reasoning_tokens=usage.reasoning_tokens,
                audio_tokens=usage.audio_prompt_tokens + usage.audio_output_tokens,
                delivered=0 if record.framing == "json" and record.status != 200 else record.tokens,
                estimated=int(usage.estimated),
                cost=None if cost is None else round(cost * _NANOS),
                reason=record.reason,
                finish_reason=clean(record.finish_reason),
                status=record.status,
                error_code=clean(record.error_code),
                retries=record.retries,
                bytes_in=record.bytes_in,
                bytes_out=record.bytes_out,
                safety=_hits(record) if record.safety else None,
                validation=None if record.validation is None else msgspec.json.encode(record.validation).decode(),
            )
        )
        return Ended(legs=legs)

    def _tried(self, record: StreamRecord, number: int, tried: Tried, tags: str) -> LegRow:
        """A try before the one that counts."""
        return LegRow(
            id=f"{record.stream_id}/{number}",
            stream_id=record.stream_id,
            leg=number,
            final=0,
            instance=self._book.instance,
            key_id=record.client,
            tags=tags,
            model=record.model,
            served_model=tried.model,
            upstream=tried.upstream,
            framing=record.framing,
            started_at=record.accepted_at + tried.started,
            ended_at=record.accepted_at + tried.ended,
            reason=reason_of(tried.error).value,
            status=tried.error.status,
            error_code=clean(tried.error.code),
        )

    def usage(self, stream: Stream, record: StreamRecord) -> Usage:
        """What a stream used: in the upstream's words, else as well as it can be told."""
        told = _told(stream, record)
        if told is not None:
            return told
        prompt = self._prompt(stream)
        return Usage(prompt_tokens=prompt, output_tokens=self._output(stream, record, prompt), estimated=True)

    def _prompt(self, stream: Stream) -> int:
        fields = stream.request.fields
        if "messages" not in fields:
            return prompt_tokens(fields)
        tools = fields.get("tools")
        return self._counter.prompt(
            msgspec.json.decode(fields["messages"]), None if tools is None else msgspec.json.decode(tools)
        )

    def _output(self, stream: Stream, record: StreamRecord, prompt: int) -> int:
        """One delta is one token at nearly every upstream; where deltas are long, their text is counted."""
        deltas = record.tokens
        text = stream.answer.text
        size = stream.text_bytes if text is None else len(text.encode("utf-8", "replace"))
        if not deltas or size <= deltas * LONG_DELTA + ODDMENTS:
            return deltas
        if text is not None:
            return max(deltas, self._counter.text(text))
        # Its text is gone. The prompt's tell how many bytes a token has in this language.
        asked = len(stream.request.fields["messages"])
        return max(deltas, round(size * prompt / asked) if asked and prompt else round(size / 4))


def _told(stream: Stream, record: StreamRecord) -> Usage | None:
    """What a stream used, where nothing has to be counted for it."""
    told = record.usage
    if told is not None:
        if told.output_tokens >= record.tokens or stream.answer.complete:
            return told
        # It was told on the way, and there was more to come.
        return msgspec.structs.replace(told, output_tokens=record.tokens, estimated=True)
    if record.tokens:
        return None
    if record.queue_time is None or record.reason in _UNSEEN:
        return Usage()
    # A file, a picture: nothing in it is known to be tokens.
    return Usage() if stream.framing is Framing.RAW else None


def _texts(stream: Stream) -> dict[str, str]:
    prompt = stream.request.body.decode("utf-8", "replace").replace("\x00", "")
    return {"prompt": prompt, "answer": (stream.answer.text or "").replace("\x00", "")}


def _seen(record: StreamRecord, report: Report) -> Seen | None:
    end, perceived = reader_end(report), perceived_latency(report)
    if end is None and perceived is None:
        return None
    # Each retry has left a leg before the final one.
    return Seen(f"{record.stream_id}/{record.retries}", record.accepted_at + record.duration, end, perceived)


def _hits(record: StreamRecord) -> str:
    """How often each safety rule found something, as JSON."""
    counts: dict[str, int] = {}
    for rule, _, count in record.safety:
        counts[rule] = counts.get(rule, 0) + count
    return msgspec.json.encode(counts).decode()
