"""relay/rewrite_express.py: what it takes leaves as the rewriting lane would have let it, and it takes nothing else."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.relay.streams import ROLE, STOP, chunk, said, sse
from tests.relay.test_express import SECRET, Secret, Side, Transport, framed, free, take, token
from tests.relay.test_rewrite import PROFILES
from tidegate.relay.direct import Direct
from tidegate.relay.rewrite import FilteredAnswer, RewriteLane
from tidegate.relay.rewrite_express import RewriteExpress
from tidegate.relay.timing import Timing
from tidegate.safety.chat import ChatFilter


@dataclass
class Made:
    """One behind a lane that has learnt from a first token."""

    express: RewriteExpress
    answer: FilteredAnswer
    lane: RewriteLane
    side: Side
    ends: list[bytes] = field(default_factory=list)
    bugs: list[BaseException] = field(default_factory=list)

    def feed(self, event: bytes) -> bytes:
        """What leaves, whichever way, without its chunk's framing."""
        if not take(self.express, framed(event)):
            return self.lane.feed(event)
        return b"".join(unframed(data) for data in self.side.written[len(self.side.written) - 1 :])


def unframed(data: bytes) -> bytes:
    line, _, rest = data.partition(b"\r\n")
    assert int(line, 16) == len(rest) - 2
    return rest[:-2]


def lane_of(profile: str, *, ndjson: bool = False, secret: bool = False) -> tuple[FilteredAnswer, RewriteLane]:
    answer = FilteredAnswer(ChatFilter(PROFILES.named(profile), key=b"k"))
    redact: Any = Secret() if secret else None
    lane = RewriteLane(answer, ndjson=ndjson, max_event=1 << 20, redact=redact)
    lane.feed(sse(ROLE))
    lane.feed(token("The"))
    return answer, lane


def express(
    profile: str = "strict", *, ndjson: bool = False, secret: bool = False, direct: Direct | None = None
) -> Made:
    answer, lane = lane_of(profile, ndjson=ndjson, secret=secret)
    side = Side()
    ends: list[bytes] = []
    bugs: list[BaseException] = []
    made = RewriteExpress(
        side,
        lane,
        answer,
        Timing(0.0),
        side,
        ndjson=ndjson,
        max_event=1 << 20,
        redact=Secret() if secret else None,
        write=side.written.append,
        direct=direct,
        ended=ends.append,
        on_bug=bugs.append,
    )
    return Made(made, answer, lane, side, ends, bugs)


def text(out: bytes, ndjson: bool = False) -> str:
    return "".join(each["choices"][0]["delta"].get("content") or "" for each in said(out, ndjson=ndjson))


@pytest.mark.parametrize("ndjson", [False, True], ids=["sse", "ndjson"])
def test_a_token_goes_through_its_filter_and_leaves_in_the_same_shape(ndjson: bool) -> None:
    """What is held costs no write; what leaves is counted as it left."""
    made = express(ndjson=ndjson)
    for piece in (" mail", " bob", "@example", ".com", " now"):
        assert take(made.express, framed(token(piece)))
    payloads = [unframed(data) for data in made.side.written]
    assert text(b"".join(payloads), ndjson) == "The mail [EMAIL] "
    made.express.settle()
    made.express.settle()
    assert made.side.size == sum(map(len, payloads))
    assert made.side.bytes_in == sum(len(token(piece)) for piece in (" mail", " bob", "@example", ".com", " now"))
    assert (made.answer.tokens, made.express._timing.tokens) == (6, 6)
    rest = made.lane.feed(sse(STOP))
    assert text(rest, ndjson) == "now"


PIECE = st.one_of(
    st.text(max_size=12),
    st.sampled_from([" bob", "@exam", "ple.com", " 123-", "45-", "6789", "\n", '"', "\\", " ok", "\U0001f30a"]),
)


@given(st.lists(PIECE, max_size=10), st.booleans())
def test_what_leaves_is_what_the_lane_would_have_let(texts: list[str], ndjson: bool) -> None:
    """For any text, express or not, to the end."""
    made = express(ndjson=ndjson)
    _, plain = lane_of("strict", ndjson=ndjson)
    ours = theirs = b""
    for piece in texts:
        before = len(made.side.written)
        if not take(made.express, framed(token(piece))):
            ours += made.lane.feed(token(piece))
        ours += b"".join(unframed(data) for data in made.side.written[before:])
        theirs += plain.feed(token(piece))
    ours += made.lane.feed(sse(STOP))
    theirs += plain.feed(sse(STOP))
    assert said(ours, ndjson=ndjson) == said(theirs, ndjson=ndjson)
    made.express.settle()
    assert made.answer.tokens == 1 + sum(map(bool, texts))


ESCAPED = framed(token("~").replace(b'"~"', rb'"a\n\"\u00e9"'))
HALF_PAIR = framed(token("~").replace(b'"~"', rb'"\ud83c"'))

DECLINED = {
    "another shape": framed(sse(STOP)),
    "half an escape": framed(token("~").replace(b'"~"', rb'"a\u12"')),
    "half a pair": HALF_PAIR,
    "half a character": framed(token("潮").replace("潮".encode(), "潮".encode()[:2])),
    "a quote": framed(token("~").replace(b'"~"', b'"a","b":"c"')),
    "no text": framed(token("")),
    "two chunks": framed(token("a")) + framed(token("b")),
    "nothing": b"",
}


@pytest.mark.parametrize("read", DECLINED.values(), ids=DECLINED)
def test_anything_else_is_declined_and_nothing_is_done(read: bytes) -> None:
    made = express()
    assert not take(made.express, read)
    made.express.settle()
    assert (made.side.bytes_in, made.side.size, made.side.written) == (0, 0, [])


def test_escapes_are_what_they_say() -> None:
    made = express()
    assert take(made.express, ESCAPED)
    assert text(b"".join(map(unframed, made.side.written)) + made.lane.feed(sse(STOP))) == 'Thea\n"é'


def test_a_secret_is_left_to_the_lane() -> None:
    made = express(secret=True)
    assert not take(made.express, framed(token(SECRET.decode())))
    assert take(made.express, framed(token(" sea")))


def test_while_an_event_is_unfinished_or_the_shape_has_changed_every_read_is_declined() -> None:
    made = express()
    made.lane.feed(b'data: {"id": "')
    assert not take(made.express, framed(token(" sea")))
    other = express()
    other.lane.feed(sse(chunk({"reasoning_content": "hm"})))
    assert not take(other.express, framed(token(" sea")))
    generic = express()
    generic.lane.feed(b"data: {}\r\n\r\n")
    assert not take(generic.express, framed(token(" sea")))


def test_text_after_the_end_of_its_choice_is_left_to_the_lane() -> None:
    """Which opens a filter anew."""
    made = express()
    made.lane.feed(sse(STOP))
    assert not take(made.express, framed(token(" sea")))


def test_a_rule_that_blocks_is_told_with_the_last_bytes() -> None:
    made = express("stop")
    assert take(made.express, framed(token(" we st")))
    assert take(made.express, framed(token("op!")))
    (end,) = made.ends
    assert said(end)[0]["choices"][0]["finish_reason"] == "content_filter"
    assert made.answer.blocked
    assert not take(made.express, framed(token(" more")))


def test_what_a_filter_raises_is_told() -> None:
    """The read counts as taken: nothing of it passes."""
    made = express()

    class Broken:
        closed = False

        def feed(self, chunk: str) -> str:
            raise ZeroDivisionError

    made.express._filter = Broken()  # type: ignore[assignment]
    assert take(made.express, framed(token(" sea")))
    assert isinstance(made.bugs[0], ZeroDivisionError)
    assert not made.side.written


def test_no_number_is_remembered() -> None:
    """A memory of all streams must not collect them."""
    from tidegate.relay import rewrite_express

    made = express()
    for piece in (" 4711", " zebra ", " x9 "):
        assert take(made.express, framed(token(piece)))
    take(made.express, framed(token(" . ")))
    known = "".join([*rewrite_express._SAID.values(), *rewrite_express._WRITTEN])
    assert " zebra " in known
    assert not any(char.isdigit() for char in known)


def test_lengths_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate.relay.rewrite_express._MAX_LINES", 1)
    made = express()
    for size in (1, 2, 3, 1, 2, 3):
        assert take(made.express, framed(token("." * size + " ")))
    assert len(made.express._lines) == 1


def test_a_token_goes_straight_to_the_readers_socket() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        made = express(direct=free(ours.fileno(), Transport()))
        assert take(made.express, framed(token(" sea ")))
        assert text(unframed(theirs.recv(65536))) == "The sea "
    assert made.side.written == []


def test_what_the_socket_does_not_take_is_queued() -> None:
    """Whole when it is full, the rest when it took a part."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        transport = Transport()
        direct = free(ours.fileno(), transport)
        made = express(direct=direct)
        said_so_far = 0
        while not transport.written:
            assert take(made.express, framed(token("~" * 60_000)))
            said_so_far += 60_000
        theirs.setblocking(False)
        arrived = b""
        with contextlib.suppress(BlockingIOError):
            while True:
                arrived += theirs.recv(1 << 20)
        assert (arrived + b"".join(transport.written)).count(b"~") == said_so_far
        assert direct.behind
        direct.behind = False
        transport.written.clear()
        with contextlib.suppress(BlockingIOError):
            while True:
                ours.send(b"x" * 65536)
        assert take(made.express, framed(token("... ")))
        assert len(transport.written) == 1


@pytest.mark.parametrize("direct", [free(-1, Transport(closing=True)), Direct(-1, Transport())])
def test_a_socket_that_may_not_be_written_to_is_left_to_the_downstream(direct: Direct) -> None:
    made = express(direct=direct)
    assert take(made.express, framed(token(" sea ")))
    assert len(made.side.written) == 1


def test_a_broken_socket_is_closed() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        transport = Transport()
        made = express(direct=free(ours.fileno(), transport))
        assert take(made.express, framed(token(" sea ")))
        assert transport.closing


def test_the_longest_gap_between_tokens_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 10.5, 10.6])
    monkeypatch.setattr("tidegate.relay.rewrite_express.monotonic", lambda: next(clock))
    made = express()
    made.express._timing.on_tokens(9.9, 1)
    for _ in range(3):
        assert take(made.express, framed(token("x")))
    assert made.express._timing.max_gap == 0.5
