"""What waits leaves in order, and no sooner than its sentences have their verdicts."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.relay.checks.gate import Gate

SENTENCES = st.sets(st.tuples(st.integers(0, 1), st.integers(0, 4)), max_size=3)


def test_what_needs_nothing_leaves_at_once() -> None:
    gate = Gate()
    assert gate.put(b"a", set(), (), {(0, 7)}) == b"a"
    assert gate.size == 0


def test_nothing_overtakes() -> None:
    gate = Gate()
    assert gate.put(b"a", {(0, 0)}, (), {(0, 0)}) == b""
    assert gate.put(b"b", set(), (0,), {(0, 0)}) == b""
    assert (gate.size, gate.finished) == (2, set())
    assert gate.release(set()) == b"ab"
    assert (gate.size, gate.finished) == (0, {0})


def test_what_is_dropped_never_leaves() -> None:
    gate = Gate()
    gate.put(b"a", {(0, 0)}, (0,), {(0, 0)})
    gate.drop()
    assert gate.release(set()) == b""
    assert (gate.size, gate.finished) == (0, set())


@settings(deadline=None)
@given(st.lists(st.tuples(st.binary(min_size=1, max_size=3), SENTENCES), max_size=8), st.lists(SENTENCES, max_size=5))
def test_all_of_it_leaves_in_its_order(
    pieces: list[tuple[bytes, set[tuple[int, int]]]], steps: list[set[tuple[int, int]]]
) -> None:
    gate = Gate()
    every = {sentence for _, needs in pieces for sentence in needs}
    out = b"".join([gate.put(piece, needs, (), every) for piece, needs in pieces])
    for open_ in steps:
        before = out
        out += gate.release(open_ & every)
        assert b"".join(piece for piece, _ in pieces).startswith(out)
        assert out.startswith(before)
    assert out + gate.release(set()) == b"".join(piece for piece, _ in pieces)
