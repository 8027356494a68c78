"""Addresses: said clearly when they cannot be had, written as a person would type them."""

from __future__ import annotations

import errno
import os
import socket

from tidegate.errors import GatewayFault

__all__ = ["cannot_listen", "probe", "url_of"]


def probe(host: str, port: int) -> None:
    """Find out now, in one clear line, whether the address can be listened on. Port 0 always can.

    A race is possible and harmless: then the server itself reports the same thing, less clearly.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            attempt.bind(address)
            attempt.listen(1)  # on Linux, a bind to a used port may pass and the listen not
    except OSError as error:
        raise cannot_listen(error, host, port) from None


def cannot_listen(error: OSError, host: str, port: int) -> GatewayFault:
    """Why nobody can listen there, and what to do."""
    if isinstance(error, socket.gaierror):
        return GatewayFault(f"cannot listen on {host}: no such address; try --host 127.0.0.1")
    where = f"cannot listen on {host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return GatewayFault(f"{where}: the port is in use; stop what listens there, or take another: --port 0")
    if error.errno in (errno.EACCES, errno.EPERM):
        return GatewayFault(f"{where}: not permitted; ports below 1024 need privileges, try --port 8080")
    if error.errno == errno.EADDRNOTAVAIL:
        return GatewayFault(f"{where}: this machine has no such address; try --host 127.0.0.1 or --host 0.0.0.0")
    return GatewayFault(f"{where}: {os.strerror(error.errno) if error.errno else error}")


def url_of(host: str, port: int) -> str:
    """A URL that works on this machine: wildcard addresses become loopback, IPv6 gets its brackets."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - not bound here
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
