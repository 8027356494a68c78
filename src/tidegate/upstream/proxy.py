"""The HTTP proxy that the environment names for an upstream, as curl and most tools read it."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from tidegate.errors import ConfigError

__all__ = ["Proxy", "proxy_for"]


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where the proxy is, and what it wants to be told."""

    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)
    """The value of ``proxy-authorization``."""


def proxy_for(url: SplitResult, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy for an upstream; ``None`` for a direct connection.

    :raises ConfigError: the variable is not a URL that we can use. Its text is not repeated: it may hold a password.
    """
    if _bypassed(url, _either(environ, "no_proxy")):
        return None
    names = ("https_proxy",) if url.scheme == "https" else ("http_proxy",)
    for name in (*names, "all_proxy"):
        if name == "http_proxy" and "REQUEST_METHOD" in environ:
            # "httpoxy": under CGI the upper-case variable is a header of the client.
            value = environ.get("http_proxy", "")
        else:
            value = _either(environ, name)
        if value:
            return _parsed(value, name.upper())
    return None


def _either(environ: Mapping[str, str], name: str) -> str:
    return (environ.get(name) or environ.get(name.upper()) or "").strip()


def _parsed(value: str, name: str) -> Proxy:
    try:
        url = urlsplit(value if "://" in value else f"http://{value}")
        port = url.port or 80
    except ValueError:
        raise ConfigError(f"{name} is not a URL.") from None
    if url.scheme != "http" or not url.hostname:
        raise ConfigError(f"{name} must be an http:// URL; other kinds of proxy are not supported.")
    authorization = None
    if url.username is not None:
        user = f"{unquote(url.username)}:{unquote(url.password or '')}"
        authorization = "Basic " + base64.b64encode(user.encode()).decode()
    return Proxy(url.hostname, port, authorization)


def _bypassed(url: SplitResult, exceptions: str) -> bool:
    host = (url.hostname or "").lower().rstrip(".")
    port = url.port or (443 if url.scheme == "https" else 80)
    return any(_covers(entry.strip().lower(), host, port) for entry in exceptions.split(",") if entry.strip())


def _covers(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    address = _address(host)
    try:
        if address is not None:
            return address in ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        pass
    name, separator, number = entry.rpartition(":")
    if separator and number.isdigit():
        if int(number) != port:
            return False
        entry = name
    entry = entry.strip("[]").lstrip("*").lstrip(".").rstrip(".")
    return bool(entry) and (host == entry or host.endswith("." + entry))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
