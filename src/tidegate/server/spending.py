"""What budgets have spent, as the ledger knows it: asked once for each, and again now and then while it is in use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

import structlog

from tidegate.ledger.away import LedgerAway
from tidegate.policy.budgets import Period
from tidegate.policy.meters import subject_of_budget

__all__ = ["Spending"]

AGAIN: Final = 5.0
"""Seconds for which an answer is good enough: what this process spends meanwhile it counts itself."""

MOST: Final = 10_000
"""Budgets that are remembered."""

_log = structlog.get_logger()


class Spending:
    """Use it on one event loop.

    :param ask: nano-dollars that a key has spent since a moment; blocks. ``None``: there is no ledger.
    """

    def __init__(self, ask: Callable[[str, float], int] | None) -> None:
        self._ask = ask
        self._known: dict[str, tuple[int, float]] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}

    def known(self, subject: str, _: Period) -> int:
        """Nano-dollars, as of the last answer."""
        return self._known.get(subject, (0, 0.0))[0]

    def fresh(self, key_id: str, period: Period) -> bool:
        """Whether :meth:`known` knows, and nothing needs to be asked."""
        if self._ask is None:
            return True
        known = self._known.get(subject_of_budget(key_id, period))
        return known is not None and monotonic() - known[1] < AGAIN

    async def look(self, key_id: str, period: Period) -> None:
        """Make sure that :meth:`known` knows; waits the first time only."""
        if self._ask is None:
            return
        subject = subject_of_budget(key_id, period)
        known = self._known.get(subject)
        if known is not None and monotonic() - known[1] < AGAIN:
            return
        task = self._asking.get(subject)
        if task is None:
            task = self._asking[subject] = asyncio.get_running_loop().create_task(
                self._look(subject, key_id, float(period.start))
            )
        if known is None:
            await asyncio.shield(task)

    async def _look(self, subject: str, key_id: str, since: float) -> None:
        assert self._ask is not None
        try:
            spent = await asyncio.to_thread(self._ask, key_id, since)
        except LedgerAway as error:
            # What this process has counted itself still holds.
            _log.warning("budget.ledger_away", error=str(error))
            spent = self._known.get(subject, (0, 0.0))[0]
        finally:
            del self._asking[subject]
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[subject] = (spent, monotonic())

    async def close(self) -> None:
        """Wait for what is being asked."""
        await asyncio.gather(*self._asking.values(), return_exceptions=True)
