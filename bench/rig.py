"""What every process of the rig shares: file limits, free ports, waiting for a port, one small HTTP call."""

from __future__ import annotations

import http.client
import json
import resource
import socket
import time
from typing import Any

__all__ = ["RigError", "free_port", "get_json", "raise_nofile", "wait_ready"]


class RigError(Exception):
    """A part of the rig did not start or did not answer; the text says which and why."""


FILES = 32768


def raise_nofile() -> None:
    """Raise the limit of open files as far as may be: 10,000 streams are 20,000 sockets in a relay."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (max(hard, FILES), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        except (ValueError, OSError):
            continue  # the hard one is raised by root only
        return


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def get_json(port: int, target: str, timeout: float = 10.0) -> Any:
    """The JSON answer of ``GET target``."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", target)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def wait_ready(port: int, target: str, timeout: float) -> bool:
    """True as soon as ``GET target`` answers below 500; False when ``timeout`` seconds have passed."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2.0)
        try:
            connection.request("GET", target)
            if connection.getresponse().status < 500:
                return True
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.05)
    return False
