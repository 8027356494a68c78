"""Whether an SSE event is a replay: proof, never likeness of text ("strawberry" has two equal neighbours)."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

__all__ = ["EventIds"]

_KEPT: Final = 1024
"""Ids remembered. A replay after a reconnect repeats the last few."""


class EventIds:
    """The proof is an id that was there before with the same data, in a stream that gives every event an id of its own.

    A server that repeats one id with other data does not do that, and is never deduplicated again.
    """

    __slots__ = ("_known", "_unique")

    def __init__(self) -> None:
        self._known: OrderedDict[str, int] = OrderedDict()
        self._unique = True

    def repeated(self, event_id: str, data: bytes) -> bool:
        """Whether this event was there before. Must see every event that has an id, in order."""
        if not self._unique or not event_id:
            return False
        digest = hash(data)
        known = self._known.get(event_id)
        if known is None:
            self._known[event_id] = digest
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
            return False
        if known != digest:
            self._unique = False
            self._known.clear()
            return False
        # One id alone may be an id of the stream; two different ones are ids of events.
        return len(self._known) > 1
