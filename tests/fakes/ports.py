"""A port for a server that cannot choose its own, or at which nobody listens."""

from __future__ import annotations

import random
import socket

__all__ = ["unused_port"]


def unused_port() -> int:
    """Below the ports that the kernel gives to connections and to servers that ask for any: those of the other tests,
    which run at the same time, cannot take it before its server does."""
    while True:
        port = random.randrange(10_000, 32_768)
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
