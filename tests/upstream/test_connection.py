"""upstream/connection.py: every kind of HTTP/1.1 answer, whole, split at every byte and dribbled; and every lie."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from tests.fakes.gateway import until
from tests.upstream.peer import Told, client_for, serving
from tests.upstream.wire import Held, Shortcut
from tidegate.errors import HeadTooLarge, StaleConnection, UpstreamCut, UpstreamFault, UpstreamProtocolError

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
TEXT = b"data: {}\n\n"
EVENTS = TEXT * 3
GZIPPED = gzip.compress(EVENTS, mtime=0)


def chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


GOOD: dict[str, tuple[bytes, bytes, bool]] = {
    "chunked": (CHUNKED + chunks(TEXT, TEXT, TEXT, b""), EVENTS, True),
    "one chunk": (CHUNKED + chunks(EVENTS, b""), EVENTS, True),
    "chunk sizes in capitals and with zeros": (
        CHUNKED + b"00A\r\n%b\r\n0A\r\n%b\r\n0\r\n\r\n" % (TEXT, TEXT),
        TEXT * 2,
        True,
    ),
    "chunk extensions": (CHUNKED + b"a;x=1\r\n%b\r\n0;last\r\n\r\n" % TEXT, TEXT, True),
    "trailers": (CHUNKED + chunks(TEXT) + b"0\r\nx-checksum: 1\r\n\r\n", TEXT, True),
    "length": (OK + b"content-length: 30\r\n\r\n" + EVENTS, EVENTS, True),
    "length 0": (OK + b"content-length: 0\r\n\r\n", b"", True),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    "until the connection closes": (OK + b"connection: close\r\n\r\n" + EVENTS, EVENTS, False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\n" + EVENTS, EVENTS, False),
    "connection: close with chunks": (
        OK + b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n" + chunks(TEXT, b""),
        TEXT,
        False,
    ),
    "100 continue before it": (b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED + chunks(TEXT, b""), TEXT, True),
    "103 early hints before it": (
        b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" * 2 + CHUNKED + chunks(TEXT, b""),
        TEXT,
        True,
    ),
    "gzip in chunks": (
        OK + b"content-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n" + chunks(GZIPPED[:9], GZIPPED[9:], b""),
        EVENTS,
        True,
    ),
    "gzip until it closes": (OK + b"content-encoding: gzip\r\nconnection: close\r\n\r\n" + GZIPPED, EVENTS, False),
    "chunks that look like the last one": (
        CHUNKED + chunks(b"\r\n0\r\n\r\n", b"0\r\n\r\n", b"5\r\n0\r\n\r\n", b""),
        b"\r\n0\r\n\r\n0\r\n\r\n5\r\n0\r\n\r\n",
        True,
    ),
    "identity": (OK + b"content-encoding: identity\r\ncontent-length: 10\r\n\r\n" + TEXT, TEXT, True),
    "a refusal": (b"HTTP/1.1 429 Slow Down\r\nretry-after: 1\r\ncontent-length: 2\r\n\r\n{}", b"{}", True),
}
"""Bytes on the wire, the body, and whether the connection can be kept."""

BAD: dict[str, tuple[bytes, type[UpstreamFault], bytes]] = {
    "nothing": (b"", UpstreamCut, b""),
    "half a head": (OK + b"content-", UpstreamCut, b""),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", UpstreamProtocolError, b""),
    "two different lengths": (OK + b"content-length: 5\r\ncontent-length: 50\r\n\r\n{}", UpstreamProtocolError, b""),
    "two equal lengths": (OK + b"content-length: 2\r\ncontent-length: 2\r\n\r\n{}", UpstreamProtocolError, b""),
    "length and chunks": (OK + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n", UpstreamProtocolError, b""),
    "a length that is no number": (OK + b"content-length: many\r\n\r\n", UpstreamProtocolError, b""),
    "a head bomb": (OK + b"x: %b\r\n\r\n" % (b"y" * 70_000), HeadTooLarge, b""),
    "many headers": (OK + b"".join(b"x-%d: y\r\n" % n for n in range(9000)) + b"\r\n", HeadTooLarge, b""),
    "a head without an end": (OK + b"x: y\r\n" * 12_000, HeadTooLarge, b""),
    "trailers without an end": (CHUNKED + chunks(TEXT) + b"0\r\n" + b"x: yyyy\r\n" * 40_000, HeadTooLarge, TEXT),
    "101": (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        UpstreamProtocolError,
        b"",
    ),
    "interim answers for ever": (b"HTTP/1.1 102 Processing\r\n\r\n" * 20, UpstreamProtocolError, b""),
    "a chunk size that is none": (CHUNKED + chunks(TEXT) + b"xyz\r\n", UpstreamProtocolError, TEXT),
    "a chunk longer than it says": (CHUNKED + b"5\r\n%b\r\n" % TEXT, UpstreamProtocolError, TEXT[:5]),
    "cut inside a chunk": (CHUNKED + chunks(TEXT) + b"a\r\nda", UpstreamCut, TEXT + b"da"),
    "cut between chunks": (CHUNKED + chunks(TEXT), UpstreamCut, TEXT),
    "cut before its length": (OK + b"content-length: 50\r\n\r\n" + TEXT, UpstreamCut, TEXT),
    "brotli": (OK + b"content-encoding: br\r\ncontent-length: 2\r\n\r\n??", UpstreamProtocolError, b""),
    "no gzip": (OK + b"content-encoding: gzip\r\ncontent-length: 10\r\n\r\n" + TEXT, UpstreamProtocolError, b""),
    "half a gzip, chunked": (
        OK + b"content-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n" + chunks(GZIPPED[:-4], b""),
        UpstreamCut,
        EVENTS,
    ),
    "half a gzip, closed": (
        OK + b"content-encoding: gzip\r\nconnection: close\r\n\r\n" + GZIPPED[:-4],
        UpstreamCut,
        EVENTS,
    ),
}
"""Bytes on the wire before the peer closes, the error, and what of the body was handed on before it."""


def run(case: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(case(), 200))


def cuts(wire: bytes) -> list[list[bytes]]:
    """Whole, split at every byte (of what is not absurdly long), and byte by byte."""
    if len(wire) > 1000:
        return [[wire], [wire[at : at + 1000] for at in range(0, len(wire), 1000)]]
    splits = [[wire[:at], wire[at:]] for at in range(1, len(wire))]
    return [[wire], *splits, [wire[at : at + 1] for at in range(len(wire))]]


@pytest.mark.parametrize(("wire", "body", "kept"), GOOD.values(), ids=GOOD)
def test_an_answer_arrives_whole_however_it_is_cut(wire: bytes, body: bytes, kept: bool) -> None:
    async def case() -> None:
        for parts in cuts(wire):
            held, told = Held(), Told()
            exchange = held.connection.request(b"request", told)
            assert held.wire.sent == b"request"
            held.feed(*parts)
            if not told.over.is_set():
                assert not kept
                held.lose()
            assert (told.error, told.body) == (None, body), parts
            assert told.over.is_set(), parts
            assert held.released == kept, parts
            assert kept != held.wire.closing
            exchange.abort()  # over: does nothing
            assert not held.wire.aborted

    run(case)


@pytest.mark.parametrize(("wire", "error", "body"), BAD.values(), ids=BAD)
def test_a_lie_or_a_cut_is_told_however_it_is_cut(wire: bytes, error: type[UpstreamFault], body: bytes) -> None:
    """Once, as what it is; and the connection is never used again."""

    async def case() -> None:
        for parts in cuts(wire):
            held, told = Held(), Told()
            held.connection.request(b"request", told)
            held.feed(*parts)
            held.lose()
            assert type(told.error) is error, parts
            assert body.startswith(told.body), parts
            if error is UpstreamCut:
                assert told.body == body, parts
            assert (held.released, held.closed) == (0, 1)

    run(case)


def test_whole_chunks_are_offered_as_they_came() -> None:
    """And nothing else is."""

    async def case() -> None:
        held, told = Held(), Told()
        held.connection.request(b"", told)
        one, two = chunks(TEXT), chunks(TEXT, EVENTS)
        held.feed(CHUNKED + one, one, two, one[:5], one[5:], one)
        assert told.reads == [
            (TEXT, None),
            (TEXT, one),
            (TEXT + EVENTS, two),
            (TEXT[:2], None),
            (TEXT[2:], None),
            (TEXT, one),
        ]
        held.feed(chunks(TEXT, b""))
        assert told.reads[-1] == (TEXT, None)
        assert told.over.is_set()

    run(case)


def test_from_the_head_to_the_last_chunk_the_parser_sees_no_whole_ones() -> None:
    async def case() -> None:
        held, told = Held(), Told()
        held.connection.request(b"", told)
        seen: list[bytes] = []
        one, two = chunks(TEXT), chunks(TEXT, EVENTS)
        held.feed(CHUNKED)
        parser = held.connection._parser

        def feed_data(data: bytes) -> None:
            seen.append(data)
            parser.feed_data(data)

        held.connection._parser = SimpleNamespace(feed_data=feed_data)
        held.feed(two, one, two + b"0\r\n\r\n")
        assert seen == [b"0\r\n\r\n"]
        assert told.reads == [(TEXT + EVENTS, two), (TEXT, one), (TEXT + EVENTS, None)]
        assert (told.over.is_set(), held.released) == (True, 1)

    run(case)


def test_reads_between_two_chunks_go_straight_and_all_others_to_the_connection() -> None:
    """However the answer is cut, each byte is seen once; the end, and what comes after it, is the connection's own."""
    one = chunks(TEXT)

    async def case() -> None:
        for parts in cuts(one * 4 + chunks(EVENTS, b"")):
            held, told, shortcut = Held(), Told(), Shortcut(one, TEXT)
            exchange = held.connection.request(b"", told)
            held.feed(CHUNKED + one)
            exchange.go_straight(shortcut)
            held.feed(one, *parts)
            assert (len(told.body + shortcut.taken), told.error) == (len(TEXT * 6 + EVENTS), None), parts
            assert (held.released, held.wire.protocol) == (1, held.connection), parts

    run(case)


def test_going_straight_ends_when_it_is_told_and_with_the_exchange() -> None:
    one = chunks(TEXT)

    async def case() -> None:
        held, told, shortcut = Held(), Told(), Shortcut(one, TEXT)
        exchange = held.connection.request(b"", told)
        held.feed(CHUNKED + one)
        exchange.go_straight(shortcut)
        held.feed(one, one)
        assert (held.wire.protocol, shortcut.taken) == (shortcut, TEXT)
        other = Shortcut(one, TEXT)
        exchange.go_straight(other)
        held.feed(one)
        assert (held.wire.protocol, shortcut.taken, other.taken) == (other, TEXT, TEXT)
        exchange.go_straight(None)
        held.feed(one)
        assert (held.wire.protocol, told.body) == (held.connection, TEXT * 3)
        exchange.go_straight(shortcut)
        held.feed(one)
        exchange.abort()
        assert held.wire.protocol is held.connection

    run(case)


def test_the_loss_of_the_connection_is_heard_while_reads_go_straight() -> None:
    one = chunks(TEXT)

    async def case() -> None:
        held, told, shortcut = Held(), Told(), Shortcut(one, TEXT)
        exchange = held.connection.request(b"", told)
        held.feed(CHUNKED + one)
        exchange.go_straight(shortcut)
        held.feed(one)
        assert held.wire.protocol is shortcut
        assert not shortcut.eof_received()
        held.lose()
        assert (type(told.error), held.closed) == (UpstreamCut, 1)

    run(case)


def test_a_last_chunk_in_a_read_of_its_own_ends_the_body_every_time() -> None:
    """Not only the first time that this process sees one."""

    async def case() -> None:
        held = Held()
        for count in range(1, 5):
            told = Told()
            held.connection.request(b"", told)
            held.feed(CHUNKED + chunks(TEXT), chunks(TEXT), b"0\r\n\r\n")
            assert (told.body, told.over.is_set(), held.released) == (TEXT * 2, True, count)

    run(case)


def test_a_kept_connection_that_was_closed_before_an_answer_is_stale() -> None:
    """A first one that was is a cut: nothing tells that it had ever been good."""

    async def case() -> None:
        held, first, second = Held(), Told(), Told()
        held.connection.request(b"", first)
        held.feed(CHUNKED + chunks(b""))
        assert held.connection.request(b"", second).reused
        held.lose(ConnectionResetError())
        assert type(second.error) is StaleConnection

    run(case)


@pytest.mark.parametrize(("exc", "how"), [(None, "closed"), (ConnectionResetError(), "reset")])
@pytest.mark.parametrize(("wire", "where"), [(b"", "before it answered"), (CHUNKED, "inside its answer")])
def test_a_cut_says_how_and_where(wire: bytes, where: str, exc: Exception | None, how: str) -> None:
    async def case() -> None:
        held, told = Held(), Told()
        held.connection.request(b"", told)
        held.feed(wire)
        held.lose(exc)
        assert told.error is not None
        assert told.error.message == f"Upstream 'up' {how} the connection {where}."

    run(case)


def test_a_reset_of_a_body_that_ends_by_closing_is_a_cut() -> None:
    async def case() -> None:
        held, told = Held(), Told()
        held.connection.request(b"", told)
        held.feed(OK + b"\r\n" + TEXT)
        held.lose(ConnectionResetError())
        assert type(told.error) is UpstreamCut

    run(case)


BEHIND: dict[str, bytes] = {
    "a whole answer": CHUNKED + chunks(b"INTRUDER", b""),
    "a whole answer with a length": OK + b"content-length: 8\r\n\r\nINTRUDER",
    "half an answer": OK + b"content-",
    "no HTTP": b"INTRUDER",
    "informational": b"HTTP/1.1 103 Early Hints\r\n\r\n",
}


@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND)
@pytest.mark.parametrize("answer", [CHUNKED + chunks(TEXT, b""), OK + b"content-length: 10\r\n\r\n" + TEXT])
def test_what_follows_an_answer_in_its_read_is_nobodys_and_ends_the_connection(answer: bytes, behind: bytes) -> None:
    async def case() -> None:
        for parts in ([answer + behind], [answer[:-4], answer[-4:] + behind]):
            held, told = Held(), Told()
            held.connection.request(b"", told)
            held.feed(*parts)
            assert (told.error, told.body, told.over.is_set()) == (None, TEXT, True)
            assert told.head is not None
            assert told.head.headers[0][0] in (b"content-type", b"content-length")
            assert (held.released, held.wire.closing) == (0, True)

    run(case)


def test_bytes_that_nobody_asked_for_close_the_connection() -> None:
    async def case() -> None:
        held = Held()
        held.feed(OK)
        assert held.wire.aborted
        held, told = Held(), Told()
        held.connection.request(b"", told)
        held.feed(CHUNKED + chunks(b"") + OK)
        assert told.error is None
        assert (held.released, held.wire.closing) == (0, True)

    run(case)


def test_an_aborted_exchange_hears_nothing_more() -> None:
    async def case() -> None:
        held, told = Held(), Told()
        exchange = held.connection.request(b"", told)
        held.feed(CHUNKED + chunks(TEXT))
        exchange.abort()
        assert held.wire.aborted
        held.lose(ConnectionResetError())
        assert (told.over.is_set(), held.closed) == (False, 1)
        for method in (exchange.abort, exchange.pause, exchange.resume):
            method()
        exchange.drain(1)

    run(case)


def test_a_drained_exchange_gives_its_connection_back_and_hears_nothing() -> None:
    async def case() -> None:
        held, told = Held(), Told()
        exchange = held.connection.request(b"", told)
        held.feed(CHUNKED + chunks(TEXT))
        exchange.pause()
        exchange.drain(10)
        assert not held.wire.paused, "a paused connection would never drain"
        held.feed(chunks(TEXT), chunks(TEXT, b""))
        assert (told.body, told.over.is_set(), held.released) == (TEXT, False, 1)
        assert held.connection._drain_timer is None

    run(case)


def test_draining_is_given_up_after_its_limit() -> None:
    async def case() -> None:
        held, told = Held(), Told()
        held.connection.request(b"", told).drain(0.01)
        await until(lambda: held.wire.aborted)
        assert not told.over.is_set()

    run(case)


def test_pausing_and_resuming_reach_the_transport_once() -> None:
    async def case() -> None:
        held, told = Held(), Told()
        exchange = held.connection.request(b"", told)
        seen = []
        for step in (exchange.pause, exchange.pause, exchange.resume, exchange.resume, exchange.pause):
            step()
            seen.append(held.wire.paused)
        held.lose()
        exchange.resume()
        seen.append(held.wire.paused)
        assert seen == [True, True, False, False, True, True], "a lost connection is not resumed"

    run(case)


def test_a_sink_that_aborts_in_the_middle_of_a_compressed_read_hears_no_more_of_it() -> None:
    async def case() -> None:
        held = Held()

        class Aborts(Told):
            def on_data(self, data: bytes, framed: bytes | None) -> None:
                super().on_data(data, framed)
                exchange.abort()

        told = Aborts()
        exchange = held.connection.request(b"", told)
        body = gzip.compress(b"x" * (3 << 20))
        held.feed(OK + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        assert len(told.reads) == 1
        assert len(told.body) == 1 << 20

    run(case)


def test_a_request_goes_to_the_socket_itself_and_what_it_does_not_take_to_the_transport() -> None:
    """In its order: nothing passes what the transport still holds."""

    async def case() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            held = Held(sock=ours)
            held.connection.request(b"one", Told())
            assert (theirs.recv(100), held.wire.sent) == (b"one", b"")
            held.feed(GOOD["chunked"][0])
            large = b"x" * (8 << 20)
            held.connection.request(large, Told())
            assert 0 < len(held.wire.sent) < len(large)
            held.feed(GOOD["chunked"][0])
            held.wire.sent, held.wire.queued = b"", 1
            held.connection.request(b"two", Told())
            assert held.wire.sent == b"two"
            held.feed(GOOD["chunked"][0])
            theirs.close()
            held.wire.sent, held.wire.queued = b"", 0
            held.connection.request(b"three", Told())
            assert held.wire.sent == b"three", "the transport finds out that the peer has gone, and tells"

    run(case)


def test_the_client_is_never_half_closed_and_two_answers_share_one_connection() -> None:
    """Through a real socket."""

    async def case() -> None:
        seen = []

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for _ in range(2):
                seen.append(await reader.readuntil(b"\r\n\r\n"))
                for byte in GOOD["chunked"][0]:
                    writer.write(bytes([byte]))
                    await writer.drain()
            assert not reader.at_eof()
            await reader.read()

        async with serving(answer) as port, client_for(f"http://127.0.0.1:{port}/v1") as client:
            for _ in range(2):
                told = Told()
                await client.send(told, method="GET", path="/x")
                assert (await told.ended()).body == EVENTS
            assert client.open_connections == client.idle_connections == 1
        assert len(seen) == 2

    run(case)
