"""NDJSON: the corpus cut everywhere, linear cost, random bytes, and the way back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.corpus import Case, body_of, cases, cuts
from tidegate.errors import EventTooLarge
from tidegate.wire.ndjson import HEARTBEAT_NDJSON, MAX_RECORD, NdjsonDecoder, encode_record

CASES = cases("ndjson")


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_corpus_case_gives_its_records_however_it_is_cut(case: Case) -> None:
    """Whole, in two at every byte, byte by byte and in threes."""
    want = [record.encode() for record in case["records"]]
    for pieces in cuts(body_of(case)):
        decoder = NdjsonDecoder(max_record=case.get("max_record", MAX_RECORD))
        got: list[bytes] = []
        refused, pending = False, 0
        try:
            for piece in pieces:
                got += decoder.feed(piece)
            pending = decoder.pending
            got += decoder.close()
        except EventTooLarge:
            refused = True
        assert got == want, pieces
        assert refused == case.get("too_large", False), pieces
        if not refused:
            assert bool(pending) == case.get("pending", False), pieces
            assert decoder.pending == 0


def test_case_names_are_unique() -> None:
    """A failing case can be found by its name."""
    names = [case["name"] for case in CASES]
    assert len(names) == len(set(names))


def test_a_record_over_the_limit_ends_the_decoder_for_good() -> None:
    """The records before it are not lost, and none comes after it."""
    decoder = NdjsonDecoder(max_record=4)
    assert decoder.feed(b"1\n12345\n2\n") == [b"1"]
    with pytest.raises(EventTooLarge, match="more than 4 bytes"):
        decoder.feed(b"3\n")
    with pytest.raises(EventTooLarge):
        decoder.close()


def test_an_endless_line_is_refused_when_it_passes_the_limit() -> None:
    """A body without a line end costs at most the limit."""
    decoder = NdjsonDecoder(max_record=1000)
    for _ in range(10):
        decoder.feed(b"x" * 100)
    with pytest.raises(EventTooLarge):
        decoder.feed(b"x")
    assert decoder.pending == 0


def test_an_unfinished_line_is_held_in_the_pieces_that_came() -> None:
    """Nothing is copied until the line ends: that is what makes a dribbled record linear."""
    decoder = NdjsonDecoder()
    pieces = [bytes([65 + at % 26]) * 3 for at in range(1000)]
    for piece in pieces:
        assert decoder.feed(piece) == []
    assert all(held is piece for held, piece in zip(decoder._fragments, pieces, strict=True))
    assert decoder.pending == 3000
    assert decoder.feed(b"\n") == [b"".join(pieces)]
    assert decoder.pending == 0


def test_a_mebibyte_byte_by_byte_is_one_record() -> None:
    """A million feeds of one record."""
    data = b"0123456789abcdef" * 65536
    feed = NdjsonDecoder().feed
    for byte in data:
        assert not feed(bytes([byte]))
    assert feed(b"\n") == [data]


def decoded(pieces: list[bytes]) -> list[bytes]:
    decoder = NdjsonDecoder()
    return [record for piece in pieces for record in decoder.feed(piece)] + decoder.close()


def split_at(body: bytes, places: list[int]) -> list[bytes]:
    ends = [*sorted(min(place, len(body)) for place in places), len(body)]
    return [body[start:end] for start, end in zip([0, *ends], ends, strict=False)]


_PLACES = st.lists(st.integers(0, 200), max_size=12)
_LINES = st.lists(st.sampled_from([b"{}", b"[1]", b"\r", b"\n", b"\r\n", b" "]), max_size=30).map(b"".join)


@given(_LINES | st.binary(max_size=200), _PLACES)
def test_where_a_body_is_cut_never_shows(body: bytes, places: list[int]) -> None:
    """Whatever the bytes are."""
    assert decoded(split_at(body, places)) == decoded([body])


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(_JSON, max_size=5), st.sampled_from([None, 1]), _PLACES)
def test_what_is_encoded_is_decoded(values: list[object], indent: int | None, places: list[int]) -> None:
    """Also JSON that was spread over lines, and with heartbeats in between."""
    texts = [json.dumps(value, ensure_ascii=False, indent=indent).encode() for value in values]
    body = b"".join(encode_record(text) + HEARTBEAT_NDJSON for text in texts)
    assert [json.loads(record) for record in decoded(split_at(body, places))] == values


def test_a_carriage_return_between_json_tokens_becomes_a_space() -> None:
    """One record is one line, for readers that end lines at CR too."""
    assert encode_record(b'{\r\n"a":1}') == b'{  "a":1}\n'
