"""PURE. The decisions of ``limits.lua`` without Redis, for the workers of one machine: one process decides for all.

It counts with the windows and purses of :mod:`tidegate.policy`, understands what
:class:`tidegate.shared.limits.SharedLimits` asks, and answers as the script does; both pass the same tests. Where Redis
has leases that run out, whoever holds this table sees the end of a worker and says so (:meth:`Table.leave`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tidegate.policy.windows import Purse, Window, bucket_of

__all__ = ["Table"]

DONE: Final = [1]
UNKNOWN: Final = [2]
"""The caller has not said what it has: restore, then ask again."""

NEVER: Final = -1

SWEEP: Final = 4096
"""Admissions after which what nobody has asked for in a minute is forgotten."""

Row = Sequence[Any]
"""Of a meter: kind, subject, limit, amount or charged, spent, milliseconds until it resets."""

Ask = Mapping[str, Any]


class _Holder:
    """What one process has, under the number that counts."""

    __slots__ = ("money", "number", "streams")

    def __init__(self, number: int) -> None:
        self.number = number
        self.streams: dict[str, set[str]] = {}
        self.money: dict[str, int] = {}


class Table:
    """Everybody's limits. Moments are milliseconds of one clock that never goes back."""

    def __init__(self) -> None:
        self._windows: dict[tuple[str, str], Window] = {}
        self._live: dict[str, int] = {}
        self._purses: dict[str, Purse] = {}
        self._holders: dict[str, _Holder] = {}
        self._admitted = 0

    def live(self, subject: str) -> int:
        """Streams of a subject, of all processes."""
        return self._live.get(subject, 0)

    def decide(self, operation: str, ask: Ask, now: int) -> list[int]:
        """One call of the script.

        :param operation: ``admit``, ``more``, ``settle``, ``restore``, ``beat`` or ``leave``.
        """
        process, _, number = ask["me"].rpartition(".")
        if operation == "restore":
            return self._restore(process, int(number), ask)
        holder = self._holders.get(process)
        if holder is None or holder.number != int(number):
            return UNKNOWN
        if operation == "admit":
            return self._admit(holder, ask, now)
        if operation == "more":
            return self._more(holder, ask, now)
        if operation == "settle":
            self._settle(holder, ask, now)
        elif operation == "leave":
            self.leave(process)
        return DONE

    def leave(self, process: str) -> None:
        """That process has ended: what it held is free."""
        holder = self._holders.pop(process, None)
        if holder is None:
            return
        for subject, ids in holder.streams.items():
            self._left(subject, len(ids))
        for subject, amount in holder.money.items():
            self._purse(subject).held -= amount

    def _restore(self, process: str, number: int, ask: Ask) -> list[int]:
        holder = self._holders.get(process)
        if holder is not None and holder.number > number:
            return UNKNOWN  # said long ago, heard only now
        if holder is None or holder.number < number:
            self.leave(process)
            holder = self._holders[process] = _Holder(number)
        for subject, ids in ask["streams"].items():
            for stream in ids:
                self._enter(holder, subject, stream)
        for subject, amount in ask["money"].items():
            self._hold(holder, subject, amount)
        return DONE

    def _admit(self, holder: _Holder, ask: Ask, now: int) -> list[int]:
        rows: Sequence[Row] = ask["meters"]
        worst, longest = -1, 0
        for index, row in enumerate(rows):
            wait = self._refused(row, now)
            if wait is not None and (worst < 0 or _weight(row, wait) > _weight(rows[worst], longest)):
                worst, longest = index, wait
        if worst >= 0:
            return self._standings([0, worst + 1, longest], rows, now)
        answer = [1]
        for row in rows:
            answer += self._charge(holder, row, ask["id"], now)
        self._admitted += 1
        if self._admitted % SWEEP == 0:
            self._sweep(now)
        return self._standings(answer, rows, now)

    def _refused(self, row: Row, now: int) -> int | None:
        """Milliseconds for which that meter keeps the request out; ``None``: it does not."""
        kind, subject, limit, amount, spent, resets = row
        if kind == "s":
            return NEVER if self.live(subject) >= limit else None
        if kind == "b":
            return _resets(resets) if self._purse(subject, spent).used >= limit else None
        wait: int = self._window(kind, subject).wait(amount, limit, now)
        return wait or None

    def _charge(self, holder: _Holder, row: Row, stream: str, now: int) -> tuple[int, int]:
        """What was charged, and in which bucket."""
        kind, subject, limit, amount, spent, _ = row
        if kind == "s":
            self._enter(holder, subject, stream)
        elif kind == "b":
            amount = max(0, min(amount, limit - self._purse(subject, spent).used))
            self._hold(holder, subject, amount)
        else:
            return amount, self._window(kind, subject).add(amount, bucket_of(now))[0]
        return amount, 0

    def _more(self, holder: _Holder, ask: Ask, now: int) -> list[int]:
        """Of tokens and budgets only: ``output`` tokens in all are wanted, ``before`` are reserved."""
        rows: Sequence[Row] = ask["meters"]
        reached, least = ask["output"], -1
        for index, row in enumerate(rows):
            possible = self._possible(row, ask, now)
            if possible is not None and possible < reached:
                reached, least = possible, index
        if reached <= ask["before"]:
            kind, subject, limit, _, _, resets = rows[least]
            wait = _resets(resets) if kind == "b" else self._window(kind, subject).wait(1, limit, now)
            return [0, least + 1, wait]
        answer = [1, reached]
        for kind, subject, _, charged, _, _ in rows:
            wanted = ask["prompt"] + reached if kind == "t" else ask["base"] + math.ceil(reached * ask["unit"])
            amount, bucket = max(0, wanted - charged), 0
            if amount and kind == "t":
                bucket = self._window(kind, subject).add(amount, bucket_of(now))[0]
            elif amount:
                self._hold(holder, subject, amount)
            answer += (amount, bucket)
        return answer

    def _possible(self, row: Row, ask: Ask, now: int) -> int | None:
        """Output tokens in all that this meter would cover; ``None``: it does not count them."""
        kind, subject, limit, charged, spent, _ = row
        if kind == "t":
            room = limit - self._window(kind, subject).slide(now)
            return int(charged + max(0, room) - ask["prompt"])
        if ask["unit"] > 0:
            room = limit - self._purse(subject, spent).used
            return int((charged + max(0, room) - ask["base"]) // ask["unit"])
        return None

    def _settle(self, holder: _Holder, ask: Ask, now: int) -> None:
        for subject, bucket, amount in ask["back"]:
            self._window("t", subject).take_back(bucket, amount)
        for subject, amount in ask["over"]:
            window = self._window("t", subject)
            window.slide(now)
            window.add(amount, bucket_of(now))
        for subject in ask["streams"]:
            ids = holder.streams.get(subject, set())
            if ask["id"] in ids:
                ids.remove(ask["id"])
                self._left(subject, 1)
                if not ids:
                    del holder.streams[subject]
        for subject, held, cost in ask["money"]:
            self._hold(holder, subject, -held)
            self._purse(subject).spent += cost

    def _enter(self, holder: _Holder, subject: str, stream: str) -> None:
        ids = holder.streams.setdefault(subject, set())
        if stream not in ids:
            ids.add(stream)
            self._live[subject] = self._live.get(subject, 0) + 1

    def _left(self, subject: str, count: int) -> None:
        left = self._live[subject] - count
        if left:
            self._live[subject] = left
        else:
            del self._live[subject]

    def _hold(self, holder: _Holder, subject: str, amount: int) -> None:
        held = holder.money.get(subject, 0) + amount
        self._purse(subject).held += amount
        if held:
            holder.money[subject] = held
        else:
            holder.money.pop(subject, None)

    def _window(self, kind: str, subject: str) -> Window:
        window = self._windows.get((kind, subject))
        if window is None:
            window = self._windows[kind, subject] = Window()
        return window

    def _purse(self, subject: str, spent: int = 0) -> Purse:
        purse = self._purses.get(subject)
        if purse is None:
            purse = self._purses[subject] = Purse()
        # Others write the same ledger, and what they spent comes from there; what we know and it does not yet, stays.
        purse.spent = max(purse.spent, spent)
        return purse

    def _standings(self, answer: list[int], rows: Sequence[Row], now: int) -> list[int]:
        for kind, subject, *_ in rows:
            if kind in ("r", "t"):
                window = self._window(kind, subject)
                answer += (window.slide(now), window.reset(now))
        return answer

    def _sweep(self, now: int) -> None:
        self._windows = {name: window for name, window in self._windows.items() if window.slide(now)}
        # The ledger knows what a purse has spent, unless it is of the last moments.
        if len(self._purses) > SWEEP:
            self._purses = {subject: purse for subject, purse in self._purses.items() if purse.held}


def _resets(resets: int | None) -> int:
    return NEVER if resets is None else resets


def _weight(row: Row, wait: int) -> float:
    """How long the request stays out: a period without end > a time > nobody knows."""
    return math.inf if row[0] == "b" and wait == NEVER else wait
