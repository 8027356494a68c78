"""server/asgi.py: plain calls in, ASGI messages out; backpressure and hang-ups come back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tidegate.server.asgi import AsgiDownstream


class Told:
    """The relay's side."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_pause(self) -> None:
        self.heard.append("pause")

    def on_resume(self) -> None:
        self.heard.append("resume")

    def on_gone(self) -> None:
        self.heard.append("gone")


class Server:
    """An ASGI server that sends when ``open`` is set, and says that the reader left when ``left`` is."""

    def __init__(self, *, error: type[OSError] | None = None) -> None:
        self.sent: list[Any] = []
        self.open = asyncio.Event()
        self.open.set()
        self.left = asyncio.Event()
        self.error = error
        self._said = False
        self.told = Told()

    async def receive(self) -> dict[str, Any]:
        if not self._said:
            self._said = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if self.error is not None:
            raise self.error
        await self.open.wait()
        self.sent.append(message)

    def downstream(self, high_water: int = 100) -> AsgiDownstream:
        return AsgiDownstream(self.receive, self.send, high_water=high_water)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


def run(case: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await asyncio.wait_for(case(), 200)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


async def turns(count: int = 5) -> None:
    """Whoever can go on does."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_calls_become_messages_in_their_order() -> None:
    async def case() -> None:
        server = Server()
        async with server.downstream() as down:
            down.bind(server.told)
            down.start(200, [(b"x", b"y")])
            down.write(b"a")
            down.write(b"b")
            down.finish(b"c")
            await down.closed()
        assert server.sent == [
            {"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]},
            {"type": "http.response.body", "body": b"a", "more_body": True},
            {"type": "http.response.body", "body": b"b", "more_body": True},
            {"type": "http.response.body", "body": b"c", "more_body": False},
        ]
        assert server.told.heard == []

    run(case)


def test_above_the_high_water_mark_it_is_behind_until_the_low_one() -> None:
    """Told once each way; the head counts for nothing."""

    async def case() -> None:
        server = Server()
        server.open.clear()
        async with server.downstream(high_water=100) as down:
            down.bind(server.told)
            down.start(200, [])
            down.write(b"x" * 100)
            assert server.told.heard == []
            down.write(b"x")
            down.write(b"x" * 50)
            assert server.told.heard == ["pause"]
            server.open.set()
            await turns()
            assert server.told.heard == ["pause", "resume"]
            down.write(b"x" * 100)
            await turns()
            assert server.told.heard == ["pause", "resume"]
            down.finish()
            await down.closed()
            assert len(server.body) == 251

    run(case)


def test_it_stays_behind_while_more_than_the_low_water_mark_waits() -> None:
    async def case() -> None:
        server = Server()
        server.open.clear()
        async with server.downstream(high_water=100) as down:
            down.bind(server.told)
            down.start(200, [])
            for _ in range(11):
                down.write(b"x" * 10)
            while len(server.body) < 110:
                server.open.set()
                await turns(1)
                server.open.clear()
                waiting = 110 - len(server.body)
                assert server.told.heard == (["pause"] if waiting > 25 else ["pause", "resume"])
            down.abort()

    run(case)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_reader_who_leaves_is_told_of_once(when: str) -> None:
    """Also when it left before anybody listened; what is written then goes nowhere."""

    async def case() -> None:
        server = Server()
        async with server.downstream() as down:
            if when == "before":
                server.left.set()
                await turns()
                down.bind(server.told)
            else:
                down.bind(server.told)
                server.left.set()
                await turns()
            assert server.told.heard == ["gone"]
            down.start(200, [])
            down.write(b"x" * 1000)
            down.finish()
            await down.closed()
            await turns()
        assert server.sent == []
        assert server.told.heard == ["gone"]

    run(case)


@pytest.mark.parametrize("error", [OSError, BrokenPipeError, ConnectionResetError])
def test_a_send_that_fails_says_the_same(error: type[OSError]) -> None:
    """ASGI 2.4: ``send`` raises when the peer has gone."""

    async def case() -> None:
        server = Server(error=error)
        async with server.downstream() as down:
            down.bind(server.told)
            down.start(200, [])
            await down.closed()
            assert server.told.heard == ["gone"]

    run(case)


def test_an_abort_sends_no_end() -> None:
    """Nor what waited; the server closes a response that returns without its end."""

    async def case() -> None:
        server = Server()
        server.open.clear()
        async with server.downstream() as down:
            down.bind(server.told)
            down.start(200, [])
            down.write(b"a")
            await turns()
            down.write(b"b")
            down.abort()
            server.open.set()
            await down.closed()
            await turns()
        assert b"b" not in server.body
        assert all(message.get("more_body", True) for message in server.sent)
        assert server.told.heard == []

    run(case)


def test_a_disconnect_after_the_end_is_no_hang_up() -> None:
    """Servers say it after every response."""

    async def case() -> None:
        server = Server()
        async with server.downstream() as down:
            down.bind(server.told)
            down.start(200, [])
            down.finish(b"all")
            server.left.set()
            await down.closed()
            await turns()
        assert server.told.heard == []

    run(case)


def test_a_reader_who_leaves_before_its_last_bytes_were_sent_frees_the_response() -> None:
    """The stream has ended already; the response does not wait for ever."""

    async def case() -> None:
        server = Server()
        server.open.clear()
        async with server.downstream() as down:
            down.bind(server.told)
            down.start(200, [])
            down.write(b"x")
            down.finish(b"last")
            await turns()
            server.left.set()
            await down.closed()
        assert server.told.heard == []

    run(case)


def test_it_does_no_framing() -> None:
    async def case() -> None:
        down = Server().downstream()
        assert not down.framed
        with pytest.raises(NotImplementedError):
            down.write_framed(b"1\r\nx\r\n")

    run(case)
