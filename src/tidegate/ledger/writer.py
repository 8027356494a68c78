"""From the event loop to the database, off the token path.

What the loop pays for a stream is an ``append`` to a deque. One thread makes entries of what is there, twice a second,
and puts them into the spool: from then on not even ``kill -9`` loses them. Another reads the spool and writes
to the database, for as long as it takes; what is written is taken out of the spool.
"""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from tidegate.errors import ConfigError
from tidegate.ledger import book
from tidegate.ledger.database import Database, LedgerAway
from tidegate.ledger.entries import Item
from tidegate.ledger.instance import Slot, dead_slots, take_slot
from tidegate.ledger.options import LedgerOptions
from tidegate.ledger.spool import Spool, SpoolFull

__all__ = ["Figures", "Writer"]

GATHER: Final = 0.5
"""Seconds for which entries gather before they go to the spool together: to wake up costs as much as several entries,
and a stream that has ended must be safe within one.
"""

TOGETHER: Final = (1.0, 5.0)
"""The shortest and the longest time between two transactions as long as there is always something to write; the first
one goes at once. Seconds.
"""

RENEWALS: Final = 3
"""Signs of life in the time of one lease."""

_MANY: Final = 500
"""Entries of one transaction to which more would hardly be cheaper."""

IN_MEMORY: Final = 20_000
"""Entries that wait in memory when the spool cannot be written."""

RETRY: Final = (0.2, 5.0)
"""The shortest and the longest wait between two tries to write to a database that is away. Seconds."""

PARTING: Final = 5.0
"""Seconds that the end of the process waits for the database; what it has not taken then stays in the spool."""

TEXTS: Final = 3600.0
"""Seconds between two looks for texts that are too old."""

_log = structlog.get_logger()

Pending = Callable[[], Item | None]
"""Makes an entry, in the writer's thread; ``None``: there is nothing to say after all."""


class Figures:
    """What the ledger says of itself; read from any thread."""

    __slots__ = ("away_since", "dropped", "failed", "written")

    def __init__(self) -> None:
        self.written = 0
        """Entries that are in the database."""
        self.dropped = 0
        """Entries that are lost: nowhere was room for them, or no database could ever take them."""
        self.failed = 0
        """Tries to write that failed."""
        self.away_since: float | None = None
        """On the monotonic clock; ``None`` while the database takes what it gets."""


class Writer:
    """The two threads. :meth:`put` is for the event loop.

    :param database: not opened yet, or open; it may be away.
    """

    def __init__(self, database: Database, options: LedgerOptions) -> None:
        self._database = database
        self._options = options
        self._queue: deque[Pending] = deque()
        self._asleep = False
        self._wake = threading.Event()
        self._news = threading.Event()
        self._closing = threading.Event()
        self._drained = threading.Event()
        self._memory: deque[Item] = deque()
        self._slot: Slot | None = None
        self._spool: Spool | None = None
        self._careful = True
        self._lease_until = 0.0
        self._started = False
        self._left: list[str] = []
        self._threads: list[threading.Thread] = []
        self._complained: dict[str, float] = {}
        self.figures = Figures()
        self.instance = f"{socket.gethostname()[:24]}-memory"

    @property
    def waiting(self) -> tuple[int, int]:
        """Entries that are not in the database yet, and how many bytes they have in the spool."""
        spool = self._spool
        rows, size = (0, 0) if spool is None else (spool.rows, spool.size)
        return rows + len(self._memory) + len(self._queue), size

    def start(self) -> None:
        """Take a slot and begin to work. A folder that cannot be used is not the end: entries then wait in memory."""
        if self._started:
            return
        self._started = True
        folder = Path(self._options.spool).expanduser()
        try:
            self._slot = take_slot(folder)
            self._left = self._slot.names()
            self.instance = self._slot.enlist()
            self._spool = Spool(self._slot.folder, self._options.max_spool_bytes)
        except OSError as error:
            _log.error("ledger.no_spool", folder=str(folder), error=error.strerror or str(error))
        self._threads = [
            threading.Thread(target=work, name=f"tidegate-ledger-{name}", daemon=True)
            for name, work in (("spool", self._gather), ("database", self._write))
        ]
        for thread in self._threads:
            thread.start()

    def put(self, pending: Pending) -> None:
        """Something to write. Never raises; does not block once the writer has started."""
        if not self._started:
            self.start()
        self._queue.append(pending)
        if self._asleep:
            self._asleep = False
            self._wake.set()

    def close(self) -> None:
        """Write what is left, for a while; then what the database has not taken is in the spool. Blocks."""
        self._closing.set()
        self._wake.set()
        for thread in self._threads:
            thread.join()
        self._threads = []
        if self._spool is not None:
            self._spool.close()
        if self._slot is not None:
            self._slot.release()
            self._slot = None

    # The first thread: from the queue to the spool.

    def _gather(self) -> None:
        while True:
            if not self._queue:
                if self._closing.is_set():
                    break
                self._sleep_until_called()
            self._closing.wait(GATHER)
            self._keep(self._made())
        self._drained.set()
        self._news.set()

    def _sleep_until_called(self) -> None:
        self._asleep = True
        if not self._queue:  # something may have come in between
            self._wake.wait()
        self._asleep = False
        self._wake.clear()

    def _made(self) -> list[Item]:
        made = []
        for _ in range(len(self._queue)):
            try:
                item = self._queue.popleft()()
            except Exception as error:
                self.figures.dropped += 1
                self._complain("ledger.entry_failed", kind=type(error).__name__)
                continue
            if item is not None:
                made.append(item)
        return made

    def _keep(self, items: list[Item]) -> None:
        if not items:
            return
        try:
            if self._spool is None:
                raise SpoolFull
            self._spool.append(items)
        except SpoolFull:
            self._keep_in_memory(items)
        except OSError as error:
            self._complain("ledger.spool_failed", error=error.strerror or type(error).__name__)
            self._keep_in_memory(items)
        self._news.set()

    def _keep_in_memory(self, items: list[Item]) -> None:
        room = max(0, IN_MEMORY - len(self._memory))
        self._memory.extend(items[:room])
        if len(items) > room:
            self.figures.dropped += len(items) - room
            self._complain("ledger.rows_lost", lost=self.figures.dropped)

    # The second thread: from the spool to the database.

    def _write(self) -> None:
        wait, parting = RETRY[0], None
        opened, next_duty, next_texts, next_write = False, 0.0, 0.0, 0.0
        while True:
            if self._drained.is_set():
                parting = parting or time.monotonic() + PARTING
                if not self._pending() or time.monotonic() > parting:
                    break
            try:
                if not opened:
                    self._open()
                    opened = True
                self._drained.wait(max(0.0, next_write - time.monotonic()))
                written = self._write_pending()
                now = time.monotonic()
                next_write = now + _pause(written, self._options.lease)
                if now >= next_duty:
                    next_duty = now + self._options.lease / RENEWALS
                    self._renew()
                    self._take_over()
                if now >= next_texts:
                    next_texts = now + TEXTS
                    self._forget_texts()
            except Exception as error:
                # Whatever it is: this thread must not end before the process does.
                self._careful = True
                self._away(error)
                pause = wait * (0.5 + random.random() / 2)  # noqa: S311 - not a secret
                if self._closing.wait(pause):
                    time.sleep(RETRY[0])
                wait = min(wait * 2, RETRY[1])
                continue
            if self.figures.away_since is not None:
                _log.info("ledger.back", seconds=round(time.monotonic() - self.figures.away_since, 1))
                self.figures.away_since = None
            wait = RETRY[0]
            if not self._drained.is_set():  # else there is no news to come
                self._news.wait(max(0.0, min(next_duty, next_texts) - time.monotonic()))
            self._news.clear()
        if opened:
            self._part()

    def _open(self) -> None:
        """The tables, our lease, and what the runs before this one left."""
        try:
            self._database.open()
        except ConfigError as error:
            # It was checked when the gateway started: somebody has updated the ledger since, or it was away then.
            raise LedgerAway(error.message) from error
        self._renew()
        self._write_pending()
        if self._slot is not None and self._left:
            self._close_crashed(self._slot, self._left)
            self._left = []

    def _pending(self) -> bool:
        return bool(self._memory) or (self._spool is not None and self._spool.rows > 0)

    def _write_pending(self) -> int:
        """Everything that waits; how many entries that was."""
        count = 0
        while self._spool is not None and (items := self._spool.peek()):
            self._enter(items)
            self._spool.forget(len(items))
            count += len(items)
        while self._memory:
            items = [self._memory[at] for at in range(min(len(self._memory), 1000))]
            self._enter(items)
            for _ in items:
                self._memory.popleft()
            count += len(items)
        self._careful = False
        return count

    def _enter(self, items: list[Item]) -> None:
        try:
            try:
                self._enter_once(items)
            except LedgerAway as error:
                self._careful = True
                if not error.refused:
                    raise
                self._enter_once(items)
        except LedgerAway as error:
            if not error.refused:
                raise
            self._enter_singly(items)
        else:
            self.figures.written += len(items)

    def _enter_once(self, items: list[Item]) -> None:
        try:
            with self._database.writing() as connection:
                book.enter(connection, items, careful=self._careful)
        except (OverflowError, TypeError, ValueError) as error:
            # The driver's own, before the database has seen the row.
            raise LedgerAway(type(error).__name__, refused=True) from None

    def _enter_singly(self, items: list[Item]) -> None:
        """There is something among them that the database will never take: everything but that."""
        for item in items:
            try:
                self._enter_once([item])
            except LedgerAway as error:
                if not error.refused:
                    raise
                self.figures.dropped += 1
                self._complain("ledger.row_refused", error=str(error))
            else:
                self.figures.written += 1

    def _renew(self) -> None:
        now = time.time()
        if now > self._lease_until:
            self._careful = True  # others may have taken us for dead, and closed our streams
        until = now + self._options.lease
        with self._database.writing() as connection:
            book.renew_lease(connection, self.instance, socket.gethostname(), until)
        self._lease_until = until

    def _take_over(self) -> None:
        """What dead gateways left: those of this machine at once, others when their leases have run out."""
        if self._slot is not None:
            for slot in dead_slots(self._slot.folder.parent):
                try:
                    self._take_over_slot(slot)
                finally:
                    slot.release()
        now = time.time()
        with self._database.reading() as connection:
            names = [name for name in book.dead_instances(connection, now) if name != self.instance]
        if names:
            with self._database.writing() as connection:
                closed = book.close_crashed(connection, names, now)
            _log.warning("ledger.taken_over", instances=len(names), crashed=closed)

    def _take_over_slot(self, slot: Slot) -> None:
        spool = Spool(slot.folder, self._options.max_spool_bytes)
        self._careful = True
        while items := spool.peek():
            self._enter(items)
            spool.forget(len(items))
        self._close_crashed(slot, slot.names())

    def _close_crashed(self, slot: Slot, names: list[str]) -> None:
        with self._database.writing() as connection:
            closed = book.close_crashed(connection, names, time.time())
        slot.strike(names)
        if closed:
            _log.warning("ledger.crashed_streams", closed=closed)

    def _forget_texts(self) -> None:
        with self._database.writing() as connection:
            book.forget_texts(connection, time.time() - self._options.keep_text_days * 86400)

    def _part(self) -> None:
        """In an orderly way: nobody has to look for streams of ours."""
        if self._pending():
            return
        try:
            with self._database.writing() as connection:
                book.end_lease(connection, [self.instance])
            if self._slot is not None:
                self._slot.strike([self.instance])
        except (LedgerAway, OSError) as error:
            self._away(error)

    def _away(self, error: Exception) -> None:
        self.figures.failed += 1
        if self.figures.away_since is None:
            self.figures.away_since = time.monotonic()
        if isinstance(error, LedgerAway | OSError):
            self._complain("ledger.away", error=str(error), waiting=self.waiting[0])
        else:
            self._complain("ledger.bug", kind=type(error).__name__, where=_place(error))

    def _complain(self, event: str, **fields: object) -> None:
        """At most once a minute for each kind: the disk that the log is on may be what is full."""
        now = time.monotonic()
        if now - self._complained.get(event, -60.0) >= 60.0:
            self._complained[event] = now
            _log.error(event, **fields)


def _pause(written: int, lease: float) -> float:
    """Seconds until the next transaction, after one of so many entries: the pages of a database's indexes are written
    as a whole, so two hundred rows cost little more than forty. Never so long that the lease runs out meanwhile.
    """
    shortest, longest = TOGETHER
    wanted = shortest if written >= _MANY else min(longest, shortest + written / 10)
    return min(wanted, lease / RENEWALS)


def _place(error: BaseException) -> str:
    """Where it came from, without its text, which may hold a value."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
