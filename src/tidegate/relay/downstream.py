"""PURE. The reader's side of a stream, as the relay sees it: a few plain calls, none of which waits.

The relay owns these interfaces and the server fulfils them: once directly on the socket, once over plain ASGI.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from tidegate.relay.direct import Direct
from tidegate.wire.gzip import Gzip

__all__ = ["BODILESS", "Downstream", "Reader"]

BODILESS: Final = frozenset({204, 304})
"""Statuses without a body, and without a word of its length (RFC 9110 §8.6)."""

Headers = Sequence[tuple[bytes, bytes]]


class Reader(Protocol):
    """What a downstream tells the relay. Called on the loop; never after :meth:`Downstream.finish` or ``abort``."""

    def on_pause(self) -> None:
        """More than the high-water mark is unsent: read no further from the upstream."""

    def on_resume(self) -> None:
        """The reader caught up."""

    def on_gone(self) -> None:
        """The reader hung up."""


class Downstream(Protocol):
    """One response. Methods never block and never raise because the reader has gone; then they do nothing."""

    framed: bool
    """Whether :meth:`write_framed` may be used."""
    direct: Direct | None
    """``None`` where bytes must pass through the downstream (TLS, another server). After the first body bytes only."""

    @property
    def coded(self) -> tuple[Gzip, Downstream] | None:
        """Where the body is compressed: by whom, and what the coded bytes are written to. After the head only."""

    def bind(self, reader: Reader) -> None:
        """Tell ``reader`` from now on; at once when it is gone already."""

    def start(self, status: int, headers: Headers, length: int | None = None) -> None:
        """Send the head. Once, before anything else.

        :param length: of the body in bytes, when it is known.
        """

    def write(self, data: bytes) -> None:
        """Send body bytes, now."""

    def write_framed(self, framed: bytes) -> None:
        """Send body bytes that are whole HTTP/1.1 chunks already (RFC 9112 §7.1)."""

    def finish(self, data: bytes = b"") -> None:
        """Send the last body bytes and end the body cleanly. Not while paused."""

    def abort(self) -> None:
        """Close the connection now, without an ending: the reader must be able to see that the body is not whole."""
