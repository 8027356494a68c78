"""relay/coded_express.py: a reader of gzip decodes what the express passes, at once and past the coder's calls."""

from __future__ import annotations

import socket
import zlib
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.downstream import Written
from tests.relay.streams import RECORDED, ROLE, STOP, chunk, sse, sse_lane
from tests.relay.test_express import DECLINED, SECRET, Secret, Side, Transport, framed, free, take, token
from tidegate.relay.answer import Answer
from tidegate.relay.coded_express import _CODED, CodedExpress
from tidegate.relay.direct import Direct
from tidegate.relay.express import MAX_KNOWN, Express
from tidegate.relay.lane import SseLane
from tidegate.relay.timing import Timing
from tidegate.relay.ways import express_of
from tidegate.wire.gzip import Gzip


@dataclass
class Rig:
    """An express behind a lane that has learnt from a first token, and who decodes what leaves."""

    made: Express
    told: Answer
    lane: SseLane
    gzip: Gzip
    down: Written
    side: Side
    decode: Any = field(default_factory=lambda: zlib.decompressobj(31))

    def read(self) -> bytes:
        """What has been written since, decoded, of whole chunks where they are framed."""
        data = b"".join(self.down.writes)
        self.down.writes.clear()
        return self.decoded(data) if self.down.framed else bytes(self.decode.decompress(data))

    def decoded(self, data: bytes) -> bytes:
        found = b""
        while data:
            line, _, rest = data.partition(b"\r\n")
            size = int(line, 16)
            assert rest[size : size + 2] == b"\r\n"
            found += self.decode.decompress(rest[:size])
            data = rest[size + 2 :]
        return found


class Took:
    """What an intake has, and what the reader's side has."""

    def __init__(self, lane: SseLane, gzip: Gzip, down: Written, secret: bool) -> None:
        self.lane = lane
        self.redact = Secret() if secret else None
        self.coded = gzip, down
        self.write_framed = down.write
        self.direct = None
        self.size = 0


def rig(
    *,
    ndjson: bool = False,
    secret: bool = False,
    direct: Direct | None = None,
    limited: bool = False,
    own: bool = False,
) -> Rig:
    told, lane = sse_lane(ndjson=ndjson)
    gzip, down, side = Gzip(), Written(framed=not own), Side()
    down.status, down.direct = 200, direct
    first = lane.feed(sse(ROLE, chunk({"content": "The"})))
    took: Any = Took(lane, gzip, down, secret)
    made = express_of(
        None, side, took, told, Timing(0.0), took,
        ndjson=ndjson, max_event=1 << 20, limited=limited, ended=side.written.append, on_bug=side.written.append,  # type: ignore[arg-type]
    )  # fmt: skip
    assert isinstance(made, CodedExpress)
    found = Rig(made, told, lane, gzip, down, side)
    assert found.decode.decompress(gzip.write(first)) == first
    made._out = side
    return found


@pytest.mark.parametrize("text", [" sea", "~", "潮の満ち干", "🌊", "x" * 255, "x" * 3000])
@pytest.mark.parametrize("own", [False, True], ids=["framed", "its own framing"])
def test_a_token_leaves_coded(text: str, own: bool) -> None:
    had = rig(own=own)
    for _ in range(3):
        assert take(had.made, framed(token(text)))
        assert had.read() == token(text)
    had.made.settle()
    assert (had.told.tokens, had.side.size) == (4, 3 * len(token(text)))


def test_what_leaves_is_small() -> None:
    had = rig()
    assert take(had.made, framed(token(" a")))
    had.read()
    assert take(had.made, framed(token(" sea")))
    assert len(had.down.writes[0]) <= 12 + len(b"c\r\n\r\n")


@pytest.mark.parametrize("read", DECLINED.values(), ids=DECLINED)
def test_anything_else_is_declined_and_nothing_is_done(read: bytes) -> None:
    had = rig()
    before = had.gzip.texts.copy()
    assert not take(had.made, read)
    had.made.settle()
    assert (had.told.tokens, had.side.bytes_in, had.down.writes) == (1, 0, [])
    assert had.gzip.texts == before


@given(st.lists(st.text(max_size=20), max_size=12), st.booleans(), st.binary(max_size=9))
def test_the_whole_body_is_what_the_lane_would_have_passed(texts: list[str], ndjson: bool, last: bytes) -> None:
    """Whoever codes a piece of it."""
    had = rig(ndjson=ndjson)
    _, plain = sse_lane(ndjson=ndjson)
    plain.feed(sse(ROLE, chunk({"content": "The"})))
    for text in texts:
        expected = plain.feed(token(text))
        if take(had.made, framed(token(text))):
            assert had.read() == expected
        else:
            assert had.decode.decompress(had.gzip.write(had.lane.feed(token(text)))) == expected
    assert had.decode.decompress(had.gzip.finish(last)) == last
    assert had.decode.eof, "checksum and size are those of the body"


def test_a_secret_is_declined_and_nothing_that_could_hold_one_is_remembered() -> None:
    had = rig(secret=True)
    assert not take(had.made, framed(token(SECRET.decode())))
    assert take(had.made, framed(token("free")))
    assert had.read() == token("free")


def test_short_texts_are_remembered_and_long_ones_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    had = rig()
    short, long = b"k" * MAX_KNOWN, b"k" * (MAX_KNOWN + 1)
    for text in (short, long):
        assert take(had.made, framed(token(text.decode())))
    assert short in _CODED
    assert long not in _CODED
    monkeypatch.setattr("tidegate.relay.coded_express.MOST_KNOWN", 0)
    assert take(had.made, framed(token("not yet known")))
    assert b"not yet known" not in _CODED


def test_with_a_short_secret_no_text_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Secret, "shortest", 4)
    had = rig(secret=True)
    assert take(had.made, framed(token("a new word")))
    assert b"a new word" not in _CODED


def test_a_token_goes_straight_to_the_readers_socket() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        had = rig(direct=free(ours.fileno(), Transport()))
        assert take(had.made, framed(token(" sea")))
        assert had.decoded(theirs.recv(65536)) == token(" sea")
    assert had.down.writes == []


def test_what_the_socket_does_not_take_is_queued() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        transport = Transport()
        direct = free(ours.fileno(), transport)
        had = rig(direct=direct)
        sent = 0
        while not transport.written:
            assert take(had.made, framed(token("x" * 200)))
            sent += 1
        assert direct.behind
        arrived = b""
        while part := _all_of(theirs):
            arrived += part
        assert had.decoded(arrived + b"".join(transport.written)) == token("x" * 200) * sent


def _all_of(sock: socket.socket) -> bytes:
    sock.setblocking(False)
    try:
        return sock.recv(1 << 20)
    except BlockingIOError:
        return b""


@pytest.mark.parametrize("direct", [free(-1, Transport(closing=True)), Direct(-1, Transport())])
def test_a_socket_that_may_not_be_written_to_is_left_to_the_downstream(direct: Direct) -> None:
    had = rig(direct=direct)
    assert take(had.made, framed(token(" sea")))
    assert had.read() == token(" sea")


def test_a_broken_socket_is_closed() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        transport = Transport()
        had = rig(direct=free(ours.fileno(), transport))
        assert take(had.made, framed(token(" sea")))
        assert transport.closing


def test_the_longest_gap_between_tokens_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 10.5, 10.6])
    monkeypatch.setattr("tidegate.relay.coded_express.monotonic", lambda: next(clock))
    had = rig()
    had.made._timing.on_tokens(9.9, 1)
    for _ in range(3):
        assert take(had.made, framed(token("x")))
    assert had.made._timing.max_gap == 0.5


def test_of_a_stream_that_may_not_have_any_number_of_tokens_only_those_pass_that_are_left() -> None:
    had = rig(limited=True)
    assert had.made.left == 0
    assert not take(had.made, framed(token(" sea")))
    had.made.left = 1
    assert take(had.made, framed(token(" sea")))
    assert not take(had.made, framed(token(" air")))
    assert not take(had.made, framed(sse(STOP)))


def test_a_recorded_chat_token_is_at_most_22_bytes() -> None:
    """Of 292: every event of the recorded chat streams, each flushed, with the shapes that its lane learns."""
    if not RECORDED.is_dir():
        pytest.skip("the recorded streams are not beside this checkout")
    events = plain = coded = 0
    for file in sorted(RECORDED.glob("*.chat/*.sse")):
        blocks = [block.strip() + b"\n\n" for block in file.read_bytes().split(b"\n\n") if block.strip()]
        if len(blocks) <= 30:
            continue  # its first event would be most of it
        _, lane = sse_lane()
        gzip, decode, known = Gzip(), zlib.decompressobj(31), lane.template
        for block in blocks:
            lane.feed(block)
            sent = gzip.write(block)
            assert decode.decompress(sent) == block
            coded += len(sent)
            if lane.template is not known:
                known = lane.template
                gzip.learn(known.prefix, known.suffix + b"\n\n")
        assert decode.decompress(gzip.finish(b"")) == b""
        assert decode.eof
        events, plain = events + len(blocks), plain + sum(map(len, blocks))
    assert events > 3000
    assert plain / events > 250
    assert coded / events <= 22
