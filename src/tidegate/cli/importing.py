"""``tidegate import``: another gateway's configuration as one of ours."""

from __future__ import annotations

from pathlib import Path

import click

from tidegate.errors import ConfigError

__all__ = ["importing"]

MOST_BYTES = 4 * 1024 * 1024


@click.group("import")
def importing() -> None:
    """Write a configuration from that of another gateway.

    \b
      tidegate import litellm config.yaml > tidegate.toml
    """


@importing.command("litellm", short_help="From LiteLLM's proxy.")
@click.argument("file")
def litellm(file: str) -> None:
    """Print the equivalent of LiteLLM's FILE, and on standard error what could not be carried over.

    Keys become references to the variables that LiteLLM takes them from; one that stands in the file itself is not
    repeated.
    """
    import yaml

    from tidegate.config.litellm import import_litellm

    with Path(file).open("rb") as source:
        data = source.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ConfigError(f"{file} is larger than {MOST_BYTES} bytes.")
    try:
        document = yaml.safe_load(data)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        raise ConfigError(f"{file} is not YAML.") from None
    imported = import_litellm(document)
    click.echo(imported.text, nl=False)
    for note in imported.notes:
        click.echo(f"not carried over: {note}", err=True)
