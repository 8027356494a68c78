"""PURE. How many tokens a stream may deliver, as the relay sees it: a number, and whom to ask when it is reached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tidegate.errors import TidegateError
from tidegate.telemetry.record import StreamRecord

__all__ = ["Allowance"]


class Allowance(Protocol):
    """The relay owns this interface and whoever enforces limits fulfils it. Called on the loop; never waits."""

    tokens: int
    """Deltas that may be delivered in all before :meth:`more` is asked."""

    def bind(self, changed: Callable[[], None]) -> None:
        """Call ``changed`` whenever ``tokens`` has become another number outside of :meth:`more`."""

    def ahead(self, tokens: int) -> None:
        """So many may be delivered soon: raise ``tokens`` as far as that is possible without waiting."""

    def ended(self, record: StreamRecord) -> None:
        """The stream is over; called once."""

    def more(self, delivered: int) -> TidegateError | None:
        """More than ``tokens`` have been delivered: raise it, or say what the stream ends with."""
