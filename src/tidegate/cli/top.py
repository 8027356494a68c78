"""``tidegate top``: the live table of a gateway's streams."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys

import click

from tidegate.cli.endpoint import with_endpoint
from tidegate.client.config import endpoint_of
from tidegate.terminal.board import Board

__all__ = ["top"]


@click.command()
@with_endpoint
@click.option("--once", is_flag=True, help="Print the table once and end.")
@click.option("--json", "as_json", is_flag=True, help="With --once: as JSON, for scripts.")
def top(url: str, key: str | None, once: bool, as_json: bool) -> None:
    """Watch the streams of a gateway: who streams what, from where, how fast, and how it ended.

    A key sees its own streams, an admin's key all. Arrow keys select, s stops a stream softly (its answer so far ends
    cleanly), x cancels it, / filters by client, model, upstream, state or id, q leaves.

    \b
      tidegate top
      tidegate top --url https://gateway.example.com --key "$ADMIN_KEY"
      tidegate top --once --json | jq '.streams[] | select(.tokens > 1000) | .id'
    """
    if as_json and not once:
        raise click.UsageError("--json goes with --once")
    if not once and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("this needs a terminal; in a script use --once --json")
    asyncio.run(_top(endpoint_of(url).base, key, once, as_json))


async def _top(base: str, key: str | None, once: bool, as_json: bool) -> None:
    import aiohttp

    from tidegate.terminal.watch import GatewayApi, watch

    async with aiohttp.ClientSession(trust_env=True) as session:
        api = GatewayApi(session, base, key)
        if not once:
            await watch(api, base)
            return
        listed = await api.listed()
    streams = listed["data"]
    board = Board(base, readers=listed.get("readers", {}), partial=listed.get("partial") is True)
    board.update(len(streams), streams, 0.0)
    if as_json:
        click.echo(json.dumps(board.summary(), ensure_ascii=False))
        return
    lines = board.screen(max(80, shutil.get_terminal_size().columns), len(streams) + 6)
    click.echo("\n".join(click.unstyle(line).rstrip() for line in [lines[0], *lines[3:-1]]))
