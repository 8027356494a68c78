"""workers/listening.py: sockets on one address that lose nothing, and how many cores there are."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from tests.fakes.ports import unused_port
from tidegate.workers import listening as module
from tidegate.workers.listening import SPREADS, close, cores, listening


def test_connections_are_spread_over_the_sockets_and_wait_in_them() -> None:
    groups = listening("127.0.0.1", 0, 2)
    made: list[socket.socket] = []
    try:
        port = groups[0][0].getsockname()[1]
        assert [sock.getsockname() for group in groups for sock in group] == [("127.0.0.1", port)] * len(groups)
        made = [socket.create_connection(("127.0.0.1", port)) for _ in range(64)]
        counts = [accepted(group[0]) for group in groups]
        assert sum(counts) == 64
        assert min(counts) > 0
    finally:
        close([*groups, made])


def accepted(sock: socket.socket) -> int:
    count = 0
    while True:
        try:
            sock.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def test_a_name_of_two_addresses_is_listened_to_on_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the same port; one that this machine does not have is left out."""
    names = [(socket.AF_INET, 1, 6, "", (host, 0)) for host in ("127.0.0.1", "127.0.0.2", "192.0.2.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: names)
    groups = listening("both", 0, 2)
    try:
        assert [[sock.getsockname()[0] for sock in group] for group in groups] == [["127.0.0.1", "127.0.0.2"]] * 2
        assert len({sock.getsockname()[1] for group in groups for sock in group}) == 1
    finally:
        close(groups)


def test_an_ipv6_address_is_only_that() -> None:
    groups = listening("::1", 0, 1)
    assert groups[0][0].getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    close(groups)


def test_a_port_of_somebody_else_is_not_shared_with_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError) as caught:
        listening("127.0.0.1", taken.getsockname()[1], 2)
    assert caught.value.errno == errno.EADDRINUSE


def test_an_address_that_is_not_here_is_an_error() -> None:
    with pytest.raises(OSError) as caught:
        listening("192.0.2.1", unused_port(), 2)
    assert caught.value.errno == errno.EADDRNOTAVAIL


def test_where_nothing_is_spread_one_socket_is_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SPREADS", False)
    groups = listening("127.0.0.1", 0, 4)
    assert len(groups) == 1
    assert not groups[0][0].getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
    close(groups)
    assert (os.uname().sysname == "Linux") == SPREADS


@pytest.mark.parametrize(
    ("text", "quota"),
    [
        ("max 100000\n", 1 << 20),
        ("150000 100000\n", 2),
        ("50000 100000\n", 1),
        ("nonsense\n", 1 << 20),
        (None, 1 << 20),
    ],
)
def test_a_container_has_as_many_cores_as_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, quota: int
) -> None:
    file = tmp_path / "cpu.max"
    if text is not None:
        file.write_text(text)
    assert module._quota(str(file)) == quota
    monkeypatch.setattr(module, "_quota", lambda: quota)
    assert cores() == min(quota, len(os.sched_getaffinity(0)))
