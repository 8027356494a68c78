"""Sentences, their tasks and their verdicts: in bounds, on time, and none left behind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.fakes.gateway import run, until
from tidegate.relay.checks.judge import MAX_LABEL, Judge, Ruling
from tidegate.relay.checks.pieces import Piece
from tidegate.relay.checks.plan import Seat
from tidegate.safety.classifier import ClassifierOptions, Verdict
from tidegate.safety.profile import Channel


class Waiting:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked: dict[str, asyncio.Future[Any]] = {}

    async def check(self, sentence: str) -> Verdict:
        self.asked[sentence] = asyncio.get_running_loop().create_future()
        verdict: Verdict = await self.asked[sentence]
        return verdict


class Stubborn:
    """Does not let itself be cancelled."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()

    async def check(self, sentence: str) -> Verdict:
        while not self.let_go.is_set():
            try:
                await self.let_go.wait()
            except asyncio.CancelledError:
                pass
        return Verdict(True)


class Bench:
    def __init__(self, classifier: Any, **options: Any) -> None:
        self.rulings: list[Ruling] = []
        self.moves = 0
        seat = Seat(ClassifierOptions(**{"name": "one", "deadline": 30.0, **options}), classifier)
        self.judge = Judge(seat, stream_id="s", ruled=self.rulings.append, moved=self.move)

    def move(self) -> None:
        self.moves += 1

    def say(self, text: str, choice: int = 0, channel: Channel = Channel.OUTPUT, name: str = "content") -> set[int]:
        return self.judge.feed([Piece(choice, channel, name, text)])


def test_a_piece_touches_the_sentences_that_it_is_a_part_of() -> None:
    async def main() -> None:
        bench = Bench(Waiting())
        assert bench.say("On") == {0}
        assert bench.say("e. Two. Th") == {0, 1, 2}
        assert bench.say("other", choice=1) == {3}
        assert bench.say("ree.") == {2}
        assert bench.say("thought", channel=Channel.REASONING) == set()
        assert bench.judge.open == {0, 1, 2, 3}
        bench.judge.close()
        assert bench.judge.open == set()
        assert bench.say("more") == set()

    run(main())


def test_so_many_are_judged_at_once_and_the_rest_waits_its_turn() -> None:
    async def main() -> None:
        classifier = Waiting()
        bench = Bench(classifier, parallel=2, queue=3)
        full = []
        for text in ("A. B. ", "C. D. "):
            bench.say(text)
            full.append(bench.judge.full)
        assert full == [False, True]
        await until(lambda: len(classifier.asked) == 2)
        classifier.asked["B. "].set_result(Verdict(True, "rude\n" + "x" * 100, 0.5))
        await until(lambda: len(classifier.asked) == 3)
        assert bench.judge.open == {0, 2, 3}
        assert bench.rulings == [Ruling("one", ("rude" + "x" * 100)[:MAX_LABEL], 0.5, "hold")]
        for name in ("A. ", "C. "):
            classifier.asked[name].set_result(Verdict(False))
        await until(lambda: len(classifier.asked) == 4)
        assert not bench.judge.idle
        classifier.asked["D. "].set_result(Verdict(False))
        await until(lambda: bench.judge.idle)
        assert bench.moves == 4
        bench.judge.close()

    run(main())


def test_a_choice_that_has_ended_has_no_open_sentence_but_for_its_verdict() -> None:
    async def main() -> None:
        classifier = Waiting()
        bench = Bench(classifier)
        bench.say("half")
        bench.say(" \n ", choice=1)
        bench.say("other", choice=2)
        bench.judge.finish(1)
        assert bench.judge.open == {0, 2}
        bench.judge.finish(0)
        await until(lambda: list(classifier.asked) == ["half"])
        bench.judge.finish()
        await until(lambda: list(classifier.asked) == ["half", "other"])
        bench.judge.close()
        bench.judge.finish()

    run(main())


@pytest.mark.parametrize("mode", ["hold", "cut", "observe"])
@pytest.mark.parametrize("on_failure", ["closed", "open"])
def test_whoever_does_not_let_itself_be_cancelled_is_not_waited_for(mode: str, on_failure: str) -> None:
    async def main() -> None:
        classifier = Stubborn()
        bench = Bench(classifier, deadline=0.05, mode=mode, on_failure=on_failure)
        bench.say("A. ")
        await until(lambda: bench.moves == 1)
        assert bench.judge.idle
        counts = on_failure == "closed" and mode != "observe"
        assert bench.rulings == ([Ruling("one", "failure", None, mode)] if counts else [])
        classifier.let_go.set()
        await asyncio.sleep(0.01)
        assert bench.moves == 1, "what comes after the deadline is no verdict"
        bench.judge.close()

    run(main())


def test_a_classifier_that_raises_cancelled_has_failed() -> None:
    class Cancelling:
        async def check(self, sentence: str) -> Verdict:
            raise asyncio.CancelledError

    async def main() -> None:
        bench = Bench(Cancelling())
        bench.say("A. ")
        await until(lambda: bench.moves == 1)
        assert bench.rulings == [Ruling("one", "failure", None, "hold")]
        bench.judge.close()

    run(main())
