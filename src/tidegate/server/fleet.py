"""Streams of other processes: listed, watched, stopped and cancelled from here.

Nothing is told of a stream as long as nobody asks. A question goes to the process whose tag the stream's id begins
with, or to all for a list, and each answers from what it has at that moment. Whoever does not answer is missing, and
what is told then is said to be a part.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from typing import Any, Final

import msgspec
import structlog

from tidegate.errors import Overloaded, ReplicaSilent, StreamNotFound
from tidegate.policy.keys import Principal
from tidegate.relay.registry import ENDED
from tidegate.server.own_streams import OwnStreams
from tidegate.shared.bus import TAG_DIGITS, Bus
from tidegate.shared.messages import Answer, Operation, Question, Report, decode, decode_row, encode
from tidegate.telemetry.prometheus import ReaderCounts
from tidegate.telemetry.replicas import ReplicaState
from tidegate.wire.openai_chat import encode_json

__all__ = ["MAX_SHOWN", "Fleet", "Gathered", "Watch"]

MAX_SHOWN: Final = 500
"""Live streams in one event of the live table."""

INTERVAL: Final = 0.5
"""Seconds between two looks of a live table."""

PATIENCE: Final = 2.0
"""Seconds without an answer, after which nobody else is waited for."""

LONGEST: Final = 8.0
"""Seconds for an answer as a whole."""

PAGE: Final = 100
"""Rows in a message: a millisecond or two on the loop of whoever answers."""

MOST_GATHERED: Final = 100_000
"""Rows of one list."""

MOST_ASKED: Final = 1000
"""Questions of ours that wait for answers."""

MOST_ANSWERED: Final = 256
"""Questions of others that are being answered; one more is not."""

_log = structlog.get_logger()


@dataclass(slots=True)
class Gathered:
    """What others said.

    :ivar silent: tags of those who did not answer, or not all of it.
    :ivar took: tags of those whom the question reached.
    :ivar told: by tag, what to ask with the next time.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    ended: list[dict[str, Any]] = field(default_factory=list)
    live: int = 0
    told: dict[str, int] = field(default_factory=dict)
    readers: list[ReaderCounts] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)
    took: set[str] = field(default_factory=set)
    broken: bool = False
    """A row was none."""


class _Asked:
    """A question that waits for its answers."""

    def __init__(self, to: Collection[str]) -> None:
        self.to = to
        self.heard = asyncio.Event()
        self.answers: dict[str, dict[int, Answer]] = {}
        self._length: dict[str, int] = {}
        self._room = MOST_GATHERED

    def take(self, answer: Answer) -> None:
        """From anybody who was asked; more than there can be is left out."""
        if answer.sender not in self.to:
            return
        self._room -= len(answer.rows) + len(answer.ended)
        if self._room < 0:
            return
        self.answers.setdefault(answer.sender, {})[answer.part] = answer
        if answer.last:
            self._length[answer.sender] = answer.part + 1
        self.heard.set()

    def whole(self, tag: str) -> bool:
        """Whether one has said everything."""
        return len(self.answers.get(tag, ())) == self._length.get(tag, -1)


class Fleet:
    """The other processes that a bus reaches, and this one for them."""

    def __init__(self, bus: Bus, own: OwnStreams) -> None:
        self.bus = bus
        self._own = own
        self._started = False
        self._questions = 0
        self._silences = 0
        self._asked: dict[str, _Asked] = {}
        self._watches: dict[tuple[str, bool], Watch] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Be there for the others, and know them; again it does nothing. On a running loop."""
        if not self._started:
            self._started = True
            self.bus.start(self._receive)

    async def close(self) -> None:
        """Leave."""
        for watch in list(self._watches.values()):
            await watch.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.bus.close()

    def state(self) -> ReplicaState:
        """For metrics."""
        return ReplicaState(1 + len(self.bus.others), self.bus.complete, self._questions, self._silences)

    def elsewhere(self, stream_id: str) -> bool:
        """Whether the stream, if there is one, is another process's."""
        known = len(stream_id) == 32 and all(digit in "0123456789abcdef" for digit in stream_id)
        return known and stream_id[:TAG_DIGITS] != self.bus.tag

    def name(self, stream_id: str) -> str:
        """The process that has the stream, for people."""
        tag = stream_id[:TAG_DIGITS]
        return self.bus.name if tag == self.bus.tag else self.bus.others.get(tag, tag)

    # Asking.

    async def ask(
        self, operation: Operation, stream_id: str, who: Principal, report: Report | None = None
    ) -> dict[str, Any]:
        """As :meth:`OwnStreams.do`, of a stream that is elsewhere.

        :raises StreamNotFound: there is none, or it belongs to somebody else.
        :raises ReplicaSilent: whoever has it did not answer.
        :raises Overloaded: too many questions wait for answers.
        """
        tag = stream_id[:TAG_DIGITS]
        # Also where nobody of that tag is known: it may have come a moment ago.
        found = await self._gather(operation, who, {tag}, stream=stream_id, report=report)
        rows = [row for row in found.rows if row["id"] == stream_id]
        if rows:
            return rows[0]
        if found.broken or (found.silent and (found.took or not self._gone(tag))):
            raise ReplicaSilent(
                "The gateway that has this stream did not answer; what was asked for may have been done. Try again.",
                retry_after=1.0,
            )
        raise StreamNotFound("No such stream. Ended ones are kept for a while only, and a key sees only its own.")

    def _gone(self, tag: str) -> bool:
        """Whether it is known that there is no such process."""
        return self.bus.complete and tag not in self.bus.others

    async def list(self, who: Principal) -> Gathered:
        """All live streams of the others that somebody may see."""
        return await self._gather("list", who, self.bus.others)

    async def table(self, who: Principal, after: Mapping[str, int]) -> Gathered:
        """The newest :data:`MAX_SHOWN` of each, and what ended since.

        :param after: by tag, what was told the last time.
        """
        return await self._gather("table", who, self.bus.others, after=dict(after))

    def partial(self, found: Gathered) -> bool:
        """Whether there may be more than was found."""
        return found.broken or bool(found.silent) or not self.bus.complete

    async def _gather(self, operation: Operation, who: Principal, to: Collection[str], **more: Any) -> Gathered:
        self.start()
        if len(self._asked) >= MOST_ASKED:
            raise Overloaded("Too many questions to other gateways wait for an answer.", retry_after=1.0)
        question = Question(
            id=os.urandom(8).hex(), sender=self.bus.tag, operation=operation, client=who.id, admin=who.admin, **more
        )
        asked = self._asked[question.id] = _Asked(tuple(to))
        try:
            took = await self.bus.send(asked.to, encode(question))
            await _until_whole(asked, took)
        finally:
            del self._asked[question.id]
        found = _gathered(asked, who)
        found.took = took
        self._questions += 1
        self._silences += bool(found.silent & self.bus.others.keys())
        return found

    # Answering.

    def _receive(self, data: bytes) -> None:
        message = decode(data)
        if message is None:
            _log.warning("fleet.not_understood", size=len(data))
        elif isinstance(message, Answer):
            asked = self._asked.get(message.id)
            if asked is not None:
                asked.take(message)
        elif len(self._tasks) >= MOST_ANSWERED:
            _log.warning("fleet.overloaded", operation=message.operation)
        else:
            self._spawn(self._answer(message))

    async def _answer(self, question: Question) -> None:
        for answer in self._answers(question, Principal(question.client, admin=question.admin)):
            if not await self.bus.send((question.sender,), encode(answer)):
                return

    def _answers(self, question: Question, who: Principal) -> Iterator[Answer]:
        about: dict[str, Any] = {"id": question.id, "sender": self.bus.tag}
        if question.operation in ("list", "table"):
            ends, perceived = self._own.metrics.reader_counts()
            about |= {"reader_ends": ends, "perceived": perceived}
        if question.operation == "list":
            yield from _parts(about, self._own.registry.rows(who))
        elif question.operation == "table":
            live, rows = self._own.registry.newest(who, MAX_SHOWN)
            ended, told = self._own.registry.news(who, question.after.get(self.bus.tag, 0))
            yield from _parts({**about, "live": live, "told": told}, rows, ended)
        else:
            try:
                found = [self._own.do(question.operation, question.stream or "", who, question.report)]
            except StreamNotFound:
                found = []
            yield from _parts(about, found)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Watching.

    @asynccontextmanager
    async def watch(self, who: Principal) -> AsyncIterator[Watch]:
        """What somebody sees of the others, as long as anybody looks: one question for all who see the same."""
        key = who.id, who.admin
        watch = self._watches.get(key)
        if watch is None:
            watch = self._watches[key] = Watch(self, who)
        watch.watchers += 1
        try:
            yield watch
        finally:
            watch.watchers -= 1
            if not watch.watchers:
                del self._watches[key]
                await watch.close()


class Watch:
    """The others' streams, as they were half a second ago at most."""

    def __init__(self, fleet: Fleet, who: Principal) -> None:
        self.watchers = 0
        self.found = Gathered()
        self.partial = True
        self._fleet = fleet
        self._who = who
        self._news: deque[dict[str, Any]] = deque(maxlen=ENDED)
        self._told = 0
        self._after: dict[str, int] = {}
        self._looked = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._look())

    async def ready(self) -> None:
        """Until there was a first look."""
        await self._looked.wait()

    def news(self, after: int) -> tuple[Sequence[dict[str, Any]], int]:
        """As :meth:`tidegate.relay.registry.Registry.news`."""
        fresh = min(self._told - after, len(self._news))
        return list(islice(self._news, len(self._news) - fresh, None)), self._told

    async def _look(self) -> None:
        while True:
            try:
                self.found = await self._fleet.table(self._who, self._after)
                self.partial = self._fleet.partial(self.found)
            except Overloaded:
                self.partial = True
            self._after = {
                tag: told for tag, told in {**self._after, **self.found.told}.items() if tag in self._fleet.bus.others
            }
            self._news.extend(self.found.ended)
            self._told += len(self.found.ended)
            self._looked.set()
            await asyncio.sleep(INTERVAL)

    async def close(self) -> None:
        """Look no more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._looked.set()


async def _until_whole(asked: _Asked, took: Collection[str]) -> None:
    """Until everybody who took the question has answered, or time is over."""
    loop = asyncio.get_running_loop()
    end = loop.time() + LONGEST
    while not all(asked.whole(tag) for tag in took):
        try:
            async with asyncio.timeout_at(min(end, loop.time() + PATIENCE)):
                await asked.heard.wait()
        except TimeoutError:
            return
        asked.heard.clear()


def _gathered(asked: _Asked, who: Principal) -> Gathered:
    found = Gathered(silent={tag for tag in asked.to if not asked.whole(tag)})
    for tag, parts in asked.answers.items():
        for answer in parts.values():
            for raw, into in (
                *((raw, found.rows) for raw in answer.rows),
                *((raw, found.ended) for raw in answer.ended),
            ):
                row = decode_row(raw)
                # Whoever answered has looked at that too; what comes over a bus is not taken on trust.
                if row is None or not row["id"].startswith(tag) or not (who.admin or row["client"] == who.id):
                    found.broken = True
                else:
                    into.append(row)
            if answer.last and tag not in found.silent:
                found.live += answer.live
                found.told[tag] = answer.told
                found.readers.append((answer.reader_ends, answer.perceived))
    return found


def _parts(
    about: Mapping[str, Any], rows: Iterable[dict[str, Any]], ended: Iterable[dict[str, Any]] = ()
) -> Iterator[Answer]:
    """Of one answer: at most a page of each in a part."""
    pages: Iterator[tuple[list[msgspec.Raw], list[msgspec.Raw]]]
    pages = zip_longest(_pages(rows), _pages(ended), fillvalue=[])
    part, page = 0, next(pages, None)
    while True:
        following = next(pages, None)
        live, over = page or ([], [])
        yield Answer(**about, rows=live, ended=over, part=part, last=following is None)
        if following is None:
            return
        part, page = part + 1, following


def _pages(rows: Iterable[dict[str, Any]]) -> Iterator[list[msgspec.Raw]]:
    left = iter(rows)
    while page := [msgspec.Raw(encode_json(row)) for row in islice(left, PAGE)]:
        yield page
