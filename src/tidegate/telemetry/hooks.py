"""Several sinks as one."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from tidegate.telemetry.record import StreamHook, StreamRecord

__all__ = ["Hooks"]


class Hooks:
    """Tells every hook in turn. One that raises is logged, once for its lifetime, and never reaches the stream."""

    __slots__ = ("_broken", "_hooks")

    def __init__(self, hooks: Iterable[StreamHook] = ()) -> None:
        self._hooks = tuple(hooks)
        self._broken: set[int] = set()

    def opened(self) -> None:
        for hook in self._hooks:
            try:
                hook.opened()
            except Exception as error:
                self._report(hook, error)

    def ended(self, record: StreamRecord) -> None:
        for hook in self._hooks:
            try:
                hook.ended(record)
            except Exception as error:
                self._report(hook, error)

    def _report(self, hook: StreamHook, error: Exception) -> None:
        # Only once: a sink whose disk is full would otherwise write a line per stream to that disk.
        if id(hook) in self._broken:
            return
        self._broken.add(id(hook))
        try:
            structlog.get_logger().error("telemetry.hook_failed", hook=type(hook).__name__, exc_info=error)
        except Exception:  # noqa: S110 - the log itself is what is broken: nobody is left to tell
            pass
