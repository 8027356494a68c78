"""A bus within one loop, whose members stall, are away, and say what they are told to say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping

from tidegate.shared.bus import Receive

__all__ = ["MemoryBus", "Wire"]


class Wire:
    """Everybody who is on it.

    :ivar deaf: tags of those who take messages and do nothing with them, as a frozen process does.
    :ivar away: tags of those whom nothing reaches.
    :ivar change: what becomes of a message on its way.
    """

    def __init__(self) -> None:
        self.members: dict[str, MemoryBus] = {}
        self.deaf: set[str] = set()
        self.away: set[str] = set()
        self.change: Callable[[bytes], list[bytes]] = lambda message: [message]
        self.sent: list[bytes] = []

    def join(self, tag: str) -> MemoryBus:
        bus = MemoryBus(self, tag)
        self.members[tag] = bus
        return bus


class MemoryBus:
    """As :class:`tidegate.shared.bus.Bus`."""

    def __init__(self, wire: Wire, tag: str) -> None:
        self._wire = wire
        self._receive: Receive | None = None
        self.tag = tag
        self.name = f"replica-{tag[:2]}"
        self.complete = True
        self.closed = False

    @property
    def others(self) -> Mapping[str, str]:
        return {tag: bus.name for tag, bus in self._wire.members.items() if tag != self.tag}

    def start(self, receive: Receive) -> None:
        assert self._receive is None, "started twice"
        self._receive = receive

    async def send(self, to: Collection[str], message: bytes) -> set[str]:
        self._wire.sent.append(message)
        took = {tag for tag in to if tag in self._wire.members and tag not in self._wire.away}
        for tag in took - self._wire.deaf:
            receive = self._wire.members[tag]._receive
            for each in self._wire.change(message):
                if receive is not None:
                    asyncio.get_running_loop().call_soon(receive, each)
        await asyncio.sleep(0)
        return took

    async def close(self) -> None:
        self.closed = True
