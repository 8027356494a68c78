"""Every stream that is live, and the last ones that ended."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from itertools import islice
from sys import intern
from time import monotonic
from typing import Any, Final

from tidegate.errors import StreamNotFound
from tidegate.policy.keys import Principal
from tidegate.relay.lifecycle import State
from tidegate.relay.stream import Stream
from tidegate.telemetry.record import StreamRecord

__all__ = ["Registry", "record_of"]

ENDED: Final = 1000
"""Ended streams that can still be asked for."""


class Registry:
    """Live streams by id; a ring of ended ones. A stream is seen by its own key and by admins only."""

    def __init__(self) -> None:
        self._live: dict[str, Stream] = {}
        self._ended: OrderedDict[str, StreamRecord] = OrderedDict()
        self._seen: dict[str, dict[str, Any]] = {}
        # Ids of streams that ended, or whose reader reported, in order, and how many there ever were.
        self._news: deque[str] = deque(maxlen=ENDED)
        self._told = 0

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[Stream]:
        return iter(list(self._live.values()))

    def add(self, stream: Stream) -> None:
        self._live[stream.id] = stream

    def settle(self, stream: Stream) -> StreamRecord:
        """From live to ended; only its record is kept."""
        self._live.pop(stream.id, None)
        record = self._ended[stream.id] = record_of(stream)
        if len(self._ended) > ENDED:
            oldest, _ = self._ended.popitem(last=False)
            self._seen.pop(oldest, None)
        self._tell(stream.id)
        return record

    def live(self, stream_id: str, who: Principal) -> Stream | None:
        """The live stream of that id; ``None`` when it has ended.

        :raises StreamNotFound: there is none, or it belongs to somebody else.
        """
        stream = self._live.get(stream_id)
        if stream is not None and _may_see(stream.client, who):
            return stream
        self.get(stream_id, who)
        return None

    def get(self, stream_id: str, who: Principal) -> dict[str, Any]:
        """One stream, live or ended.

        :raises StreamNotFound: there is none, or it belongs to somebody else.
        """
        stream = self._live.get(stream_id)
        record = self._ended.get(stream_id) if stream is None else record_of(stream)
        if record is None or not _may_see(record.client, who):
            raise StreamNotFound("No such stream. Ended ones are kept for a while only, and a key sees only its own.")
        return self._shown(record, stream)

    def visible(self, who: Principal) -> list[dict[str, Any]]:
        """The live streams that this principal may see, oldest first."""
        return list(self.rows(who))

    def rows(self, who: Principal) -> Iterator[dict[str, Any]]:
        """As :meth:`visible`, but each row as it is when it is asked for; a stream may have ended by then."""
        return (self._row(stream) for stream in self._seen_by(who))

    def newest(self, who: Principal, most: int) -> tuple[int, list[dict[str, Any]]]:
        """How many live streams this principal may see, and the newest ``most`` of them."""
        streams = self._seen_by(who)
        return len(streams), [self._row(stream) for stream in streams[-most:]]

    def _seen_by(self, who: Principal) -> list[Stream]:
        return [stream for stream in self._live.values() if _may_see(stream.client, who)]

    def _row(self, stream: Stream) -> dict[str, Any]:
        return self._shown(record_of(stream), stream)

    def saw(self, stream_id: str, who: Principal, report: dict[str, Any]) -> bool:
        """Keep what the reader's own page reports of a stream; ``False`` when it has reported before: the first counts.

        :raises StreamNotFound: there is none, or it belongs to somebody else.
        """
        self.get(stream_id, who)
        if stream_id in self._seen:
            return False
        self._seen[stream_id] = report
        if stream_id in self._ended:
            self._tell(stream_id)
        return True

    def reported(self, stream_id: str) -> tuple[StreamRecord, dict[str, Any]] | None:
        """A stream that has ended and what its reader's page reported of it; ``None`` before there are both."""
        record, report = self._ended.get(stream_id), self._seen.get(stream_id)
        return None if record is None or report is None else (record, report)

    def news(self, who: Principal, after: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Streams that ended, or whose reader reported, since ``after``, and what to ask with the next time.

        :param after: 0 is everything that is still known.
        """
        fresh = min(self._told - after, len(self._news))
        ids = dict.fromkeys(islice(self._news, len(self._news) - fresh, None))
        records = [self._ended[stream_id] for stream_id in ids if stream_id in self._ended]
        return [self._shown(record, None) for record in records if _may_see(record.client, who)], self._told

    def _tell(self, stream_id: str) -> None:
        self._news.append(stream_id)
        self._told += 1

    def _shown(self, record: StreamRecord, stream: Stream | None) -> dict[str, Any]:
        """What the API tells of a stream, live or (``None``) ended. Seconds; no text of it."""
        usage = record.usage
        shown: dict[str, Any] = {
            "id": record.stream_id,
            "object": "tidegate.stream",
            "client": record.client,
            "model": record.model,
            "upstream": record.upstream or None,
            "served_model": record.served_model or None,
            "framing": record.framing,
            "state": State.ENDED.value if stream is None else stream.life.state.value,
            "reason": record.reason or None,
            "finish_reason": record.finish_reason,
            "status": record.status or None,
            "created": round(record.accepted_at, 3),
            "duration": round(record.duration, 6),
            "ttft": _rounded(record.ttft),
            "tpot": _rounded(record.tpot),
            "tokens": record.tokens,
            "usage": None,
            "retries": record.retries,
            "bytes_out": record.bytes_out,
            "added_latency": _rounded(record.added_latency),
            "malformed": record.malformed,
            "error": record.error_code,
            "validation": record.validation,
            "paused": stream is not None and stream.paused,
        }
        if record.safety:
            shown["safety"] = [
                {"rule": rule, "action": action, "count": count} for rule, action, count in record.safety
            ]
        if usage is not None:
            shown["usage"] = {"prompt_tokens": usage.prompt_tokens, "output_tokens": usage.output_tokens}
        if record.stream_id in self._seen:
            shown["reader"] = self._seen[record.stream_id]
        return shown


def _may_see(owner: str, who: Principal) -> bool:
    return who.admin or owner == who.id


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def record_of(stream: Stream) -> StreamRecord:
    """The telemetry record of a stream: final once it has settled, what is known so far before that.

    Records are kept by the thousand and say the same few words, which every request brings anew: one copy is enough.
    """
    stream.count()
    timing, life, finish = stream.timing, stream.life, stream.answer.finish_reason
    reason = life.reason
    return StreamRecord(
        stream_id=stream.id,
        client=stream.client,
        model=intern(stream.request.model),
        served_model=intern(stream.model),
        upstream=stream.upstream,
        framing=stream.framing._value_,  # as .value, without two calls
        operation=stream.request.operation,
        status=stream.status or (0 if reason is None else 499),
        reason="" if reason is None else reason._value_,
        finish_reason=None if finish is None else intern(finish),
        accepted_at=stream.accepted_at,
        duration=timing.duration(monotonic()),
        queue_time=timing.queue,
        ttft=timing.ttft,
        tpot=timing.tpot,
        max_gap=timing.max_gap if timing.tokens > 1 else None,
        added_latency=timing.added,
        cancel_latency=timing.cancel_latency,
        tokens=timing.tokens,
        usage=stream.answer.usage,
        retries=stream.retries,
        bytes_in=stream.bytes_in,
        bytes_out=stream.bytes_out,
        malformed=stream.malformed if life.ended else stream.malformed + stream.answer.malformed,
        error_code=stream.error.code if stream.error is not None else None,
        safety=tuple([(*found, count) for found, count in stream.hits.items()]) if stream.hits else (),
        validation=stream.validation,
    )
