"""server/coding.py: what a client takes, and that whatever was written can be decoded at once."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tidegate.server import coding
from tidegate.server.coding import Coder, Gzip, Zstd, accepted, coders

RECORDED = Path(__file__).resolve().parents[2] / ".." / "shared" / "streams"


def decoder(name: bytes) -> Callable[[bytes], bytes]:
    made: Any = zlib.decompressobj(31) if name == b"gzip" else zstandard.ZstdDecompressor().decompressobj()
    return lambda data: made.decompress(data)


@pytest.mark.parametrize(
    ("header", "coder"),
    [
        (None, None),
        (b"", None),
        (b"gzip", Gzip),
        (b"GZip;q=0.5, deflate", Gzip),
        (b"x-gzip", Gzip),
        (b"gzip, deflate, br, zstd", Gzip),
        (b"gzip;q=0.9, zstd", Zstd),
        (b"deflate, br, zstd", Zstd),
        (b"gzip;q=1.0, zstd;q=0.9", Gzip),
        (b"zstd;q=0, gzip", Gzip),
        (b"gzip;q=0", None),
        (b"gzip;q=0.5, identity", None),
        (b"gzip, identity;q=0.5", Gzip),
        (b"*", None),
        (b"br, deflate", None),
        (b"gzip;q=x", None),
        (b"gzip;q=7", None),
        (b"gzip;level=9", Gzip),
    ],
)
def test_only_what_is_named_is_used(header: bytes | None, coder: type[Coder] | None) -> None:
    assert accepted(header) is coder


@given(st.binary(max_size=100))
def test_no_header_is_too_odd(header: bytes) -> None:
    accepted(header)


def test_without_the_extra_there_is_gzip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coding, "find_spec", lambda _: None)
    assert list(coders()) == [b"gzip"]


@pytest.mark.parametrize("make", [Gzip, Zstd])
@given(st.lists(st.binary(max_size=300), max_size=30))
def test_every_write_can_be_decoded_when_it_comes(make: type[Coder], pieces: list[bytes]) -> None:
    coder = make()
    decode = decoder(coder.name)
    for piece in pieces:
        assert decode(coder.write(piece)) == piece
    assert decode(coder.finish(b"end")) == b"end"


def test_a_recorded_chat_token_is_at_most_25_bytes_with_gzip() -> None:
    """Of 299: every event of the recorded chat streams, each flushed."""
    if not RECORDED.is_dir():
        pytest.skip("the recorded streams are not beside this checkout")
    count = {b"gzip": 0, b"zstd": 0}
    events = plain = 0
    for file in sorted(RECORDED.glob("*.chat/*.sse")):
        blocks = [block.strip() + b"\n\n" for block in file.read_bytes().split(b"\n\n") if block.strip()]
        if len(blocks) <= 30:
            continue  # its first event would be most of it
        for make in (Gzip, Zstd):
            coder: Coder = make()
            count[coder.name] += sum(len(coder.write(block)) for block in blocks)
        events += len(blocks)
        plain += sum(map(len, blocks))
    assert events > 3000
    assert plain / events > 250
    assert count[b"gzip"] / events <= 25
    assert count[b"zstd"] / events <= 27


def test_where_sizes_are_hidden_there_is_gzip_only() -> None:
    assert accepted(b"gzip, zstd", coding.GZIP_ONLY) is Gzip
    assert accepted(b"zstd", coding.GZIP_ONLY) is None
