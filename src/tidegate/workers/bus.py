"""The workers' :class:`tidegate.shared.bus.Bus`: the supervisor passes messages on."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tidegate.shared.bus import MAX_MESSAGE, Receive
from tidegate.workers.link import Link

__all__ = ["LinkBus"]


class LinkBus:
    """Nobody who does not live is among the others: the supervisor sees each end, and says who is there.

    :param tag: as the supervisor gave it.
    """

    complete = True

    def __init__(self, link: Link, tag: str, name: str) -> None:
        self.tag = tag
        self.name = name
        self.others: Mapping[str, str] = {}
        self._link = link
        self._receive: Receive | None = None

    def start(self, receive: Receive) -> None:
        """Join."""
        self._receive = receive

    def know(self, workers: Mapping[str, str]) -> None:
        """Who is there, by tag; this one may be among them."""
        self.others = {tag: name for tag, name in workers.items() if tag != self.tag}

    def take(self, message: bytes) -> None:
        """Something for this one."""
        if self._receive is not None and len(message) <= MAX_MESSAGE:
            self._receive(message)

    async def send(self, to: Collection[str], message: bytes) -> set[str]:
        """As the bus does."""
        known = [tag for tag in to if tag in self.others]
        if not known or not self._link.tell("pass", [known, message]):
            return set()
        return set(known)

    async def close(self) -> None:
        """Nothing more is taken."""
        self._receive = None
