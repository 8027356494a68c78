"""workers/link.py: messages, questions and answers between two processes, and the end of either."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from tests.fakes.gateway import run, until
from tidegate.errors import LinkLost
from tidegate.workers import link as module
from tidegate.workers.link import Handler, Link

PATIENCE = 20.0


class Side:
    """One side: what it heard, and that its other side has gone."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.gone = 0
        self.never = asyncio.Event()
        self.link: Link

    def handlers(self) -> Mapping[str, Handler]:
        async def later(payload: Any) -> Any:
            await asyncio.sleep(0)
            return [payload, "later"]

        async def late(_: Any) -> None:
            await self.never.wait()

        async def wrong_later(payload: Any) -> None:
            await asyncio.sleep(0)
            raise ValueError(payload)

        def wrong(payload: Any) -> None:
            raise ValueError(payload)

        return {
            "say": self.heard.append,
            "double": lambda payload: payload * 2,
            "later": later,
            "never": late,
            "wrong": wrong,
            "wrong_later": wrong_later,
        }

    def lost(self) -> None:
        self.gone += 1


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Side, Side]]:
    sides = Side(), Side()
    for side, sock in zip(sides, socket.socketpair(), strict=True):
        side.link = await Link.over(sock, side.handlers(), side.lost)
    yield sides
    for side in sides:
        side.link.close()
        await side.link.closed()
    assert [side.gone for side in sides] == [1, 1]


@pytest.mark.parametrize("plain_loop", [False, True], ids=["uvloop", "asyncio"])
def test_messages_come_in_order_and_questions_are_answered(plain_loop: bool) -> None:
    async def case() -> None:
        async with pair() as (one, other):
            for number in range(100):
                assert one.link.tell("say", number)
            assert await one.link.ask("double", 21, timeout=PATIENCE) == 42
            assert other.heard == list(range(100)), "an answer comes after what was said before the question"
            asked = [other.link.ask("later", number, timeout=PATIENCE) for number in range(10)]
            assert await asyncio.gather(*asked) == [[number, "later"] for number in range(10)]
            assert await other.link.ask("double", b"x" * 1_000_000, timeout=PATIENCE) == b"x" * 2_000_000

    run(case(), plain_loop=plain_loop)


@pytest.mark.parametrize("kind", ["wrong", "wrong_later", "unknown"])
def test_a_question_that_cannot_be_answered_is_said_without_what_was_asked(kind: str) -> None:
    async def case() -> None:
        async with pair() as (one, _):
            with capture_logs() as logs:
                with pytest.raises(LinkLost) as caught:
                    await one.link.ask(kind, "secret", timeout=PATIENCE)
                one.link.tell(kind, "secret")
                await until(lambda: len(logs) == 2)
            assert "secret" not in f"{logs}{caught.value.message}"
            assert {line["kind"] for line in logs} == {kind}

    run(case())


def test_an_answer_that_does_not_come_is_not_waited_for() -> None:
    async def case() -> None:
        async with pair() as (one, other):
            with pytest.raises(LinkLost, match=r"within 0\.01 s"):
                await one.link.ask("never", timeout=0.01)
            other.never.set()
            assert await one.link.ask("double", 1, timeout=PATIENCE) == 2
            assert not one.link._asked

    run(case())


def test_the_end_of_one_side_is_told_to_the_other_and_to_whoever_waits() -> None:
    async def case() -> None:
        async with pair() as (one, other):
            waiting = asyncio.ensure_future(one.link.ask("never", timeout=PATIENCE))
            given_up = asyncio.ensure_future(one.link.ask("never", timeout=PATIENCE))
            await asyncio.sleep(0)
            given_up.cancel()
            other.link.tell("say", "the last")
            other.link.close()
            with pytest.raises(LinkLost, match="has gone"):
                await waiting
            assert one.heard == ["the last"]
            assert not one.link.tell("say", "too late")
            with pytest.raises(LinkLost, match="does not take"):
                await one.link.ask("double", 1, timeout=PATIENCE)
            one.link.close()

    run(case())


def test_what_is_too_large_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def case() -> None:
        async with pair() as (one, other):
            monkeypatch.setattr(module, "MOST", 1000)
            with capture_logs() as logs:
                one.link.tell("say", b"x" * 2000)
                await other.link.closed()
            assert logs[0]["event"] == "workers.link_bug"
            assert other.heard == []

    run(case())


def test_who_takes_nothing_gets_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async def case() -> None:
        own, other = socket.socketpair()
        link = await Link.over(own, {}, lambda: None)
        monkeypatch.setattr(module, "MOST", 100_000)
        told = [link.tell("say", b"x" * 50_000) for _ in range(100)]
        assert told[0]
        assert not told[-1]
        other.close()
        await link.closed()

    run(case())


def test_a_frame_is_understood_wherever_it_is_cut() -> None:
    async def case() -> None:
        heard: list[Any] = []
        link = Link({"say": heard.append}, lambda: None)
        frame = msgspec.msgpack.encode([0, "say", "all of it"])
        data = (len(frame).to_bytes(4, "big") + frame) * 3
        for cut in range(len(data)):
            link.data_received(data[:cut])
            link.data_received(data[cut:])
        for byte in data:
            link.data_received(bytes([byte]))
        assert heard == ["all of it"] * (3 * len(data) + 3)

    run(case())


def test_an_answer_to_nothing_is_nothing() -> None:
    async def case() -> None:
        link = Link({}, lambda: None)
        frame = msgspec.msgpack.encode([-7, "", "what?"])
        link.data_received(len(frame).to_bytes(4, "big") + frame)
        link.close()

    run(case())
