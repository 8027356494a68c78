"""wire/deflate.py: what an event leaves is what zlib reads as that event."""

from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.wire import deflate
from tidegate.wire.deflate import MOST_AROUND, MOST_TEXT, literals, rows

SIZES = st.integers(3, 700)


def coded(before: int, after: int, previous: bytes, texts: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Each event behind one that said ``previous``, and what zlib makes of its blocks."""
    rand = random.Random(before * 1000 + after)
    prefix, suffix = rand.randbytes(before), rand.randbytes(after)
    inflate = zlib.decompressobj(-15, zdict=prefix + previous + suffix)
    row = rows(before, after).row(len(previous))
    found = []
    for text in texts:
        key, bits = literals(text)
        shift, around, length, row = row[key]
        framed = (bits << shift | around).to_bytes(length, "little")
        line, _, rest = framed.partition(b"\r\n")
        assert len(rest) == int(line, 16) + 2
        assert rest.endswith(b"\r\n")
        found.append((prefix + text + suffix, inflate.decompress(rest[:-2])))
    # What is something else begins on a whole byte.
    other = zlib.compressobj(wbits=-15)
    found.append((b"other", inflate.decompress(row.close() + other.compress(b"other") + other.flush())))
    assert inflate.eof
    return found


@given(SIZES, SIZES, st.binary(max_size=20), st.lists(st.binary(max_size=MOST_TEXT), min_size=1, max_size=5))
def test_every_event_is_read_as_it_was(before: int, after: int, previous: bytes, texts: list[bytes]) -> None:
    for event, read in coded(before, after, previous, texts):
        assert event == read


def test_every_length_of_a_match_and_every_byte_of_a_text_is_read_as_it_was() -> None:
    """And every distance: at most 4 KB, and 6 at least."""
    every = [bytes([byte]) for byte in range(256)]
    for event, read in coded(3, 3, b"", every):
        assert event == read
    for size in [*range(3, 600), 1000, 2000, MOST_AROUND - 3]:
        for event, read in coded(size, 3, b"x" * (size % 256), [b"", b"ab", b"\xff" * MOST_TEXT]):
            assert event == read


@pytest.mark.parametrize(("text", "most"), [(b" sea", 12), ("潮".encode(), 12), (b"", 8)])
def test_a_token_is_some_twelve_bytes(text: bytes, most: int) -> None:
    """Of an event of 300: 8 for what surrounds it, and the text itself."""
    key, _ = literals(text)
    _, _, length, _ = rows(200, 90).row(3)[key]
    assert length - len(b"c\r\n\r\n") <= most


def test_what_is_carried_over_is_less_than_a_byte_and_never_of_the_event() -> None:
    """Whatever number of bits is left over, and in whatever order they come."""
    texts = [b"a", "é".encode(), b"", b"ab", "éé".encode(), "aé".encode(), b"abc"] * 9
    for after in range(20, 80):
        for event, read in coded(200, after, b"x", texts):
            assert event == read


def test_what_surrounds_a_text_is_made_once_for_all_streams() -> None:
    key, _ = literals(b" sea")
    assert rows(211, 91).row(3)[key] is rows(211, 91).row(3)[key]


def test_what_is_remembered_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond it, everything is made each time."""
    monkeypatch.setattr(deflate, "_MOST_PLACES", 1)
    row = rows(212, 91).row(3)
    (first, _), (second, _) = literals(b"a"), literals(b"ab")
    assert row[first] is row[first]
    assert row[second] is not row[second]
    assert row[second] == row[second]
