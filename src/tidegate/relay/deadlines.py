"""When a stream has waited long enough, and for what. One timer for all of it, and none for a token."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum
from math import inf
from time import monotonic
from typing import Final, NamedTuple

from tidegate.relay.lifecycle import State
from tidegate.relay.options import StreamOptions

__all__ = ["LATE", "Alarm", "Due", "Waits", "next_due"]


LATE: Final = 0.05
"""Seconds. A timer that fires so much too late says that this process was busy or stopped; it then waits as long once
more, for what has come meanwhile to be looked at.
"""


class Due(Enum):
    """What is due when a deadline has passed."""

    TOTAL = "the whole answer took too long"
    FIRST_TOKEN = "the upstream's first token took too long"  # noqa: S105 - a model's token
    IDLE = "the upstream is silent"
    GRACE = "usage and end marker did not come after the last finish reason"
    STALL = "the reader does not read"
    HEARTBEAT = "the reader needs a sign of life"


class Waits(NamedTuple):
    """The facts that deadlines follow from. Moments of a monotonic clock; ``None``: not the case."""

    state: State
    accepted: float
    sent: float | None
    last_in: float
    last_out: float
    grace_at: float | None
    paused_at: float | None
    closing: bool
    """The last word is ready and waits for a reader who is behind."""
    beats: bool
    """The framing has heartbeats."""
    checking: bool = False
    """The answer is whole and waits for the verdicts on it, each of which has a deadline of its own."""


def next_due(waits: Waits, options: StreamOptions) -> tuple[float, Due]:
    """The next deadline, and what it is. Silence of the upstream never counts while the reader is behind."""
    total = (waits.accepted + options.total_timeout, Due.TOTAL)
    if waits.paused_at is not None:
        stall = (waits.paused_at + options.stall_timeout, Due.STALL)
        return stall if waits.closing or stall[0] <= total[0] else total
    due = total
    if waits.checking:
        pass
    elif waits.grace_at is not None:
        due = _earlier(due, waits.grace_at, Due.GRACE)
    elif waits.state is State.WAITING and waits.sent is not None:
        due = _earlier(due, waits.sent + options.first_token_timeout, Due.FIRST_TOKEN)
    elif waits.state is State.STREAMING:
        due = _earlier(due, waits.last_in + options.idle_timeout, Due.IDLE)
    if options.heartbeat > 0 and waits.beats:
        due = _earlier(due, waits.last_out + options.heartbeat, Due.HEARTBEAT)
    return due


def _earlier(due: tuple[float, Due], at: float, what: Due) -> tuple[float, Due]:
    return (at, what) if at < due[0] else due


class Alarm:
    """A timer that is moved only when it fires or an earlier deadline appears: a token moves nothing.

    :param due: the next deadline as it is now.
    :param act: told what is due.
    :param failed: told what ``act`` raised.
    """

    __slots__ = ("_act", "_at", "_due", "_failed", "_late", "_loop", "_timer")

    def __init__(
        self,
        due: Callable[[], tuple[float, Due]],
        act: Callable[[Due], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._due = due
        self._act = act
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._at = 0.0
        self._late = False

    def arm(self) -> None:
        """Fire no later than the next deadline."""
        self.no_later_than(self._due()[0])

    def no_later_than(self, at: float) -> None:
        """A deadline has appeared, and is the only one that has."""
        if self._timer is not None:
            if self._at <= at:
                return
            self._timer.cancel()
        self._set(at)

    def instead(self, seconds: float, then: Callable[[], None]) -> None:
        """From now on there is only this one deadline."""
        self.stop()
        self._timer = self._loop.call_later(seconds, then)

    def close(self) -> None:
        """No timer is left, and nobody to tell: whoever owns this is freed without the garbage collector."""
        self.stop()
        self._due, self._act, self._failed = _never, _ignore, _ignore

    def stop(self) -> None:
        """No timer is left, for now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, at: float) -> None:
        now = monotonic()
        self._at = max(now, at)
        self._timer = self._loop.call_later(self._at - now, self._fire)

    def _fire(self) -> None:
        self._timer = None
        try:
            at, what = self._due()
            now = monotonic()
            late, self._late = self._late, False
            if at > now:
                self._set(at)
            elif now - self._at > LATE and not late:
                # Nobody else may be to blame: what they sent is perhaps still in a socket's buffer.
                self._late = True
                self._set(now + LATE)
            else:
                self._act(what)
        except Exception as error:
            self._failed(error)


def _never() -> tuple[float, Due]:
    return inf, Due.TOTAL


def _ignore(_: object) -> None:
    return None
