"""``tidegate edge``: a configuration for the server that stands before the gateway."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

import click

from tidegate.cli.config import file_here
from tidegate.edge.caddy import caddy
from tidegate.edge.haproxy import haproxy
from tidegate.edge.nginx import nginx
from tidegate.edge.site import Site
from tidegate.errors import ConfigError

__all__ = ["edge"]

PROGRAMS: Mapping[str, Callable[[Site], str]] = {"nginx": nginx, "haproxy": haproxy, "caddy": caddy}

_DOMAIN = re.compile(
    r"(?=.{1,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII
)
_ADDRESS = re.compile(r"(\[[0-9a-f:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}", re.ASCII)
_LISTEN = re.compile(r"((\[[0-9a-f:.]+\]|[A-Za-z0-9.-]+):)?[0-9]{1,5}", re.ASCII)
_PATH = re.compile(r"[^\s;{}\"'#]+")


@click.command()
@click.argument("program", type=click.Choice(list(PROGRAMS)))
@click.option("--domain", default="", help="Serve TLS under this name; without it, plain HTTP.")
@click.option("--gateway", "gateways", multiple=True, help="host:port of a gateway; again for another one.")
@click.option("--listen", default="", help="Port, or address:port; 443 with a domain, else 80.")
@click.option("--cert", "certificate", default="", help="PEM file of the certificate (HAProxy: with its key).")
@click.option("--key", default="", help="PEM file of its key.")
def edge(program: str, domain: str, gateways: tuple[str, ...], listen: str, certificate: str, key: str) -> None:
    """Print a configuration of PROGRAM with which streams come through: nothing is buffered, time-outs are longer than
    the heartbeat, a reader that leaves stops the model, and nothing is compressed twice.

    Address, heartbeat and limits are those of tidegate.toml, when there is one here, and of TIDEGATE_*.
    """
    from tidegate.config import load

    file = file_here(os.environ)
    options = load(file, os.environ) if file is not None or "TIDEGATE_CONFIG" in os.environ else None
    own = "127.0.0.1:8080" if options is None else _reachable(options.server.host, options.server.port)
    for text, shape, what in (
        *((each, _ADDRESS, "--gateway: write host:port, such as 10.0.0.7:8080") for each in gateways),
        (domain, _DOMAIN, "--domain: write a name such as llm.example.com"),
        (listen, _LISTEN, "--listen: write a port, or address:port"),
        (certificate, _PATH, "--cert: the path of a file, without spaces"),
        (key, _PATH, "--key: the path of a file, without spaces"),
    ):
        if text and shape.fullmatch(text) is None:
            raise ConfigError(f"{what}.")
    if bool(key) and not certificate:
        raise ConfigError("--key: give the certificate as well, with --cert.")
    site = Site(gateways=gateways or (own,), domain=domain, listen=listen, certificate=certificate, key=key)
    if options is not None:
        stream, most = options.stream, options.server.max_request_bytes
        site = replace(site, heartbeat=stream.heartbeat, longest=stream.total_timeout, most_bytes=most)
    click.echo(PROGRAMS[program](site), nl=False)


def _reachable(host: str, port: int) -> str:
    """A gateway that listens everywhere is asked on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - not bound here
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
