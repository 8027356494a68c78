"""``tidegate version``."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

import click

from tidegate import __version__

__all__ = ["version"]

_PARTS = ("uvicorn", "uvloop", "httptools", "starlette", "msgspec", "xllamacpp")


@click.command()
@click.option("-v", "--verbose", is_flag=True, help="Also Python's and those of the parts that matter in a bug report.")
def version(verbose: bool) -> None:
    """Print the version."""
    click.echo(f"tidegate {__version__}")
    if verbose:
        click.echo(f"{platform.python_implementation()} {platform.python_version()} on {platform.platform()}")
        for part in _PARTS:
            click.echo(f"{part} {_version_of(part)}")


def _version_of(part: str) -> str:
    try:
        return installed(part)
    except PackageNotFoundError:
        return "not installed"
