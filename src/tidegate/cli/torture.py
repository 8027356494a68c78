"""``tidegate torture URL``: any gateway before a model server that lies."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from tidegate.cli.listening import cannot_listen
from tidegate.cli.options import HEADERS, JSON_FILE
from tidegate.cli.running import headers_of, on_interrupt, run_loop

if TYPE_CHECKING:
    from tidegate.torture.cases import Case
    from tidegate.torture.suite import Result, Suite

__all__ = ["torture"]


@click.command()
@click.argument("url", required=False)
@click.option(
    "--upstream-port",
    default=8001,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Where the lying model server listens; 0 takes a free one and prints it.",
)
@click.option("--model", default="torture", show_default=True, help="A model that the gateway sends there.")
@click.option("--api-key", metavar="REFERENCE", help="The client's key for the gateway: env:NAME or file:PATH.")
@HEADERS
@click.option(
    "--framing",
    default="sse",
    show_default=True,
    type=click.Choice(["sse", "ndjson"]),
    help="Asked for with the Accept header; lines are for gateways that have them.",
)
@click.option("--only", multiple=True, metavar="GLOB", help="Cases, by name; may be given more than once.")
@click.option("--list", "listing", is_flag=True, help="Print the cases, and stop.")
@click.option(
    "--patience",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0.1),
    metavar="SECONDS",
    help="Silence after which an answer is given up. Set the gateway's own timeouts below it.",
)
@click.option(
    "--recovery",
    default=30.0,
    show_default=True,
    type=click.FloatRange(0.1),
    metavar="SECONDS",
    help="How long a gateway may need before it answers a good case again.",
)
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write JUnit XML there.")
@click.option("--markdown", type=click.Path(path_type=Path), metavar="FILE", help="Write a table there.")
@JSON_FILE
def torture(
    url: str | None,
    upstream_port: int,
    model: str,
    api_key: str | None,
    headers: tuple[str, ...],
    framing: str,
    only: tuple[str, ...],
    listing: bool,
    patience: float,
    recovery: float,
    junit: Path | None,
    markdown: Path | None,
    json_file: str | None,
) -> None:
    """Put the gateway at URL before a model server that lies, and see what it makes of each lie.

    The model server listens on --upstream-port; the gateway must be told to use it. A case stands in the prompt, so
    any model name will do that the gateway sends there (--model). It exits with 1 when a case did not end honestly.

    \b
      tidegate serve --upstream http://127.0.0.1:8001/v1 &
      tidegate torture http://127.0.0.1:8080 --upstream-port 8001 --junit torture.xml
      tidegate torture --list

    How to point LiteLLM, Portkey, nginx and vllm-router at it is in the documentation (How-to: Torture a gateway).
    """
    from tidegate.torture.cases import chosen

    cases = chosen(only)
    if not cases:
        raise click.UsageError(f"no case matches {' '.join(only)}; see --list")
    if listing:
        width = max(len(case.name) for case in cases)
        click.echo("\n".join(f"{case.name:<{width}}  {case.does} -> {case.wanted}" for case in cases))
        return
    if url is None:
        raise click.UsageError("Missing argument 'URL'")
    more = headers_of(headers)
    if framing == "ndjson":
        more.setdefault("accept", "application/x-ndjson")
    results = run_loop(_torture(url, upstream_port, model, api_key, more, cases, patience, recovery))
    _write(results, url, junit, markdown, json_file)
    if not all(result.honest for result in results):
        raise SystemExit(1)


def _write(results: list[Result], url: str, junit: Path | None, markdown: Path | None, json_file: str | None) -> None:
    from tidegate.torture import report

    if junit is not None:
        junit.write_text(report.as_junit(results, url), encoding="utf-8")
    if markdown is not None:
        markdown.write_text(report.as_markdown(results), encoding="utf-8")
    if json_file == "-":
        click.echo(report.as_json(results, url), nl=False)
    elif json_file is not None:
        Path(json_file).write_text(report.as_json(results, url), encoding="utf-8")
    click.echo(report.summary(results), err=json_file == "-")


async def _torture(
    url: str,
    port: int,
    model: str,
    api_key: str | None,
    headers: dict[str, str],
    cases: tuple[Case, ...],
    patience: float,
    recovery: float,
) -> list[Result]:
    from tidegate.bench.target import target_of
    from tidegate.torture.client import Client
    from tidegate.torture.suite import Suite
    from tidegate.torture.upstream import LyingUpstream
    from tidegate.upstream.secrets import resolve

    key = resolve(api_key, os.environ) if api_key else "sk-torture-client"
    client = Client(urlsplit(target_of(url).url), model, {"authorization": f"Bearer {key}", **headers})
    upstream = LyingUpstream((model,))
    try:
        await upstream.start("127.0.0.1", port)
    except OSError as error:
        raise cannot_listen(error, "127.0.0.1", port) from None
    results: list[Result] = []
    try:
        click.echo(f"The lying model server is ready: {upstream.url}  (the gateway: {url})", err=True)
        suite = Suite(client, upstream, key=key, patience=patience, recovery=recovery)
        running = asyncio.ensure_future(_run(suite, cases, results))
        with on_interrupt(running.cancel):
            try:
                await running
            except asyncio.CancelledError:
                raise KeyboardInterrupt from None
    finally:
        await upstream.close()
    return results


async def _run(suite: Suite, cases: tuple[Case, ...], results: list[Result]) -> None:
    from tidegate.torture.report import line

    def tell(result: Result) -> None:
        results.append(result)
        click.echo(line(result), err=True)

    await suite.ready()
    await suite.run(cases, tell)
