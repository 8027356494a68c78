"""workers/bus.py: who is there, and what is passed on."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from tests.fakes.gateway import run, until
from tidegate.shared.bus import MAX_MESSAGE, Bus
from tidegate.workers.bus import LinkBus
from tidegate.workers.link import Link


def test_it_sends_to_those_who_are_there_and_takes_what_is_passed() -> None:
    async def case() -> None:
        passed: list[Any] = []
        own, other = socket.socketpair()
        supervisor = await Link.over(other, {"pass": passed.append}, lambda: None)
        link = await Link.over(own, {}, lambda: None)
        bus = LinkBus(link, "aaaaaaaa", "worker 1")
        as_promised: Bus = bus
        assert as_promised.complete
        assert await bus.send(["bbbbbbbb"], b"hello") == set()
        bus.know({"aaaaaaaa": "worker 1", "bbbbbbbb": "worker 2"})
        assert bus.others == {"bbbbbbbb": "worker 2"}
        assert await bus.send(["bbbbbbbb", "cccccccc", "aaaaaaaa"], b"hello") == {"bbbbbbbb"}
        await until(lambda: passed == [[["bbbbbbbb"], b"hello"]])

        heard: list[bytes] = []
        bus.take(b"before anybody listens")
        bus.start(heard.append)
        bus.take(b"x" * (MAX_MESSAGE + 1))
        bus.take(b"for you")
        await bus.close()
        bus.take(b"too late")
        assert heard == [b"for you"]

        supervisor.close()
        await asyncio.gather(supervisor.closed(), link.closed())
        assert await bus.send(["bbbbbbbb"], b"hello") == set()

    run(case())
