"""``tidegate keys``: make and hash the bearer keys that applications use."""

from __future__ import annotations

import json
import sys

import click

from tidegate.policy.keys import hash_key, is_hash, looks_like_ours, new_key, well_formed

__all__ = ["keys"]

# A key is kept as a plain SHA-256, which is safe only for what cannot be guessed (policy/keys.py says why).
_LEAST_LENGTH = 32


@click.group()
def keys() -> None:
    """Make and hash the bearer keys that applications use.

    \b
      tidegate keys hash                              a new key, its hash, and the table for the file
      tidegate keys hash --id web >> tidegate.toml    the same; the table goes straight into the file
      tidegate keys hash - < key.txt                  the table for a key that exists
    """


@keys.command("hash", short_help="A new key and its hash, or the hash of one that exists.")
@click.argument("token", required=False)
@click.option("--id", "name", default="my-app", show_default=True, help="The key's name in logs and metrics.")
def hash_(token: str | None, name: str) -> None:
    """A new key and its hash, or the hash of the key TOKEN.

    Give "-" to read the key from stdin, which keeps it out of the shell's history. The configuration holds the hash
    only; nobody can make the key of it.
    """
    if token is None:
        token = new_key()
        # On stderr, so that `>> tidegate.toml` keeps the table and not the key.
        click.echo(f"The key, shown this once; give it to the application:\n\n{token}\n", err=True)
    else:
        if token == "-":  # noqa: S105 - stdin, not a secret
            token = sys.stdin.readline()
        token = token.strip()
        _check(token)
    click.echo("For the configuration:\n", err=True)
    click.echo(f'[[auth.key]]\nid = {json.dumps(name, ensure_ascii=False)}\nhash = "{hash_key(token)}"')


def _check(token: str) -> None:
    if is_hash(token):
        raise click.UsageError("that is a hash already; put it into the file as it is")
    if looks_like_ours(token) and not well_formed(token):
        raise click.UsageError("that tg-... key is not whole: its checksum is wrong; copy it again")
    if len(token) < _LEAST_LENGTH or not token.isprintable() or " " in token:
        raise click.UsageError(
            f"a key must be random and at least {_LEAST_LENGTH} characters, without spaces; "
            "without an argument this command makes one"
        )
