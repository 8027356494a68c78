"""Options that several commands have, said once."""

from __future__ import annotations

from typing import Final

import click

__all__ = ["API_KEY", "HEADERS", "JSON_FILE", "QUIET"]

API_KEY: Final = click.option(
    "--api-key", metavar="REFERENCE", help="env:NAME or file:PATH. [default: LLM_API_KEY or OPENAI_API_KEY, if set]"
)

HEADERS: Final = click.option(
    "--header",
    "headers",
    multiple=True,
    metavar="'NAME: VALUE'",
    help="Sent with each request; may be given more often.",
)

JSON_FILE: Final = click.option(
    "--json", "json_file", metavar="FILE", help="Write everything there as JSON; - is standard output."
)

QUIET: Final = click.option("--quiet", is_flag=True, help="No progress.")
