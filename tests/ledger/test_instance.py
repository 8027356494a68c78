"""ledger/instance.py: which gateway this is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tidegate.ledger import instance
from tidegate.ledger.instance import dead_slots, take_slot

HOLD = """
import sys, time
from pathlib import Path
from tidegate.ledger.instance import take_slot
slot = take_slot(Path(sys.argv[1]))
print(slot.folder.name, slot.enlist(), flush=True)
time.sleep(120)
"""


def test_each_gateway_has_a_slot_of_its_own(tmp_path: Path) -> None:
    slots = [take_slot(tmp_path) for _ in range(3)]
    assert [slot.folder.name for slot in slots] == ["0", "1", "2"]
    slots[1].release()
    again = take_slot(tmp_path)
    assert again.folder.name == "1"
    for slot in (slots[0], slots[2], again):
        slot.release()


def test_every_run_has_a_name_of_its_own_until_it_is_struck(tmp_path: Path) -> None:
    slot = take_slot(tmp_path)
    names = [slot.enlist(), slot.enlist()]
    assert len(set(names)) == 2
    assert slot.names() == names
    assert max(map(len, names)) <= 64
    slot.strike(names[:1])
    assert slot.names() == names[1:]
    slot.release()


def test_a_slot_is_dead_when_its_process_is(tmp_path: Path) -> None:
    own = take_slot(tmp_path)
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        number, name = other.stdout.readline().split()
        assert number == "1"
        assert list(dead_slots(tmp_path)) == []
        other.kill()
        other.wait()
    (dead,) = dead_slots(tmp_path)
    assert (dead.folder.name, dead.names()) == (number, [name])
    dead.strike([name])
    dead.release()
    assert list(dead_slots(tmp_path)) == []  # it has left nothing more
    own.release()


def test_slots_end_somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance, "MOST", 1)
    slot = take_slot(tmp_path)
    with pytest.raises(OSError, match="1 gateways use"):
        take_slot(tmp_path)
    slot.release()
