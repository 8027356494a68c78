"""relay/direct.py: what the socket takes leaves at once, and the transport keeps the rest."""

from __future__ import annotations

import contextlib
import socket

from tests.relay.test_express import Transport, free


def test_what_the_socket_takes_leaves_at_once() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        transport = Transport()
        direct = free(ours.fileno(), transport)
        direct.send(b"token")
        assert theirs.recv(64) == b"token"
        assert (direct.behind, transport.written) == (False, [])


def test_what_the_socket_does_not_take_is_left_to_the_transport() -> None:
    """The rest when it took a part, all of it when it is full; and whoever comes next knows."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        transport = Transport()
        direct = free(ours.fileno(), transport)
        data = bytes(range(256)) * 40_000
        direct.send(data)
        (rest,) = transport.written
        assert direct.behind
        assert data.endswith(rest)
        assert 0 < len(rest) < len(data)
        with contextlib.suppress(BlockingIOError):
            while True:
                ours.send(b"x" * 65536)
        direct.send(b"token")
        assert transport.written[1:] == [b"token"]


def test_a_broken_socket_is_closed() -> None:
    """Its end is noticed by whoever owns it."""
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        transport = Transport()
        free(ours.fileno(), transport).send(b"token")
        assert (transport.closing, transport.written) == (True, [])
