"""``tidegate audit``: is the audit chain whole; and the chain as NDJSON."""

from __future__ import annotations

import json

import click

__all__ = ["audit"]


@click.group()
def audit() -> None:
    """Check the audit chain, or export it.

    Every admin action and every end of a stream is a record, sealed with the hash of the one before it.

    \b
      tidegate audit verify                     is anything altered, removed or re-ordered?
      tidegate audit export > audit.ndjson      the records, for somebody else to keep
    """


@audit.command("verify", short_help="Find a record that was altered, removed or re-ordered.")
@click.option("--head", metavar="HASH", help="A head that an earlier run printed: some record must have it.")
@click.option("-c", "--config", "file", metavar="FILE", help="The TOML file, for its [ledger].")
@click.option("--json", "as_json", is_flag=True, help="The verdict as one JSON object.")
def verify(head: str | None, file: str | None, as_json: bool) -> None:
    """Find a record that was altered, removed or re-ordered, and say where. Exits 1 when there is one.

    The rows of the ledger are compared with the chain too. Whoever can write to the database can write a new chain
    throughout; note the head that this prints elsewhere, and give it to --head later.
    """
    from tidegate.cli.ledger import opened_ledger
    from tidegate.ledger.verify import verify as check

    with opened_ledger(file) as database, database.reading() as connection:
        verdict = check(connection, head=head)
    if as_json:
        problems = [problem._asdict() for problem in verdict.problems]
        click.echo(json.dumps({**verdict._asdict(), "whole": not problems, "problems": problems}))
    else:
        for problem in verdict.problems:
            click.echo(f"record {problem.seq}: {problem.what}")
        if verdict.more:
            click.echo(f"and {verdict.more} more")
        state = "not whole" if verdict.problems else "whole"
        click.echo(f"The chain is {state}: {verdict.records} records, {verdict.legs} rows compared.")
        click.echo(f"head {verdict.head}")
    if verdict.problems:
        raise click.exceptions.Exit(1)


@audit.command("export", short_help="Print the records as NDJSON.")
@click.option("--after", type=click.IntRange(0), default=0, show_default=True, help="Only records behind this number.")
@click.option("-c", "--config", "file", metavar="FILE", help="The TOML file, for its [ledger].")
def export(after: int, file: str | None) -> None:
    """Print the records, one JSON object a line, oldest first: seq, id, at, action, actor, subject, detail, hash."""
    from tidegate.cli.ledger import opened_ledger
    from tidegate.ledger.verify import records

    with opened_ledger(file) as database, database.reading() as connection:
        for record in records(connection, after):
            click.echo(json.dumps(record, ensure_ascii=False))
