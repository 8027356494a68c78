"""What gateway processes tell one another by: small messages, each to processes that are named."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final, Protocol

__all__ = ["MAX_MESSAGE", "TAG_DIGITS", "Bus", "Receive"]

MAX_MESSAGE: Final = 1024 * 1024
"""Bytes; what is larger is dropped where it arrives."""

TAG_DIGITS: Final = 8
"""Hexadecimal digits of a process's tag."""

Receive = Callable[[bytes], None]


class Bus(Protocol):
    """Messages are opaque. One may be lost, and two need not arrive in the order in which they were sent.

    Use it on one event loop.
    """

    @property
    def tag(self) -> str:
        """This process: :data:`TAG_DIGITS` digits, at random. The ids of its streams begin with them."""

    @property
    def name(self) -> str:
        """The same for people."""

    @property
    def others(self) -> Mapping[str, str]:
        """The other processes that are alive, as far as is known here: name by tag. Nothing is waited for."""

    @property
    def complete(self) -> bool:
        """Whether there are no others than these."""

    def start(self, receive: Receive) -> None:
        """Join, on the running loop; again it does nothing.

        :param receive: called on the loop with each message; must not block and must not raise.
        """

    async def send(self, to: Collection[str], message: bytes) -> set[str]:
        """Send to the processes of these tags; returns the tags of those that listened. Never raises."""

    async def close(self) -> None:
        """Leave: the others know at once."""
