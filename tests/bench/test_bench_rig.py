"""The upstream and the load client, against each other and against servers that lie."""

from __future__ import annotations

import dataclasses
import socket
import threading
from collections.abc import Iterator

import pytest
from bench.load import Load, LoadResult, LoadSpec
from bench.measure import abort_times, run_load, spec_for, start_relay, upstream_server
from bench.relays import RELAYS

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
DONE = b"e\r\ndata: [DONE]\n\n\r\n"
END = b"0\r\n\r\n"


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    """The port of a bench upstream in its own process."""
    with upstream_server() as port:
        yield port


def load(port: int, **values: object) -> LoadResult:
    """A short load, in this process."""
    return Load(LoadSpec(port=port, timeout=120.0, **values)).run()  # type: ignore[arg-type]  # a test's shorthand


def served(answer: bytes) -> LoadResult:
    """One stream of three tokens, asked of a server that gives ``answer`` and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(65536)
                sock.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        result = load(listener.getsockname()[1], streams=1, tokens=3)
        thread.join()
        return result


def test_every_token_of_every_stream_is_counted(upstream: int) -> None:
    """Two batches of fresh connections; the first token of each gives a TTFT, every fifth after it a transit time."""
    result = load(upstream, streams=5, tokens=20, interval=0.001, stamp=5, batches=2)
    assert (result.whole, result.broken, result.tokens) == (10, 0, 200)
    assert len(result.ttft) == len(result.overhead) == 10
    assert len(result.transit) == 10 * 3
    assert all(value >= 0.01 for value in result.ttft)
    assert all(0 < value < 5 for value in result.overhead + result.transit)


def test_connections_are_used_again_when_asked(upstream: int) -> None:
    """Keep-alive: a batch goes over the connections of the one before."""
    result = load(upstream, streams=3, tokens=5, interval=0.001, batches=3, keep_alive=True)
    assert (result.whole, result.broken) == (9, 0)


def test_a_stream_that_hangs_up_is_seen_as_aborted(upstream: int) -> None:
    """Both clocks are one: the abort comes after the close."""
    result = load(upstream, streams=4, tokens=200, interval=0.002, cancel_after=10, cancel_streams=2)
    aborted = abort_times(upstream, expected=2)
    assert (result.cancelled, result.whole) == (2, 2)
    assert set(result.closed_at) == set(aborted) == {0, 1}
    assert all(aborted[ident] > at for ident, at in result.closed_at.items())


def test_an_honest_end_is_whole() -> None:
    """All tokens, the end marker, the end of the body."""
    assert served(HEAD + b"8\r\n~ ~ ~ \n\n\r\n" + DONE + END).whole == 1


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"8\r\n~ ~ ~ \n\n\r\n",
        HEAD + b"8\r\n~ ~ ~ \n\n\r\n" + END,
        HEAD + b"6\r\n~ ~ \n\n\r\n" + DONE + END,
        HEAD + b"a\r\n~ ~ ~ ~ \n\n\r\n" + DONE + END,
        b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 2\r\n\r\nno",
        b"",
    ],
    ids=["cut", "no end marker", "a token lost", "a token too many", "an error", "nothing"],
)
def test_anything_less_is_broken(answer: bytes) -> None:
    """A relay that loses something is not merely fast."""
    result = served(answer)
    assert (result.whole, result.broken) == (0, 1)
    assert result.problems


def test_every_token_is_counted_over_http2_and_a_cancel_reaches_the_model(upstream: int) -> None:
    """All streams on one connection, through a gateway of its own."""
    with start_relay(RELAYS["tidegate-h2"], upstream) as running:
        spec = dataclasses.replace(spec_for(running), streams=20, tokens=20, interval=0.001, stamp=5, batches=2)
        assert spec.connections == 1
        result = run_load(spec)
        assert (result.whole, result.broken, result.tokens, result.problems) == (40, 0, 800, [])
        assert len(result.ttft) == len(result.overhead) == 40
        result = run_load(dataclasses.replace(spec, batches=1, tokens=10_000, cancel_after=3))
        assert (result.cancelled, result.broken) == (20, 0)
        assert set(abort_times(upstream, 20)) >= set(range(20))
    result = run_load(dataclasses.replace(spec, port=1))
    assert result.broken == 40
    assert "connect" in result.problems[0]
