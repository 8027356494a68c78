"""PURE. The life of a stream as a table, and the one place where its end is decided.

::

    admitted ──> connecting ──> waiting ──> streaming ──> ended
        │            │  ▲          │            │           ▲
        │            │  └──retry───┤            │           │
        └────────────┴─────────────┴────────────┴───────────┘
                                 end(reason)

* ``admitted``: the request is valid and counted; nothing has been sent anywhere.
* ``connecting``: a connection to an upstream is being made, or a back-off before the next try is running.
* ``waiting``: the request is sent; no token has come. A retryable failure goes back to ``connecting``.
* ``streaming``: the first token has come. From here on a failure can only be told, never retried.
* ``ended``: exactly once, with exactly one terminal reason. Every later attempt to end is refused, so whoever comes
  first (the model's finish, the reader's hang-up, a timer) is the one that counts.

An event that a state's row does not list is a bug of ours and raises :class:`IllegalTransition`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = [
    "FINISH_REASONS",
    "TRANSITIONS",
    "IllegalTransition",
    "Lifecycle",
    "Reason",
    "State",
    "Step",
    "reason_of_finish",
]


class State(StrEnum):
    """Where a stream is."""

    ADMITTED = "admitted"
    CONNECTING = "connecting"
    WAITING = "waiting"
    STREAMING = "streaming"
    ENDED = "ended"


class Step(StrEnum):
    """What moves it on, other than its end."""

    CONNECT = "connect"
    SENT = "sent"
    RETRY = "retry"
    FIRST_TOKEN = "first_token"  # noqa: S105 - a model's token


class Reason(StrEnum):
    """Why a stream ended. One word, the same in the log line, the metrics, the ledger and the API."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    CLIENT_CANCEL = "client_cancel"
    SOFT_STOP = "soft_stop"
    CLIENT_STALLED = "client_stalled"
    CONNECT_TIMEOUT = "connect_timeout"
    FIRST_TOKEN_TIMEOUT = "first_token_timeout"  # noqa: S105 - a model's token
    IDLE_TIMEOUT = "idle_timeout"
    TOTAL_TIMEOUT = "total_timeout"
    UPSTREAM_REFUSED = "upstream_refused"
    UPSTREAM_ERROR = "upstream_error"
    UPSTREAM_CUT = "upstream_cut"
    INVALID_OUTPUT = "invalid_output"
    LIMIT = "limit"
    BUDGET = "budget"
    FILTERED = "filtered"
    SHUTDOWN = "shutdown"
    INTERNAL_ERROR = "internal_error"


TRANSITIONS: Final[dict[State, dict[Step, State]]] = {
    State.ADMITTED: {Step.CONNECT: State.CONNECTING},
    State.CONNECTING: {Step.CONNECT: State.CONNECTING, Step.SENT: State.WAITING, Step.RETRY: State.CONNECTING},
    State.WAITING: {Step.RETRY: State.CONNECTING, Step.FIRST_TOKEN: State.STREAMING},
    State.STREAMING: {},
    State.ENDED: {},
}

FINISH_REASONS: Final[dict[str, Reason]] = {
    "stop": Reason.STOP,
    "length": Reason.LENGTH,
    "max_tokens": Reason.LENGTH,
    "tool_calls": Reason.TOOL_CALLS,
    "function_call": Reason.TOOL_CALLS,
    "tool_use": Reason.TOOL_CALLS,
    "content_filter": Reason.CONTENT_FILTER,
    "safety": Reason.CONTENT_FILTER,
}
"""Finish reasons of the field, and the terminal reason each one is."""


def reason_of_finish(finish_reason: str) -> Reason:
    """The terminal reason of an upstream's finish reason; one that we do not know is a ``stop``: the model chose it."""
    return FINISH_REASONS.get(finish_reason.lower(), Reason.STOP)


class IllegalTransition(RuntimeError):
    """A step that the table does not list: a bug of ours."""


class Lifecycle:
    """One stream's place in the table. Holds no clock and does no I/O."""

    __slots__ = ("reason", "state")

    def __init__(self) -> None:
        self.state = State.ADMITTED
        self.reason: Reason | None = None

    @property
    def ended(self) -> bool:
        return self.state is State.ENDED

    def step(self, step: Step) -> State:
        """Move on along the table; returns the new state."""
        try:
            self.state = TRANSITIONS[self.state][step]
        except KeyError:
            raise IllegalTransition(f"{step.value} in state {self.state.value}") from None
        return self.state

    def end(self, reason: Reason) -> bool:
        """End with ``reason``. True for the caller that ended it, False for everyone who comes later."""
        if self.state is State.ENDED:
            return False
        self.state = State.ENDED
        self.reason = reason
        return True
