"""relay/express.py: what it takes is what the lane would have passed, and it takes nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.relay.streams import ROLE, STOP, chunk, sse, sse_lane
from tidegate.relay.answer import Answer
from tidegate.relay.direct import Direct
from tidegate.relay.express import Express, _line
from tidegate.relay.lane import SseLane
from tidegate.relay.timing import Timing

SECRET = b"sk-upstream-0123456789"


def framed(event: bytes, *, upper: bool = False) -> bytes:
    return (b"%X\r\n%b\r\n" if upper else b"%x\r\n%b\r\n") % (len(event), event)


class Secret:
    """A redactor that knows one secret."""

    shortest = len(SECRET)

    def found(self, data: bytes) -> bool:
        return SECRET in data

    def redact_bytes(self, data: bytes) -> bytes:
        return data.replace(SECRET, b"[redacted]")


class Usual(asyncio.Protocol):
    """The connection, to which goes what is not taken."""

    def __init__(self) -> None:
        self.left: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self.left.append(data)


def take(made: Express, read: bytes) -> bool:
    """Whether a read went straight through; otherwise it went to the connection, as it was."""
    usual = made.usual = Usual()
    made.data_received(read)
    assert usual.left in ([], [read])
    return not usual.left


@dataclass
class Side:
    """Who counts, and what was written."""

    bytes_in: int = 0
    size: int = 0
    written: list[bytes] = field(default_factory=list)


def express(
    *,
    ndjson: bool = False,
    max_event: int = 8 << 20,
    secret: bool = False,
    direct: Direct | None = None,
) -> tuple[Express, Answer, SseLane, Side]:
    """One behind a lane that has learnt from a first token."""
    told, lane = sse_lane(ndjson=ndjson)
    lane.feed(sse(ROLE, chunk({"content": "The"})))
    side = Side()
    made = Express(
        side,
        lane,
        told,
        Timing(0.0),
        side,
        ndjson=ndjson,
        max_event=max_event,
        redact=Secret() if secret else None,
        write=side.written.append,
        direct=direct,
    )
    return made, told, lane, side


def token(text: str) -> bytes:
    return sse(chunk({"content": text}))


@pytest.mark.parametrize("text", [" sea", "~", "潮の満ち干", "🌊", "x" * 3000])
@pytest.mark.parametrize("upper", [False, True])
def test_a_chunk_that_is_a_token_passes_as_it_came(text: str, upper: bool) -> None:
    """Hexadecimal digits in either case; any text that stands for itself."""
    made, told, lane, side = express()
    event = token(text)
    before = lane.offset
    assert take(made, framed(event, upper=upper))
    assert side.written == [framed(event, upper=upper)]
    made.settle()
    assert (told.tokens, side.bytes_in, side.size) == (2, len(event), len(event))
    assert lane.offset == before + len(event)


def test_a_reader_of_ndjson_gets_a_line() -> None:
    """In a chunk of its own size."""
    made, told, _, side = express(ndjson=True)
    line = chunk({"content": " sea"}) + b"\n"
    assert take(made, framed(token(" sea")))
    assert side.written == [framed(line)]
    made.settle()
    assert (told.tokens, side.bytes_in, side.size) == (2, len(line) + 7, len(line))


DECLINED = {
    "another shape": framed(sse(STOP)),
    "an escape": framed(token('"quoted"')),
    "a line end": framed(token("a\nb")),
    "no text": framed(token("")),
    "two events": framed(token("a") + token("b")),
    "two chunks": framed(token("a")) + framed(token("b")),
    "half a chunk": framed(token(" sea"))[:-9],
    "a chunk and a half": framed(token(" sea")) + b"d8\r\n",
    "a wrong size": b"%x\r\n%b\r\n" % (len(token(" sea")) + 1, token(" sea")),
    "a size with zeros": b"00%x\r\n%b\r\n" % (len(token(" sea")), token(" sea")),
    "a size with an extension": b"%x;a=b\r\n%b\r\n" % (len(token(" sea")), token(" sea")),
    "no framing": token(" sea"),
    "the last chunk": b"0\r\n\r\n",
    "half a character": framed(token("潮").replace("潮".encode(), "潮".encode()[:2])),
    "nothing": b"",
}


@pytest.mark.parametrize("read", DECLINED.values(), ids=DECLINED)
def test_anything_else_is_declined_and_nothing_is_done(read: bytes) -> None:
    """The lane decides what it is."""
    made, told, lane, side = express()
    before = (told.tokens, lane.offset, lane.hits)
    assert not take(made, read)
    made.settle()
    assert (told.tokens, lane.offset, lane.hits) == before
    assert (side.bytes_in, side.size, side.written) == (0, 0, [])


def test_a_secret_is_declined() -> None:
    """The lane takes it out."""
    made, _, _, side = express(secret=True)
    assert not take(made, framed(token(SECRET.decode())))
    assert take(made, framed(token("free")))
    assert len(side.written) == 1


def test_while_an_event_is_unfinished_every_read_is_declined() -> None:
    """It may be the rest of that event, whatever it looks like."""
    made, _, lane, _ = express()
    lane.feed(b'data: {"id": "')
    assert not take(made, framed(token(" sea")))


def test_an_event_over_the_limit_is_declined() -> None:
    made, _, _, _ = express(max_event=300)
    assert take(made, framed(token("x")))
    assert not take(made, framed(token("x" * 300)))


def free(descriptor: int, transport: Transport) -> Direct:
    """A socket before which nothing is queued."""
    direct = Direct(descriptor, transport)
    direct.behind = False
    return direct


class Transport:
    """A transport whose queue holds ``queued`` bytes."""

    def __init__(self, *, closing: bool = False, queued: int = 0) -> None:
        self.closing = closing
        self.queued = queued
        self.written: list[bytes] = []

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return self.queued

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def abort(self) -> None:
        self.closing = True


def test_a_token_goes_straight_to_the_readers_socket() -> None:
    """Past everybody else, and is counted all the same."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        made, told, _, side = express(direct=free(ours.fileno(), Transport()))
        event = framed(token(" sea"))
        assert take(made, event)
        assert theirs.recv(65536) == event
    made.settle()
    assert (side.written, told.tokens, side.size) == ([], 2, len(token(" sea")))


def test_what_the_socket_does_not_take_is_queued() -> None:
    """Whole when it is full, the rest when it took a part."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        transport = Transport()
        direct = free(ours.fileno(), transport)
        made, _, _, _ = express(direct=direct)
        event = framed(token("x" * 60_000))
        sent = 0
        while not transport.written:
            assert take(made, event)
            sent += len(event)
        theirs.setblocking(False)
        arrived = b""
        with contextlib.suppress(BlockingIOError):
            while True:
                arrived += theirs.recv(1 << 20)
        assert arrived + b"".join(transport.written) == event * (sent // len(event))
        assert direct.behind
        direct.behind = False
        transport.written.clear()
        with contextlib.suppress(BlockingIOError):
            while True:
                ours.send(b"x" * 65536)
        assert take(made, event)
        assert transport.written == [event]


@pytest.mark.parametrize("direct", [free(-1, Transport(closing=True)), Direct(-1, Transport())])
def test_a_socket_that_may_not_be_written_to_is_left_to_the_downstream(direct: Direct) -> None:
    """It is closing, and its number may be somebody else's by now; or something may be queued before."""
    made, _, _, side = express(direct=direct)
    assert take(made, framed(token(" sea")))
    assert side.written == [framed(token(" sea"))]


def test_a_broken_socket_is_closed() -> None:
    """The connection's end is noticed by whoever owns it."""
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        transport = Transport()
        made, _, _, _ = express(direct=free(ours.fileno(), transport))
        assert take(made, framed(token(" sea")))
        assert transport.closing


def test_the_longest_gap_between_tokens_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """As :class:`Timing` keeps it."""
    clock = iter([10.0, 10.5, 10.6])
    monkeypatch.setattr("tidegate.relay.express.monotonic", lambda: next(clock))
    made, _, _, _ = express()
    made._timing.on_tokens(9.9, 1)
    for _ in range(3):
        assert take(made, framed(token("x")))
    assert made._timing.max_gap == 0.5
    made.settle()
    assert (made._timing.last_token, made._timing.tokens) == (10.6, 4)


@given(st.integers(min_value=0, max_value=1 << 17))
def test_the_length_of_a_read_says_how_its_chunk_begins(size: int) -> None:
    """Every size there is, and nothing else."""
    length = len(b"%x" % size) + 4 + size
    assert _line(length) == (b"%x\r\n" % size if size else b"")


def test_lengths_that_no_chunk_has_are_known_as_such() -> None:
    """Between 0xfff and 0x1000 bytes the size line grows."""
    assert [_line(length) for length in (0, 4, 5, 4103)] == [b"", b"", b"", b""]


def test_lengths_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """An upstream chooses its lengths; past the bound they are worked out each time."""
    monkeypatch.setattr("tidegate.relay.express._MAX_HEADS", 1)
    made, told, _, _ = express()
    assert all(take(made, framed(token("x" * size))) for size in (1, 2, 3, 1, 2, 3))
    assert len(made._heads) == 1
    made.settle()
    made.settle()
    assert told.tokens == 7


@given(st.lists(st.text(max_size=12), max_size=8), st.booleans())
def test_what_leaves_is_what_the_lane_would_have_passed(texts: list[str], ndjson: bool) -> None:
    """For any text, express or not."""
    made, told, lane, side = express(ndjson=ndjson)
    _, plain = sse_lane(ndjson=ndjson)
    plain.feed(sse(ROLE, chunk({"content": "The"})))
    for text in texts:
        expected = plain.feed(token(text))
        if not take(made, framed(token(text))):
            side.written.append(framed(lane.feed(token(text))))
        assert side.written.pop() == framed(expected)
    made.settle()
    assert told.tokens == 1 + sum(map(bool, texts))


def test_of_a_stream_that_may_not_have_any_number_of_tokens_only_those_pass_that_are_left() -> None:
    made, told, _, side = express()
    made.left = 0
    assert not take(made, framed(token(" sea")))
    made.left = 2
    assert take(made, framed(token(" sea")))
    made.settle()
    assert made.left == 1
    assert not take(made, framed(sse(STOP)))
    assert take(made, framed(token(" air")))
    assert not take(made, framed(token(" land")))
    made.settle()
    assert (made.left, told.tokens, len(side.written)) == (0, 3, 2)
