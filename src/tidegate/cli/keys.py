"""``tidegate keys``: the bearer keys that applications use; made at run time, or for the configuration."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from tidegate.cli.config import file_here
from tidegate.policy.keys import hash_key, is_hash, looks_like_ours, new_key, well_formed

if TYPE_CHECKING:
    from tidegate.server.virtual_keys import VirtualKeys

__all__ = ["keys"]

# A key is kept as a plain SHA-256, which is safe only for what cannot be guessed (policy/keys.py says why).
_LEAST_LENGTH = 32

_Command = Callable[..., None]


@click.group()
def keys() -> None:
    """Make, list, rotate and revoke the keys that applications use. A running gateway knows at once.

    \b
      tidegate keys create --name web --rpm 60 --tag team=search --budget 5.00/day
      tidegate keys list
      tidegate keys rotate web --grace 1h
      tidegate keys revoke web --cut

    They are kept in the ledger that the configuration names ([ledger] url). A key can stand in the configuration
    itself instead:

    \b
      tidegate keys hash --id web >> tidegate.toml
    """


def _with_ledger(command: _Command) -> _Command:
    command = click.option("--json", "as_json", is_flag=True, help="As the admin API tells it.")(command)
    return click.option(
        "-c", "--config", "file", metavar="FILE", help="The TOML file; ./tidegate.toml is found by itself."
    )(command)


@keys.command(short_help="A new key, shown once.")
@click.option("--name", required=True, help="What it is called in lists and reports.")
@click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="What costs are told apart by; any number.")
@click.option("--model", "models", multiple=True, metavar="GLOB", help="What it may use; any number. [default: all]")
@click.option("--rpm", type=int, metavar="N", help="Requests a minute. [default: any number]")
@click.option("--tpm", type=int, metavar="N", help="Tokens a minute, of prompts and answers.")
@click.option("--concurrent", type=int, metavar="N", help="Streams at the same time.")
@click.option("--budget", metavar="USD/PERIOD", help="Such as 5.00/day; or /week, /month, /total.")
@click.option("--expires", metavar="TIME", help="Such as 30d, or a date.")
@click.option("--on-disconnect", metavar="WHAT", help="cancel or drain, when a reader leaves. [default: as configured]")
@click.option("--safety", metavar="PROFILE", help="A safety profile, on top of that of every request.")
@click.option("--compression", is_flag=True, help="Its answers are compressed where [server] compression is auto.")
@click.option("--obfuscation", is_flag=True, help="The sizes of its events tell nothing of token lengths.")
@click.option("--admin", is_flag=True, help="It sees and stops every stream, and may use /admin.")
@_with_ledger
def create(tags: Sequence[str], models: Sequence[str], file: str | None, as_json: bool, **given: Any) -> None:
    """Make a key. Its secret is printed this once and kept nowhere; what is kept is its hash.

    \b
      tidegate keys create --name web
      tidegate keys create --name batch --rpm 600 --tpm 200000 --concurrent 8 --model 'gpt-4o*' --expires 30d
      KEY=$(tidegate keys create --name ci --json | jq -r .key)
    """
    from tidegate.errors import InvalidRequest
    from tidegate.policy.key_specs import spec_of

    fields = {name: value for name, value in given.items() if value is not None and value is not False}
    fields["tags"] = dict(map(_pair, tags))
    fields["models"] = list(models)
    try:
        spec = spec_of(fields, time.time())
    except InvalidRequest as error:
        raise click.UsageError(error.message) from None
    with _opened(file) as kept:
        made = kept.create(spec)
    if as_json:
        _print(made)
        return
    _warn_of_secret(f"Key {made['id']} ({made['name']}).")
    click.echo(made["key"])


@keys.command("list", short_help="Every key, without its secret.")
@_with_ledger
def list_(file: str | None, as_json: bool) -> None:
    """Every key: what it may use, and until when."""
    with _opened(file) as kept:
        found = kept.list()
    if as_json:
        _print({"object": "list", "data": found})
        return
    if not found:
        click.echo("There is no key yet; make one with: tidegate keys create --name NAME", err=True)
        return
    rows = [("ID", "NAME", "STATE", "RPM", "TPM", "STREAMS", "BUDGET", "EXPIRES", "TAGS")]
    rows += [
        (
            key["id"],
            _short(key["name"]),
            key["state"],
            *(_number(key[limit]) for limit in ("rpm", "tpm", "concurrent")),
            _money(key["budget"]),
            (key["expires"] or "-")[:10],
            _short(",".join("=".join(tag) for tag in key["tags"].items()) or "-"),
        )
        for key in found
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@keys.command(short_help="One key, by id or name.")
@click.argument("key")
@_with_ledger
def show(key: str, file: str | None, as_json: bool) -> None:
    """Everything that is known of the key KEY (its id, or its name)."""
    with _opened(file) as kept:
        found = kept.show(key)
    if as_json:
        _print(found)
        return
    for name, value in found.items():
        if name != "object":
            click.echo(f"{name + ':':16}{_plain(name, value)}")


@keys.command(short_help="A new secret for a key.")
@click.argument("key")
@click.option("--grace", default="24h", show_default=True, help="How long the old secret stays good; 0s: no longer.")
@_with_ledger
def rotate(key: str, grace: str, file: str | None, as_json: bool) -> None:
    """Give the key KEY (its id, or its name) a new secret, shown this once. The old one stays good for a while."""
    from tidegate.errors import InvalidRequest
    from tidegate.policy.key_specs import duration_of

    try:
        seconds = duration_of(grace, "grace")
    except InvalidRequest as error:
        raise click.UsageError(error.message) from None
    with _opened(file) as kept:
        rotated = kept.rotate(key, float(seconds))
    if as_json:
        _print(rotated)
        return
    until = f" The old one is good until {rotated['previous_until']}." if rotated["previous_until"] else ""
    _warn_of_secret(f"A new secret for {rotated['id']} ({rotated['name']}).{until}")
    click.echo(rotated["key"])


@keys.command(short_help="Make a key useless.")
@click.argument("key")
@click.option("--cut", is_flag=True, help="End its live streams too.")
@_with_ledger
def revoke(key: str, cut: bool, file: str | None, as_json: bool) -> None:
    """The key KEY (its id, or its name) is good for no further request, on any gateway of its ledger."""
    with _opened(file) as kept:
        revoked = kept.revoke(key, cut=cut)
    if as_json:
        _print(revoked)
    else:
        click.echo(f"Revoked {revoked['id']} ({revoked['name']}).{' Its live streams end now.' if cut else ''}")


@keys.command("hash", short_help="A new key and its hash, or the hash of one that exists.")
@click.argument("token", required=False)
@click.option("--id", "name", default="my-app", show_default=True, help="The key's name in logs and metrics.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with id, hash and, of a new key, key.")
def hash_(token: str | None, name: str, as_json: bool) -> None:
    """A new key and its hash, or the hash of the key TOKEN; for the configuration.

    \b
      tidegate keys hash                              a new key, its hash, and the table for the file
      tidegate keys hash --id web >> tidegate.toml    the same; the table goes straight into the file
      tidegate keys hash - < key.txt                  the table for a key that exists

    Give "-" to read the key from stdin, which keeps it out of the shell's history. The configuration holds the hash
    only; nobody can make the key of it.
    """
    new = token is None
    if token is None:
        token = new_key()
    elif token == "-":  # noqa: S105 - stdin, not a secret
        token = sys.stdin.readline().strip()
    else:
        token = token.strip()
    if not new:
        _check(token)
    if as_json:
        _print({"id": name, **({"key": token} if new else {}), "hash": hash_key(token)})
        return
    if new:
        # On stderr, so that `>> tidegate.toml` keeps the table and not the key.
        click.echo(f"The key, shown this once; give it to the application:\n\n{token}\n", err=True)
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


@contextmanager
def _opened(file: str | None) -> Iterator[VirtualKeys]:
    """The keys of the configuration's ledger, for as long as it takes."""
    from tidegate.cli.ledger import database_of
    from tidegate.config import load
    from tidegate.errors import ConfigError
    from tidegate.ledger.keys import KeyStore
    from tidegate.server.virtual_keys import VirtualKeys
    from tidegate.upstream.secrets import resolve

    options = load(file or file_here(os.environ), os.environ, require_upstream=False)
    if not options.ledger.on:
        raise ConfigError('[ledger] url is "off", and there is nowhere else to keep keys')
    with database_of(options.ledger, make=True) as database:
        store = KeyStore(database)
        given = options.auth.secret
        secret = store.secret(resolve(given, os.environ).encode() if given else None)
        yield VirtualKeys(store, secret, actor="cli")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f'--tag {text!r} must be a name and a value, such as "team=search"')
    return name, value


def _warn_of_secret(line: str) -> None:
    # On stderr, so that `KEY=$(…)` is the secret alone.
    click.echo(f"{line} Its secret is shown this once; give it to the application:", err=True)


def _print(found: Mapping[str, Any]) -> None:
    click.echo(json.dumps(found, ensure_ascii=False, indent=2))


def _number(limit: int | None) -> str:
    return "-" if limit is None else str(limit)


def _money(budget: Mapping[str, Any] | None) -> str:
    return "-" if budget is None else f"{budget['amount']:.2f}/{budget['period']}"


def _short(text: str, most: int = 40) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _plain(name: str, value: Any) -> str:
    if name == "budget":
        return _money(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={text}" for key, text in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None else str(value)
