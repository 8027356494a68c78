"""An event loop that remembers its timers, so that a test can see which are left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any

import uvloop

__all__ = ["CountingLoop", "timers_left"]

_NOT_OURS = ("_set_result_unless_cancelled", "_release_waiter", "HttpToolsProtocol.timeout_keep_alive_handler")
"""Whoever asks may be asleep itself, and have a time limit. And uvicorn's own protocol, without our fast path, keeps
the timer of an idle connection that is reset; ours does not."""


class CountingLoop(uvloop.Loop):
    """uvloop, with a list of the timers that it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._timers: list[tuple[float, asyncio.TimerHandle, str]] = []

    def call_later(  # type: ignore[override] # the callback's own types do not matter to a list
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle: asyncio.TimerHandle = super().call_later(delay, callback, *args, context=context)
        self._timers.append((self.time() + delay, handle, _name(callback)))
        return handle

    def timers(self) -> list[str]:
        """Whose timers have neither fired nor been cancelled."""
        now = self.time()
        self._timers = [timer for timer in self._timers if timer[0] > now and not timer[1].cancelled()]
        return [whose for _, _, whose in self._timers]


def _name(callback: Callable[..., Any]) -> str:
    """``Class.method``, with the class that the object really has."""
    name = getattr(callback, "__name__", repr(callback))
    owner = getattr(callback, "__self__", None)
    return name if owner is None else f"{type(owner).__name__}.{name}"


def timers_left() -> list[str]:
    """Whose timers the running loop still holds, for work that is not the test's own."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, CountingLoop)
    return [whose for whose in loop.timers() if whose not in _NOT_OURS]
