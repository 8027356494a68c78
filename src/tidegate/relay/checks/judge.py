"""Sentences of one answer and their verdicts.

Each text is cut into sentences; every sentence that has ended is asked about at once, as far as ``parallel`` allows,
and the rest waits its turn. What a reader may see is told by :attr:`Judge.open`: sentences, by number, that have no
verdict yet, the unfinished ones included.

A check is one task and one timer. Both are gone when the judge is closed; a classifier that does not let itself be
cancelled is left to itself, and nobody waits for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import structlog

from tidegate.relay.checks.pieces import Piece
from tidegate.relay.checks.plan import Seat
from tidegate.safety.classifier import Verdict
from tidegate.safety.sentences import Sentences

__all__ = ["Judge", "Ruling"]

MAX_LABEL: Final = 64

_log = structlog.get_logger()


class Ruling(NamedTuple):
    """A verdict that counts."""

    classifier: str
    label: str
    score: float | None
    mode: str


class _Text:
    """One text, for one classifier."""

    __slots__ = ("number", "sentences", "started")

    def __init__(self, longest: int) -> None:
        self.sentences = Sentences(longest)
        self.number = 0
        self.started = False


class Judge:
    """One classifier on one answer.

    :param ruled: told of every sentence that is flagged.
    :param moved: told whenever a verdict has come.
    """

    __slots__ = (
        "_closed",
        "_moved",
        "_next",
        "_ruled",
        "_running",
        "_seat",
        "_stream_id",
        "_texts",
        "_waiting",
        "open",
    )

    def __init__(
        self, seat: Seat, *, stream_id: str, ruled: Callable[[Ruling], None], moved: Callable[[], None]
    ) -> None:
        self._seat = seat
        self._stream_id = stream_id
        self._ruled = ruled
        self._moved = moved
        self._texts: dict[tuple[int, str], _Text] = {}
        self._next = 0
        self._waiting: deque[tuple[int, str]] = deque()
        self._running: dict[asyncio.Task[Verdict], tuple[int, asyncio.TimerHandle]] = {}
        self._closed = False
        self.open: set[int] = set()
        """Sentences that have begun and have no verdict."""

    @property
    def mode(self) -> str:
        return self._seat.options.mode

    @property
    def full(self) -> bool:
        """So many sentences wait that no more should come."""
        return len(self._waiting) + len(self._running) >= self._seat.options.queue

    @property
    def idle(self) -> bool:
        """No verdict is outstanding."""
        return not self._waiting and not self._running

    def feed(self, pieces: Sequence[Piece]) -> set[int]:
        """What a chunk says; returns the sentences that it is a part of."""
        if self._closed:
            return set()
        touched: set[int] = set()
        for piece in pieces:
            if piece.channel.value in self._seat.options.where:
                self._feed(piece, touched)
        return touched

    def _feed(self, piece: Piece, touched: set[int]) -> None:
        key = (piece.choice, piece.name)
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = _Text(self._seat.options.longest)
        touched.add(self._begin(text))
        for sentence in text.sentences.feed(piece.text):
            touched.add(self._begin(text))
            self._end(text, sentence)
        if text.sentences.size:
            touched.add(self._begin(text))

    def _begin(self, text: _Text) -> int:
        if not text.started:
            text.started = True
            text.number = self._next
            self._next += 1
            self.open.add(text.number)
        return text.number

    def _end(self, text: _Text, sentence: str) -> None:
        text.started = False
        self._waiting.append((text.number, sentence))
        self._start()

    def finish(self, choice: int | None = None) -> None:
        """A choice (``None``: every one) has ended: so have its sentences."""
        if self._closed:
            return
        for (index, _), text in self._texts.items():
            if choice is None or index == choice:
                for sentence in text.sentences.close():
                    self._end(text, sentence)
                if text.started:  # nothing but white space
                    text.started = False
                    text.sentences = Sentences(self._seat.options.longest)
                    self.open.discard(text.number)

    def close(self) -> None:
        """Nobody wants to know any more."""
        self._closed = True
        self._waiting.clear()
        running, self._running = self._running, {}
        for task, (_, timer) in running.items():
            timer.cancel()
            task.cancel()
        self.open.clear()

    def _start(self) -> None:
        options = self._seat.options
        loop = asyncio.get_running_loop()
        while self._waiting and len(self._running) < options.parallel:
            number, sentence = self._waiting.popleft()
            task = loop.create_task(_checked(self._seat, sentence))
            timer = loop.call_later(options.deadline, self._late, task)
            self._running[task] = (number, timer)
            task.add_done_callback(self._done)

    def _late(self, task: asyncio.Task[Verdict]) -> None:
        number, _ = self._running.pop(task)
        task.cancel()
        self._failed(number, "deadline")

    def _done(self, task: asyncio.Task[Verdict]) -> None:
        cancelled = task.cancelled()
        error = None if cancelled else task.exception()  # asked for always: else asyncio reports it as never retrieved
        found = self._running.pop(task, None)
        if found is None:
            return
        number, timer = found
        timer.cancel()
        if cancelled or error is not None:
            self._failed(number, "cancelled" if cancelled else type(error).__name__)
            return
        verdict: object = task.result()
        if not isinstance(verdict, Verdict):
            self._failed(number, "no verdict")
        else:
            self._settle(number, verdict)

    def _failed(self, number: int, why: str) -> None:
        options = self._seat.options
        _log.warning("safety.classifier_failed", stream_id=self._stream_id, classifier=options.name, why=why)
        closed = options.on_failure == "closed" and options.mode != "observe"
        self._settle(number, Verdict(closed, "failure" if closed else ""))

    def _settle(self, number: int, verdict: Verdict) -> None:
        self.open.discard(number)
        self._start()
        if verdict.flagged:
            options = self._seat.options
            self._ruled(Ruling(options.name, _word(verdict.label), verdict.score, options.mode))
        self._moved()


async def _checked(seat: Seat, sentence: str) -> Verdict:
    return await seat.classifier.check(sentence)


def _word(label: str) -> str:
    return "".join(char for char in str(label) if char.isprintable())[:MAX_LABEL]
