"""The sockets that workers accept from: made once by the supervisor, and inherited by every worker that it starts.

They stay open for as long as the supervisor runs, so no connection that waits in one is lost when a worker goes. On
Linux each worker has one of its own and the kernel spreads connections over them: one socket for all would give most of
them to whoever wakes first, which for answers that last a minute is most of the load.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Iterable
from typing import Any, Final

from tidegate.server.run import BACKLOG

__all__ = ["SPREADS", "close", "cores", "listening"]

SPREADS: Final = sys.platform == "linux"
"""Whether connections are spread over the sockets of one address."""


def listening(host: str, port: int, count: int) -> list[list[socket.socket]]:
    """A group of sockets for each worker, one for each address that ``host`` means; one group for all where the system
    would not spread connections over them.

    :param port: 0 takes a free one.
    :raises OSError: no address can be had.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    made: list[list[socket.socket]] = []
    try:
        for _ in range(count if SPREADS else 1):
            group: list[socket.socket] = []
            made.append(group)
            for family, _, _, _, address in dict.fromkeys(found):
                sock = _bound(family, (address[0], port, *address[2:]))
                if sock is not None:
                    group.append(sock)
                    port = sock.getsockname()[1]
            if not group:
                raise OSError(errno.EADDRNOTAVAIL, "no such address here")
    except OSError:
        close(made)
        raise
    return made


def close(groups: Iterable[Iterable[socket.socket]]) -> None:
    """Nobody is listened to any more, unless somebody else has the sockets too."""
    for group in groups:
        for sock in group:
            sock.close()


def _bound(family: int, address: tuple[Any, ...]) -> socket.socket | None:
    """``None``: this machine has no such address, as without IPv6."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if SPREADS:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRNOTAVAIL:
            return None
        raise
    return sock


def cores() -> int:
    """Cores that this process may use: of the machine, of its CPU set, and of its control group."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(found, _quota()))


def _quota(file: str = "/sys/fs/cgroup/cpu.max") -> int:
    """Cores that a container was given, rounded up; as good as endless without a bound."""
    try:
        with open(file) as lines:
            quota, period = lines.read().split()[:2]
        return -(-int(quota) // int(period))
    except (OSError, ValueError):  # no such control group; "max"
        return 1 << 20
