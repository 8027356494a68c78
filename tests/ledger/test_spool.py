"""ledger/spool.py: entries on their way."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ledger.rows import begun, ended
from tidegate.ledger import spool as module
from tidegate.ledger.entries import Item
from tidegate.ledger.spool import Spool, SpoolFull

MIB = 1024 * 1024


def everything(spool: Spool) -> list[Item]:
    """What waits, taken out."""
    found: list[Item] = []
    while items := spool.peek():
        found += items
        spool.forget(len(items))
    return found


def test_what_goes_in_comes_out_in_order_and_leaves_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "0", MIB)
    items: list[Item] = [begun(1), ended(1), ended(2)]
    spool.append(items[:1])
    spool.append(items[1:])
    assert (spool.rows, spool.size > 0) == (3, True)
    assert everything(spool) == items
    assert (spool.rows, spool.size) == (0, 0)
    spool.close()
    assert list((tmp_path / "0").iterdir()) == []


def test_what_was_not_forgotten_is_there_for_the_next_process(tmp_path: Path) -> None:
    first = Spool(tmp_path, MIB)
    first.append([ended(1)])
    first.append([ended(2)])
    assert len(first.peek()) == 2  # and then it dies
    second = Spool(tmp_path, MIB)
    second.append([ended(3)])
    assert second.rows == 3
    assert everything(second) == [ended(1), ended(2), ended(3)]


def test_it_takes_no_more_than_it_may(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 2000)
    spool.append([ended(1)])
    with pytest.raises(SpoolFull):
        spool.append([ended(number) for number in range(10)])
    assert everything(spool) == [ended(1)]
    spool.append([ended(2)])  # there is room again
    assert everything(spool) == [ended(2)]


def test_many_entries_take_several_files_and_several_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT", 3000)
    monkeypatch.setattr(module, "READ", 1500)
    spool = Spool(tmp_path, MIB)
    items: list[Item] = [ended(number) for number in range(50)]
    for item in items:
        spool.append([item])
    assert len(list(tmp_path.iterdir())) > 3
    assert len(spool.peek()) < 10
    assert everything(spool) == items
    assert len(list(tmp_path.iterdir())) == 1
    assert spool.rows == 0


def in_memory(spool: Spool) -> bool:
    return spool._fresh is not None


def test_what_fits_into_memory_is_not_read_and_the_rest_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the same order, in batches, and from memory again as soon as nothing waits."""
    monkeypatch.setattr(module, "FRESH", 3000)
    monkeypatch.setattr(module, "READ", 1500)
    spool = Spool(tmp_path, MIB)
    items: list[Item] = [ended(number) for number in range(40)]
    spool.append(items[:4])
    before = spool.peek()
    assert in_memory(spool)
    spool.append(items[4:])
    assert not in_memory(spool)
    spool.forget(len(before))
    assert [*before, *everything(spool)] == items
    assert (spool.rows, spool.size) == (0, 0)
    spool.append(items[:2])
    assert in_memory(spool)
    monkeypatch.setattr(Path, "open", None)
    assert everything(spool) == items[:2]


def test_a_full_disk_leaves_no_half_of_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path, MIB)
    spool.append([ended(1)])
    real = os.write

    def full(descriptor: int, data: bytes) -> int:
        if len(data) <= 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[:-10])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        spool.append([ended(2)])
    monkeypatch.undo()
    spool.append([ended(3)])
    assert everything(spool) == [ended(1), ended(3)]


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_line_that_was_cut_off_is_skipped_and_every_other_read(data: st.DataObject) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        first = Spool(Path(folder), MIB)
        first.append([ended(1), ended(2)])
        (path,) = Path(folder).iterdir()
        whole = path.read_bytes()
        cut = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:cut])
        second = Spool(Path(folder), MIB)
        second.append([ended(3)])
        border = whole.index(b"\n")
        # A line without its end is whole all the same.
        kept = [ended(1)] * (cut >= border) + [ended(2)] * (cut >= len(whole) - 1)
        assert everything(second) == [*kept, ended(3)]


def test_lines_of_something_else_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "00000001.spool").write_bytes(b"\n\nhello\n00000000 {}\n" + b"\xff" * 100)
    (tmp_path / "notes.txt").write_text("not ours")
    spool = Spool(tmp_path, MIB)
    assert spool.peek() == []
    assert not (tmp_path / "00000001.spool").exists()
    assert (tmp_path / "notes.txt").exists()
