"""Fewer, larger writes: for readers that draw at most so many frames a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

__all__ = ["Coalescer"]


class Coalescer:
    """Keeps output until ``interval`` seconds after the last write, or until ``most`` reads' worth of it.

    The first output after a quiet while leaves at once: coalescing never delays a token that comes alone.
    """

    __slots__ = ("_interval", "_last", "_loop", "_most", "_parts", "_timer", "_write")

    def __init__(
        self, interval: float, most: int, loop: asyncio.AbstractEventLoop, write: Callable[[bytes], None]
    ) -> None:
        self._interval = interval
        self._most = most
        self._loop = loop
        self._write = write
        self._parts: list[bytes] = []
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, out: bytes, now: float) -> None:
        """Write ``out`` now or soon."""
        self._parts.append(out)
        wait = self._last + self._interval - now
        if wait <= 0 or len(self._parts) >= self._most:
            self._flush()
        elif self._timer is None:
            self._timer = self._loop.call_later(wait, self._flush)

    def take(self) -> bytes:
        """What has not been written, for somebody who writes it now."""
        self.close()
        out = b"".join(self._parts)
        self._parts.clear()
        return out

    def close(self) -> None:
        """No timer is left."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush(self) -> None:
        self._last = monotonic()
        out = self.take()
        if out:
            self._write(out)
