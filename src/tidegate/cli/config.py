"""``tidegate config``: check a file, or print one to begin with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import click

from tidegate.server.options import GatewayOptions

__all__ = ["config"]

DEFAULT_FILE = "tidegate.toml"


@click.group()
def config() -> None:
    """Check a configuration, or print an example.

    \b
      tidegate config example > tidegate.toml
      tidegate config check tidegate.toml
    """


@config.command("check", short_help="Find every mistake before it runs.")
@click.argument("file", default=DEFAULT_FILE)
def check(file: str) -> None:
    """Find every mistake in FILE (tidegate.toml when not given) and the TIDEGATE_* environment.

    Prints file, line, key and what to write instead. Exits 0 when the gateway would start with it, 2 when not.
    """
    from tidegate.config import load

    options = load(file, os.environ)
    for warning in warnings(options):
        click.echo(f"tidegate: {file}: warning: {warning}", err=True)
    click.echo(f"{file}: good ({summary(options)})")


@config.command("example", short_help="Print a file with every setting.")
def example() -> None:
    """Print a commented file with every setting and its default. It works as it is."""
    from tidegate.config import example as text

    click.echo(text(), nl=False)


def file_here(environ: Mapping[str, str]) -> str | None:
    """The file in the working directory, unless a variable names another one."""
    return None if "TIDEGATE_CONFIG" in environ or not Path(DEFAULT_FILE).is_file() else DEFAULT_FILE


def summary(options: GatewayOptions) -> str:
    """What the file comes to, in a few words."""
    upstreams, keys = len(options.upstreams), len(options.auth.keys)
    return ", ".join(
        (
            f"{upstreams} upstream{'s' * (upstreams != 1)}",
            f"{keys} key{'s' * (keys != 1)}",
            "anonymous clients welcome" if options.auth.anonymous else "no anonymous clients",
        )
    )


def warnings(options: GatewayOptions) -> list[str]:
    """What works but is probably not meant."""
    from tidegate.config import is_loopback

    found = []
    if not options.auth.anonymous and not options.auth.keys and not options.ledger.on:
        found.append(
            "nobody can use this gateway: there is no [[auth.key]] (make one with: tidegate keys hash), "
            "no ledger to keep keys in, and [auth] anonymous is false"
        )
    if options.auth.anonymous and not is_loopback(options.server.host):
        found.append(
            f"anyone who can reach {options.server.host} can use your models: [auth] anonymous is true "
            "and the address is not loopback"
        )
    return found
