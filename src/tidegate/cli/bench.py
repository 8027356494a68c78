"""``tidegate bench``: measuring from outside. One file per measurement."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click

__all__ = ["bench"]

MEASUREMENTS: Mapping[str, tuple[str, str]] = {
    "load": ("tidegate.cli.bench_load:load", "Load any OpenAI-compatible endpoint with streams."),
    "seed": ("tidegate.cli.bench_seed:seed", "Blocking, NDJSON and SSE side by side: does streaming pay?"),
}


class Measurements(click.Group):
    """Imports only the one that runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(MEASUREMENTS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in MEASUREMENTS:
            return None
        module, _, name = MEASUREMENTS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in MEASUREMENTS.items()])


@click.group(cls=Measurements)
def bench() -> None:
    """Measure a gateway from outside.

    \b
      tidegate bench load http://127.0.0.1:8080     does it hold 50 streams, and end each of them honestly?
      tidegate bench seed                           what do readers gain by streaming?
    """
