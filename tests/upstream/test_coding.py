"""upstream/coding.py: forced content codings, whole, in steps and cut anywhere."""

from __future__ import annotations

import gzip
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.upstream.coding import Decoder, decoder_for

BODY = b"data: the sea rises twice a day\n\n" * 40


def raw_deflate(data: bytes) -> bytes:
    coder = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return coder.compress(data) + coder.flush()


CODED = {
    "gzip": (b"gzip", gzip.compress(BODY)),
    "x-gzip": (b"x-gzip", gzip.compress(BODY)),
    "deflate": (b"deflate", zlib.compress(BODY)),
    "raw deflate": (b"deflate", raw_deflate(BODY)),
}
kinds = pytest.mark.parametrize(("coding", "coded"), CODED.values(), ids=CODED)


def made(coding: bytes) -> Decoder:
    decoder = decoder_for(coding)
    assert decoder is not None
    return decoder


@kinds
def test_every_cut_gives_the_same_body(coding: bytes, coded: bytes) -> None:
    for at in range(len(coded) + 1):
        decoder = made(coding)
        out = b"".join(piece for part in (coded[:at], coded[at:]) for piece in decoder.decode(part, 1 << 20))
        assert (out, decoder.complete) == (BODY, True)


@kinds
def test_byte_by_byte_gives_the_same_body(coding: bytes, coded: bytes) -> None:
    decoder = made(coding)
    out = b"".join(piece for at in range(len(coded)) for piece in decoder.decode(coded[at : at + 1], 1 << 20))
    assert (out, decoder.complete) == (BODY, True)


@pytest.mark.parametrize("kind", ["gzip", "deflate", "raw deflate"])
@given(seed=st.integers(0, 999), size=st.integers(0, 3000), step=st.integers(1, 300), repeats=st.booleans())
def test_no_piece_is_larger_than_its_step_and_nothing_is_kept_back(
    kind: str, seed: int, size: int, step: int, repeats: bool
) -> None:
    """However the body's end falls on a step's."""
    body = b"x" * size if repeats else random.Random(seed).randbytes(size)
    coded = gzip.compress(body) if kind == "gzip" else zlib.compress(body) if kind == "deflate" else raw_deflate(body)
    decoder = made(CODED[kind][0])
    pieces = list(decoder.decode(coded, step))
    assert all(0 < len(piece) <= step for piece in pieces)
    assert (b"".join(pieces), decoder.complete) == (body, True)


@kinds
def test_a_body_that_is_cut_is_not_complete(coding: bytes, coded: bytes) -> None:
    decoder = made(coding)
    list(decoder.decode(coded[:-1], 1 << 20))
    assert not decoder.complete


@pytest.mark.parametrize("coding", [b"gzip", b"deflate"])
def test_what_is_not_that_coding_is_an_error(coding: bytes) -> None:
    with pytest.raises(ValueError, match="not the coding that was announced"):
        list(made(coding).decode(b"\xff\xfe<html>", 1 << 20))


def test_bytes_behind_the_end_are_an_error() -> None:
    with pytest.raises(ValueError, match="after the end"):
        list(made(b"gzip").decode(gzip.compress(BODY) + b"x", 1 << 20))


@pytest.mark.parametrize("coding", [b"br", b"zstd", b"compress", b"gzip, gzip", b""])
def test_other_codings_are_not_spoken(coding: bytes) -> None:
    assert decoder_for(coding) is None
