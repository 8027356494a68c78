"""cli/listening.py: addresses."""

from __future__ import annotations

import errno
import socket

import pytest

from tidegate.cli.listening import cannot_listen, probe, url_of
from tidegate.errors import GatewayFault


def test_a_port_in_use_is_said_to_be_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(GatewayFault) as caught:
            probe("127.0.0.1", port)
    assert str(caught.value) == (
        f"cannot listen on 127.0.0.1:{port}: the port is in use; stop what listens there, or take another: --port 0"
    )


def test_a_free_port_stays_free() -> None:
    probe("127.0.0.1", 0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    probe("127.0.0.1", port)
    probe("127.0.0.1", port)


def test_a_name_that_is_none_is_said_to_be_so() -> None:
    with pytest.raises(GatewayFault) as caught:
        probe("not a host", 0)
    assert str(caught.value) == "cannot listen on not a host: no such address; try --host 127.0.0.1"


def test_an_address_of_another_machine_is_said_to_be_so() -> None:
    with pytest.raises(GatewayFault) as caught:
        probe("192.0.2.1", 8080)
    assert str(caught.value) == (
        "cannot listen on 192.0.2.1:8080: this machine has no such address; try --host 127.0.0.1 or --host 0.0.0.0"
    )


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            PermissionError(errno.EACCES, "x"),
            "cannot listen on h:80: not permitted; ports below 1024 need privileges, try --port 8080",
        ),
        (OSError(errno.EMFILE, "x"), "cannot listen on h:80: Too many open files"),
        (OSError("odd"), "cannot listen on h:80: odd"),
    ],
)
def test_other_refusals_have_their_own_line(error: OSError, line: str) -> None:
    assert str(cannot_listen(error, "h", 80)) == line


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("fe80::1", "http://[fe80::1]:80"),
        ("gateway.example", "http://gateway.example:80"),
    ],
)
def test_a_url_works_on_this_machine(host: str, url: str) -> None:
    assert url_of(host, 80) == url
