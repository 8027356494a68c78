"""server/obfuscation.py: every write of a stream has the same size, and says what it said."""

from __future__ import annotations

import json
import random
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.downstream import Written
from tidegate.policy.keys import Principal
from tidegate.relay.options import StreamOptions
from tidegate.server.coding import Gzip
from tidegate.server.compression import Compressed
from tidegate.server.obfuscation import Padded, PaddedGzip, Quantum, hidden, wrapped

SSE = [(b"content-type", b"text/event-stream; charset=utf-8")]
NDJSON = [(b"content-type", b"application/x-ndjson")]


def line(text: str, **more: Any) -> bytes:
    return json.dumps({"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {"content": text}}], **more}).encode()


def event(text: str, **more: Any) -> bytes:
    return b"data: " + line(text, **more) + b"\n\n"


def padded(headers: list[tuple[bytes, bytes]], *writes: bytes, field: bool = True) -> Written:
    down = Written()
    hiding = Padded(down, field=field)
    hiding.start(200, headers)
    for write in writes:
        hiding.write_framed(b"%x\r\n%b\r\n" % (len(write), write))
    return down


@given(st.lists(st.text(st.characters(codec="ascii", categories=("L", "N", "Zs")), max_size=60), min_size=2))
def test_every_chunk_has_one_size_and_its_content(texts: list[str]) -> None:
    down = padded(SSE, *(event(text) for text in ["", *texts]))
    assert len({len(write) for write in down.writes}) == 1
    for write, text in zip(down.writes[1:], texts, strict=True):
        chunk = json.loads(write.removeprefix(b"data: "))
        assert chunk["choices"][0]["delta"]["content"] == text
        assert chunk["obfuscation"].isprintable()


@given(st.lists(st.text(max_size=300), min_size=1, max_size=20))
def test_what_is_longer_has_another_size_and_its_content(texts: list[str]) -> None:
    down = padded(SSE, *map(event, texts))
    sizes = [len(write) for write in down.writes]
    assert sizes == sorted(sizes), "it never shrinks"
    assert all(size % 128 == 0 for size in sizes)
    said = [json.loads(write.removeprefix(b"data: "))["choices"][0]["delta"]["content"] for write in down.writes]
    assert said == texts


@pytest.mark.parametrize("field", [True, False])
def test_what_has_no_room_for_a_field_gets_a_comment(field: bool) -> None:
    """An event of another kind, and one that the upstream has filled already."""
    given = event("a", **({"obfuscation": "x"} if field else {}))
    (write,) = padded(SSE, given, field=field).writes
    comment, rest = write.split(b"\n", 1)
    assert comment.startswith(b": ")
    assert rest == given
    assert len(write) % 128 == 0


def test_a_line_gets_spaces() -> None:
    down = padded(NDJSON, line("a") + b"\n", line("a longer one") + b"\n", b"\n")
    assert len(down.writes[0]) == len(down.writes[1])
    assert [json.loads(write)["choices"][0]["delta"]["content"] for write in down.writes[:2]] == ["a", "a longer one"]
    assert down.writes[2] == b"\n", "a heartbeat is always the same"


def test_what_is_always_the_same_stays() -> None:
    assert padded(SSE, b":\n", b"data: [DONE]\n\n").writes == [b":\n", b"data: [DONE]\n\n"]


def test_several_events_are_a_multiple() -> None:
    down = padded(SSE, event("a"), event("a") + event("b") + b"data: [DONE]\n\n")
    one, many = map(len, down.writes)
    assert many % one == 0
    assert down.writes[1].endswith(b"data: [DONE]\n\n")


def test_a_body_that_is_no_stream_stays() -> None:
    down = Written(framed=True)
    hiding = Padded(down, field=True)
    hiding.start(200, [(b"content-type", b"application/json")], 2)
    hiding.write_framed(b"{")
    hiding.write(b" ")
    hiding.finish(b"}")
    assert (down.body, hiding.framed) == (b"{ }", True)
    hiding.abort()
    assert down.aborted


def test_the_last_words_are_filled_too() -> None:
    down = Written()
    hiding = Padded(down, field=True)
    hiding.start(200, SSE)
    hiding.finish(event("end"))
    assert len(down.body) % 128 == 0
    down = Written()
    hiding = Padded(down, field=True)
    hiding.start(200, SSE)
    hiding.finish()
    assert down.body == b""


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=30), st.binary(max_size=50))
def test_gzip_is_filled_behind_the_compressor(pieces: list[bytes], last: bytes) -> None:
    coder = PaddedGzip()
    decode = zlib.decompressobj(31)
    sizes = []
    for piece in [b"begin", *pieces]:
        coded = coder.write(piece)
        assert decode.decompress(coded) == piece
        sizes.append(len(coded))
    assert set(sizes[1:]) <= {256}, "a piece and its empty blocks fit into one size"
    assert decode.decompress(coder.finish(last)) == last
    assert decode.eof


def test_a_size_grows_and_never_shrinks() -> None:
    quantum = Quantum()
    assert [quantum.fit(size, size) for size in (100, 10, 256, 257, 100)] == [256, 256, 256, 512, 512]
    assert quantum.fit(100, 1000) == 1024


def correlation(pairs: list[tuple[int, int]]) -> float:
    """Pearson's; 0 where one of the two never changes."""
    count = len(pairs)
    mean_x, mean_y = (sum(pair[place] for pair in pairs) / count for place in (0, 1))
    xy = sum((x - mean_x) * (y - mean_y) for x, y in pairs)
    xx, yy = (sum((pair[place] - mean) ** 2 for pair in pairs) for place, mean in ((0, mean_x), (1, mean_y)))
    return 0.0 if not xx or not yy else float(xy / (xx * yy) ** 0.5)


LENGTHS = {
    "tokens": (range(1, 15), 0.7),
    "one character or two": (range(1, 3), 0.1),
    "one character or very many": ([1] * 19 + [3000], 0.7),
    "very long ones": (range(1000, 2000), 0.7),
}
"""How long texts are, and the correlation with it that the sizes on the wire would have at least."""


@pytest.mark.parametrize("kind", LENGTHS)
@pytest.mark.parametrize("ndjson", [False, True], ids=["sse", "ndjson"])
@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
def test_sizes_tell_nothing_of_lengths(compressed: bool, ndjson: bool, kind: str) -> None:
    """And they would, without it: the measurement finds what it looks for.

    Behind a first long event, if there are any: the size has to grow for it.
    """
    lengths, at_least = LENGTHS[kind]
    rand = random.Random(7)
    letters = "abcdefghijklmnopqrstuvwxyz ,.ABCDEF"
    long = "".join(rand.choices(letters, k=max(lengths)))
    texts = ["".join(rand.choices(letters, k=rand.choice(lengths))) for _ in range(2000)]

    def measured(hide: bool) -> float:
        down = Written()
        body = wrapped(down, Gzip if compressed else None, hide=hide, field=True)
        body.start(200, NDJSON if ndjson else SSE)
        for text in ["", long, *texts]:
            body.write(line(text) + b"\n" if ndjson else event(text))
        return correlation([(len(text), len(write)) for text, write in zip(texts, down.writes[2:], strict=True)])

    assert abs(measured(hide=True)) <= 0.02
    assert measured(hide=False) > at_least


def test_the_request_counts_then_the_key_then_the_configuration() -> None:
    off, on = StreamOptions(), StreamOptions(obfuscation=True)
    key = Principal("app", obfuscation=True)
    assert not hidden(None, Principal("app"), off)
    assert hidden(None, Principal("app"), on)
    assert hidden(None, key, off)
    assert hidden(True, Principal("app"), off)
    assert not hidden(False, key, on)


def test_without_anything_to_do_the_connection_is_itself() -> None:
    down = Written()
    assert wrapped(down, None, hide=False, field=True) is down
    assert isinstance(wrapped(down, Gzip, hide=True, field=True), Compressed)
