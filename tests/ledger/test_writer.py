"""ledger/writer.py: from a deque to the database, whatever happens to the database, the disk or the process."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import func, select

from tests.fakes.postgres import Postgres
from tests.ledger.rows import begun, ended
from tidegate.ledger import writer as module
from tidegate.ledger.database import Database
from tidegate.ledger.entries import GATEWAY_CRASH, Item
from tidegate.ledger.options import LedgerOptions
from tidegate.ledger.spool import Spool
from tidegate.ledger.tables import begins, instances, legs
from tidegate.ledger.verify import verify
from tidegate.ledger.writer import Writer

PATIENCE = 20.0
"""Seconds that something which has to come may take."""


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def always(item: Item) -> Callable[[], Item]:
    return lambda: item


@contextmanager
def writing(database: Database, spool: Path, **options: Any) -> Iterator[Writer]:
    writer = Writer(database, LedgerOptions(spool=str(spool), **options))
    writer.start()
    try:
        yield writer
    finally:
        writer.close()


def streams(database: Database) -> dict[str, str]:
    with database.reading() as connection:
        rows = connection.execute(select(legs.c.stream_id, legs.c.reason)).all()
    assert len(rows) == len({row.stream_id for row in rows})
    return {row.stream_id: row.reason for row in rows}


def assert_whole(database: Database, count: int) -> None:
    assert len(streams(database)) == count
    with database.reading() as connection:
        assert verify(connection).problems == []


@pytest.mark.parametrize(("written", "seconds"), [(0, 1.0), (10, 2.0), (40, 5.0), (499, 5.0), (500, 1.0)])
def test_transactions_gather_rows_while_there_are_some_and_not_hundreds(written: int, seconds: float) -> None:
    assert module._pause(written, LedgerOptions().lease) == seconds


@pytest.mark.parametrize("written", [0, 10, 40, 499, 500])
def test_a_short_lease_does_not_run_out_between_two_transactions(written: int) -> None:
    assert module._pause(written, 1.0) == pytest.approx(1 / 3)


def test_what_is_put_is_written_and_nothing_is_left(database: Database, tmp_path: Path) -> None:
    with writing(database, tmp_path / "spool") as writer:
        for number in range(500):
            writer.put(always(begun(number, writer.instance)))
            writer.put(always(ended(number)))
        writer.put(lambda: None)
        until(lambda: writer.figures.written == 1000)
        assert writer.waiting == (0, 0)
    assert_whole(database, 500)
    with database.reading() as connection:
        for table in (begins, instances):
            assert connection.execute(select(func.count()).select_from(table)).scalar() == 0
    assert [path.name for path in (tmp_path / "spool" / "0").iterdir() if path.stat().st_size] == []


def test_the_end_of_the_process_waits_for_what_is_left(database: Database, tmp_path: Path) -> None:
    with writing(database, tmp_path / "spool") as writer:
        for number in range(3000):
            writer.put(always(ended(number)))
    assert_whole(database, 3000)


def test_an_entry_that_cannot_be_made_takes_no_other_with_it(database: Database, tmp_path: Path) -> None:
    def broken() -> Item:
        raise ValueError("secret")

    with writing(database, tmp_path / "spool") as writer:
        writer.put(broken)
        writer.put(always(ended(1)))
        until(lambda: writer.figures.written == 1)
        assert writer.figures.dropped == 1
    assert_whole(database, 1)


def test_a_row_that_the_database_refuses_takes_no_other_with_it(database: Database, tmp_path: Path) -> None:
    with writing(database, tmp_path / "spool") as writer:
        # Neither database takes a number of more than 64 bits.
        writer.put(always(ended(1)))
        writer.put(always(ended(2, bytes_in=1 << 70)))
        writer.put(always(ended(3)))
        until(lambda: writer.figures.written == 2 and writer.figures.dropped == 1)
    assert_whole(database, 2)


def test_without_a_spool_entries_wait_in_memory(database: Database, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with writing(database, tmp_path / "file" / "spool") as writer:
        writer.put(always(ended(1)))
        until(lambda: writer.figures.written == 1)
    assert_whole(database, 1)


def test_another_gateways_lock_only_makes_it_wait(tmp_path: Path) -> None:
    path = tmp_path / "tidegate.db"
    database = Database(f"sqlite:///{path}")
    database.open()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with writing(database, tmp_path / "spool") as writer:
        writer.put(always(ended(1)))
        until(lambda: writer.waiting[1] > 0)  # it is in the spool
        other.execute("COMMIT")
        other.close()
        until(lambda: writer.figures.written == 1)
    assert_whole(database, 1)
    database.close()


def test_a_full_disk_loses_nothing_and_says_so(tmp_path: Path) -> None:
    """SQLite may not grow, which is what it sees of a full disk; then there is room again."""
    database = Database(f"sqlite:///{tmp_path / 'tidegate.db'}")
    database.open()

    def limit(pages: int) -> None:
        for _ in range(4):  # whichever connection the writer takes
            with database.engine.connect() as connection:
                connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    limit(1)  # SQLite makes of it what the file has
    with writing(database, tmp_path / "spool") as writer:
        for number in range(2000):
            writer.put(always(ended(number)))
        until(lambda: writer.figures.away_since is not None)
        assert writer.waiting[0] > 0
        limit(1 << 30)
        until(lambda: writer.figures.written == 2000 and writer.figures.away_since is None)
        assert writer.figures.dropped == 0
    with database.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    assert_whole(database, 2000)
    database.close()


def test_a_spool_that_is_full_drops_what_is_too_much_and_counts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IN_MEMORY", 10)
    database = Database("postgresql://nobody@127.0.0.1:1/none")
    with writing(database, tmp_path / "spool", max_spool_bytes=5000) as writer:
        for number in range(5):
            writer.put(always(ended(number)))
        until(lambda: writer.waiting[1] > 0)
        for number in range(100, 200):
            writer.put(always(ended(number)))
        until(lambda: writer.figures.dropped == 90)
        assert writer.waiting[0] == 15
    database.close()


class TestPostgresql:
    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[Postgres]:
        made = Postgres(tmp_path / "own" / "cluster")
        made.start()
        yield made
        made.close()

    @pytest.mark.timeout(180)
    def test_it_may_be_restarted_and_killed_in_the_middle(self, server: Postgres, tmp_path: Path) -> None:
        database = Database(server.url)
        database.open()
        with writing(database, tmp_path / "spool") as writer:
            number = 0

            def some(count: int) -> None:
                nonlocal number
                for _ in range(count):
                    number += 1
                    writer.put(always(begun(number, writer.instance)))
                    writer.put(always(ended(number)))
                    if number % 50 == 0:
                        time.sleep(0.005)

            some(500)
            server.stop()
            some(500)
            until(lambda: writer.figures.away_since is not None)
            server.start()
            some(500)
            until(lambda: writer.figures.written >= 2000)
            server.kill()
            some(500)
            server.start()
            some(500)
            until(lambda: writer.waiting[0] == 0)
            assert writer.figures.dropped == 0
        assert_whole(database, 2500)
        database.close()

    @pytest.mark.timeout(120)
    def test_every_connection_may_be_cut_while_rows_are_written(self, server: Postgres, tmp_path: Path) -> None:
        database = Database(server.url)
        database.open()
        kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query <> ''"
        with writing(database, tmp_path / "spool") as writer:
            for number in range(3000):
                writer.put(always(ended(number)))
                if number % 300 == 0:
                    with psycopg.connect(server.url, autocommit=True) as other:
                        other.execute(kill.encode())
            until(lambda: writer.waiting[0] == 0)
        assert_whole(database, 3000)
        database.close()


GATEWAY = """
import sys, time
from pathlib import Path
from tests.ledger.rows import begun, ended
from tidegate.ledger.database import Database
from tidegate.ledger.options import LedgerOptions
from tidegate.ledger.writer import Writer
url, spool, start = sys.argv[1], sys.argv[2], int(sys.argv[3])
writer = Writer(Database(url), LedgerOptions(url=url, spool=spool, lease=float(sys.argv[4])))
writer.start()
for number in range(start, start + 20):
    item = begun(number, writer.instance)
    writer.put(lambda item=item: item)
for number in range(start, start + 10):
    item = ended(number, instance=writer.instance)
    writer.put(lambda item=item: item)
while writer._queue or writer._asleep is False:
    time.sleep(0.01)
print("ready", flush=True)
time.sleep(120)
"""


class TestKilled:
    """``kill -9``: ten streams had ended, ten had not."""

    @contextmanager
    def gateway(self, url: str, spool: Path, start: int, lease: float = 30.0) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, "-c", GATEWAY, url, str(spool), str(start), str(lease)]
        environ = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as process:
            assert process.stdout is not None
            assert any(line == "ready\n" for line in process.stdout)  # the log speaks there too
            try:
                yield process
            finally:
                process.send_signal(signal.SIGKILL)

    def assert_closed(self, database: Database, start: int = 0) -> None:
        def closed() -> bool:
            return sum(int(stream, 16) >= start for stream in streams(database)) == 20

        until(closed)
        found = streams(database)
        for number in range(start, start + 20):
            wanted = "stop" if number < start + 10 else GATEWAY_CRASH
            assert found[f"{number:032x}"] == wanted
        with database.reading() as connection:
            assert verify(connection).problems == []
            assert connection.execute(select(func.count()).select_from(begins)).scalar() == 0

    def test_its_next_start_closes_its_streams_at_once(self, database: Database, url: str, tmp_path: Path) -> None:
        with self.gateway(url, tmp_path / "spool", 0):
            pass
        with writing(database, tmp_path / "spool"):
            self.assert_closed(database)

    def test_what_it_could_not_write_is_written_by_the_next(self, tmp_path: Path, url: str) -> None:
        """Its database was away from the beginning: everything is in the spool."""
        with self.gateway("postgresql://nobody@127.0.0.1:1/none", tmp_path / "spool", 0):
            pass
        database = Database(url)
        with writing(database, tmp_path / "spool") as writer:
            until(lambda: writer.figures.written >= 10)
            self.assert_closed(database)
        database.close()

    def test_another_gateway_of_the_machine_takes_over(self, database: Database, url: str, tmp_path: Path) -> None:
        with self.gateway(url, tmp_path / "spool", 0) as first, writing(database, tmp_path / "spool", lease=1.0):
            until(lambda: len(streams(database)) == 10)
            first.kill()
            self.assert_closed(database)

    def test_one_of_another_machine_is_closed_when_its_lease_has_run_out(
        self, database: Database, url: str, tmp_path: Path
    ) -> None:
        with self.gateway(url, tmp_path / "there", 0, 3.0) as there, writing(database, tmp_path / "here", lease=1.0):
            until(lambda: len(streams(database)) == 10)
            there.kill()
            self.assert_closed(database)


def test_an_end_whose_begin_was_written_already_when_the_spool_failed_leaves_no_begin(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction was committed, and what it was made of could not be taken out of the spool."""
    monkeypatch.setattr(module, "RETRY", (0.05, 0.1))
    forget = Spool.forget
    failed: list[int] = []

    def failing(spool: Spool, rows: int) -> None:
        if not failed:
            failed.append(rows)
            raise OSError(28, "No space left on device")
        forget(spool, rows)

    monkeypatch.setattr(Spool, "forget", failing)
    with writing(database, tmp_path / "spool") as writer:
        writer.put(always(begun(1)))
        until(lambda: bool(failed))
        writer.put(always(ended(1)))
    with database.reading() as connection:
        assert connection.execute(select(begins)).all() == []
    assert_whole(database, 1)
