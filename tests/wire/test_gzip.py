"""wire/gzip.py: whatever was written can be decoded at once, whoever coded it."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.wire.deflate import MOST_AROUND, MOST_TEXT, literals
from tidegate.wire.gzip import Gzip

PREFIX = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"'
SUFFIX = b'"},"finish_reason":null}]}\n\n'


def event(text: str | bytes) -> bytes:
    return PREFIX + (text.encode() if isinstance(text, str) else text) + SUFFIX


def learnt(*before: bytes) -> tuple[Gzip, zlib._Decompress]:
    """One that knows the shape, after it wrote ``before``, and who reads it."""
    gzip, decode = Gzip(), zlib.decompressobj(31)
    for data in before:
        assert decode.decompress(gzip.write(data)) == data
    assert gzip.learn(PREFIX, SUFFIX)
    return gzip, decode


EVENTS = st.lists(st.text(max_size=20), min_size=1, max_size=3).map(lambda texts: b"".join(map(event, texts)))
OTHERS = st.binary(max_size=300) | st.just(b":\n") | st.just(event("x" * (MOST_TEXT + 1))) | st.just(PREFIX[:50])


@given(st.lists(EVENTS | OTHERS, max_size=20), st.lists(EVENTS | OTHERS, max_size=2), st.binary(max_size=50))
def test_every_write_can_be_decoded_when_it_comes(pieces: list[bytes], before: list[bytes], last: bytes) -> None:
    gzip, decode = learnt(*before)
    for piece in pieces:
        assert decode.decompress(gzip.write(piece)) == piece
    assert decode.decompress(gzip.finish(last)) == last
    assert decode.eof
    assert decode.unused_data == b""


@pytest.mark.parametrize("last", [b"", b"end"])
@pytest.mark.parametrize("before", [[], [event("a"), event("b")]])
def test_a_body_ends_whole_without_having_learnt(before: list[bytes], last: bytes) -> None:
    gzip = Gzip()
    coded = b"".join(map(gzip.write, before))
    assert zlib.decompress(coded + gzip.finish(last), 31) == b"".join(before) + last


def test_an_event_behind_another_one_is_some_twelve_bytes() -> None:
    gzip, _ = learnt(b"role", event("The"))
    gzip.write(event(" tide"))
    assert len(gzip.write(event(" sea"))) <= 12
    assert len(gzip.write(event(" a") + event(" b"))) <= 21, "each of several in one write"


def test_what_is_not_alike_is_coded_with_the_last_event_in_view() -> None:
    gzip, _ = learnt(event("The"))
    gzip.write(event(" tide"))
    assert len(gzip.write(event(" sea").replace(b"content", b"reasoning"))) < 40
    gzip.write(b":\n")
    assert gzip.row is None
    assert len(gzip.write(event(" sea"))) < 40, "a heartbeat stands between, and the events are seen behind it"
    gzip.write(event(" air"))
    assert gzip.row is not None, "behind an event, another one is coded by hand again"


def test_while_every_event_has_another_shape_it_stays_with_zlib() -> None:
    """Events that are filled up at random are of a shape each, to whoever looks at one of them."""
    gzip, plain = Gzip(), Gzip()
    sizes = []
    for number in range(20):
        suffix = b'","p":"%d"}\n\n' % (7**number)
        data = PREFIX + b" sea" + suffix
        sizes.append((len(gzip.write(data)), len(plain.write(data))))
        gzip.learn(PREFIX, suffix)
    assert all(ours == theirs for ours, theirs in sizes)


@pytest.mark.parametrize("after", ["write", "finish", "learn"])
def test_what_was_written_past_it_counts(after: str) -> None:
    """Whatever comes next."""
    gzip, decode = learnt(event("The"))
    assert decode.decompress(gzip.write(event(" tide"))) == event(" tide")
    for text in (b" sea", b" air"):
        assert gzip.row is not None
        key, bits = literals(text)
        shift, around, length, gzip.row = gzip.row[key]
        gzip.texts.append(text)
        chunk = (bits << shift | around).to_bytes(length, "little")
        assert decode.decompress(chunk[chunk.index(b"\n") + 1 : -2]) == event(text.decode())
    if after == "learn":
        assert gzip.learn(SUFFIX, PREFIX)
    if after != "finish":
        assert decode.decompress(gzip.write(event(" land"))) == event(" land")
    assert decode.decompress(gzip.finish(b"end")) == b"end"
    assert decode.eof


def test_what_is_learnt_anew_counts() -> None:
    gzip, decode = learnt(event("The"))
    assert decode.decompress(gzip.write(event(" sea"))) == event(" sea")
    other = PREFIX.replace(b"content", b"reasoning")
    assert gzip.learn(other, SUFFIX)
    for text in (b"a", b"b", b"c"):
        assert decode.decompress(gzip.write(other + text + SUFFIX)) == other + text + SUFFIX
    assert gzip.row is not None
    assert decode.decompress(gzip.write(event("d"))) == event("d")


@pytest.mark.parametrize(("prefix", "suffix"), [(b"ab", SUFFIX), (PREFIX, b"\n\n"), (b"x" * MOST_AROUND, SUFFIX)])
def test_a_shape_by_which_nothing_is_gained_is_not_learnt(prefix: bytes, suffix: bytes) -> None:
    gzip = Gzip()
    assert not gzip.learn(prefix, suffix)
    assert zlib.decompress(gzip.write(b"a") + gzip.finish(b"b"), 31) == b"ab"


def test_prefix_and_suffix_that_overlap_are_no_event() -> None:
    gzip, decode = Gzip(), zlib.decompressobj(31)
    assert gzip.learn(b"abcabc", b"abcdef")
    for data in (b"abcabcabcdef", b"abcabcdef", b"abcabcabcdef"):
        assert decode.decompress(gzip.write(data)) == data
