"""Everything that one try's answer is checked for, from its first chunk to the verdict on the whole.

The stream gives every chunk to :meth:`Watch.look` and every write to :meth:`Watch.put`, and does not end a good answer
before :meth:`Watch.end` says so. It is told what became free, when a classifier ends the answer, and when the model
should not be read on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from tidegate.errors import InvalidOutput, TidegateError
from tidegate.relay.checks.gate import Gate, Sentence
from tidegate.relay.checks.judge import Judge, Ruling
from tidegate.relay.checks.pieces import Piece, Pieces
from tidegate.relay.checks.validation import Whole, verdict_at_once, verdict_on
from tidegate.safety.json_prefix import JsonPrefix
from tidegate.safety.profile import Channel
from tidegate.safety.validation import Finding, ValidationVerdict

if TYPE_CHECKING:
    from tidegate.relay.checks.plan import CheckPlan
    from tidegate.wire.openai_chat import Chunk

__all__ = ["Watch", "Watched"]

MOST_RULINGS: Final = 20
"""Of one answer that are logged one by one."""

_STOPS: Final = frozenset({"stop", "tool_calls", "function_call", "end_turn", "eos"})
"""Finish reasons that say that the model has said all."""

_log = structlog.get_logger()


class Watched(Protocol):
    """The stream, as its watch sees it."""

    def on_free(self, out: bytes) -> None:
        """Bytes that waited may leave."""

    def on_ruled(self, ruling: Ruling) -> None:
        """A classifier has ended the answer."""

    def on_backlog(self, full: bool) -> None:
        """Too many sentences wait for their verdicts; or no longer."""

    def on_bug(self, error: BaseException) -> None:
        """Something of ours raised."""


class Watch:
    """One try's. Made with its answer, closed with it or with the stream."""

    __slots__ = (
        "_backlog",
        "_closed",
        "_finished",
        "_gate",
        "_judges",
        "_needs",
        "_note",
        "_pieces",
        "_plan",
        "_prefixes",
        "_rulings",
        "_stream_id",
        "_task",
        "_then",
        "_watched",
        "_whole",
        "verdict",
    )

    def __init__(self, plan: CheckPlan, stream_id: str, watched: Watched, note: Callable[[str, str], None]) -> None:
        """
        :param note: told the rule's name and the action for every sentence that is flagged.
        """
        self._plan = plan
        self._stream_id = stream_id
        self._watched = watched
        self._note = note
        self._pieces = Pieces()
        self._judges = [Judge(seat, stream_id=stream_id, ruled=self._ruled, moved=self._moved) for seat in plan.seats]
        self._gate = Gate() if any(judge.mode != "observe" for judge in self._judges) else None
        self._needs: set[Sentence] = set()
        self._finished: list[int] = []
        self._prefixes: dict[tuple[int, str], JsonPrefix] = {}
        self._whole = Whole(plan.options.max_bytes)
        self._backlog = False
        self._closed = False
        self._then: Callable[[], None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._rulings = 0
        self.verdict: ValidationVerdict | None = None
        """On the whole answer, once it is there."""

    @property
    def gated(self) -> bool:
        """Writes have to pass :meth:`put`."""
        return self._gate is not None

    @property
    def report(self) -> bool:
        """The reader is told the verdict."""
        return self._plan.report and self.verdict is not None

    @property
    def finished(self) -> set[int]:
        """Choices whose finish reason the reader has got, as far as they had to wait."""
        return set() if self._gate is None else self._gate.finished

    # While the answer passes.

    def look(self, chunk: Chunk) -> TidegateError | None:
        """A chunk that is about to leave."""
        if self._closed:
            return None
        pieces = list(self._pieces.of(chunk))
        ended = [(choice.index, choice.finish_reason) for choice in chunk.choices if choice.finish_reason]
        error = self._look_at_json(pieces, ended)
        if error is not None:
            return error
        if self._plan.validates:
            self._whole.add(pieces, ended)
        for number, judge in enumerate(self._judges):
            touched = judge.feed(pieces)
            if judge.mode == "hold":
                self._needs.update((number, sentence) for sentence in touched)
        for index, _ in ended:
            self._finished.append(index)
            for judge in self._judges:
                judge.finish(index)
        if ended:
            self._needs |= self._open(cut=True)
        self._weigh()
        return None

    def put(self, out: bytes) -> bytes:
        """What the chunks since the last call became; returns what may leave now, with what waited before it."""
        if self._gate is None or self._closed:
            return out
        needs, self._needs = self._needs, set()
        finished, self._finished = self._finished, []
        return self._gate.put(out, needs, finished, self._open(cut=True))

    def drop(self) -> None:
        """Nothing of what waits will leave."""
        if self._gate is not None:
            self._gate.drop()

    def _look_at_json(self, pieces: list[Piece], ended: list[tuple[int, str]]) -> TidegateError | None:
        plan = self._plan
        if plan.promise is None:
            return None
        cuts = plan.options.strict_json == "cut"
        for piece in pieces:
            arguments = piece.channel is Channel.TOOL_ARGUMENTS
            if arguments or piece.name == "content":
                key = (piece.choice, piece.name)
                prefix = self._prefixes.get(key)
                if prefix is None:
                    prefix = self._prefixes[key] = JsonPrefix("object" if arguments else plan.promise.root)
                if prefix.feed(piece.text) is not None and cuts:
                    return InvalidOutput(
                        f"The model's {'tool arguments' if arguments else 'answer'} can no longer become valid JSON, "
                        f"from character {prefix.bad_at} on."
                    )
        for index, reason in ended:
            if cuts and reason.lower() in _STOPS:
                unfinished = self._unfinished(index)
                if unfinished is not None:
                    return InvalidOutput(f"The model ended its answer in the middle of its JSON, after {unfinished}.")
        return None

    def _unfinished(self, choice: int) -> str | None:
        for (index, _), prefix in self._prefixes.items():
            if index == choice and not prefix.complete:
                return f"{prefix.size} characters"
        return None

    # Verdicts on sentences.

    def _open(self, *, cut: bool) -> set[Sentence]:
        """Sentences without a verdict, of judges that may keep something back."""
        modes = ("hold", "cut") if cut else ("hold",)
        return {
            (number, sentence)
            for number, judge in enumerate(self._judges)
            if judge.mode in modes
            for sentence in judge.open
        }

    def _weigh(self) -> None:
        full = any(judge.full for judge in self._judges)
        if full != self._backlog:
            self._backlog = full
            self._watched.on_backlog(full)

    def _ruled(self, ruling: Ruling) -> None:
        self._rulings += 1
        self._note(f"classifier:{ruling.classifier}", "tag" if ruling.mode == "observe" else "block")
        if self._rulings <= MOST_RULINGS:
            _log.info("safety.verdict", stream_id=self._stream_id, **ruling._asdict())
        if ruling.mode != "observe" and not self._closed:
            self._guarded(lambda: self._watched.on_ruled(ruling))

    def _moved(self) -> None:
        if not self._closed:
            self._guarded(self._go_on)

    def _go_on(self) -> None:
        if self._gate is not None:
            out = self._gate.release(self._open(cut=True))
            if out:
                self._watched.on_free(out)
        self._weigh()
        if self._then is not None and not self._closed:
            self._end_if_settled()

    def _guarded(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:
            self._watched.on_bug(error)

    # The end.

    def end(self, then: Callable[[], None]) -> None:
        """The answer is whole: ``then`` is called once every verdict is there; at once when none is missing."""
        for judge in self._judges:
            judge.finish()
        self._then = then
        self._go_on()

    def _end_if_settled(self) -> None:
        if self._task is not None or any(not judge.idle for judge in self._judges):
            return
        if self._plan.validates and self.verdict is None:
            self.verdict = verdict_at_once(self._plan, self._whole, self._json())
            if self.verdict is None:
                self._task = asyncio.get_running_loop().create_task(self._judge_whole())
                return
        then, self._then = self._then, None
        if then is not None:
            then()

    async def _judge_whole(self) -> None:
        try:
            self.verdict = await verdict_on(self._plan, self._whole, self._json())
        except Exception as error:
            self._watched.on_bug(error)
            return
        then, self._then = self._then, None
        if then is not None and not self._closed:
            self._guarded(then)

    def _json(self) -> dict[int, Finding | None]:
        """What is wrong with the JSON of each choice; choices without any are not there."""
        found: dict[int, Finding | None] = {}
        for (index, name), prefix in self._prefixes.items():
            bad = None
            if prefix.bad_at is not None:
                bad = Finding("json", "content" if name == "content" else "arguments", index, at=prefix.bad_at)
            elif not prefix.complete:
                bad = Finding("json", "unfinished", index, at=prefix.size)
            found[index] = found.get(index) or bad
        return found

    def close(self) -> None:
        """Nobody wants to know any more: no task and no timer is left."""
        self._closed = True
        self._then = None
        for judge in self._judges:
            judge.close()
        self.drop()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
