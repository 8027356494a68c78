"""``tidegate bench load URL``: a load test of any OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click

from tidegate.bench.options import LoadOptions, Thresholds
from tidegate.bench.report import LoadReport, Snapshot, breaches, table
from tidegate.cli.options import API_KEY, HEADERS, JSON_FILE, QUIET
from tidegate.cli.progress import ProgressLine, ms
from tidegate.cli.running import headers_of, key_of, on_interrupt, run_loop

__all__ = ["load"]

_DEFAULT = LoadOptions()
_LIMITS = Thresholds()
_SHARE = click.FloatRange(0.0, 1.0)
_SECONDS = click.FloatRange(0.0)
_MS = click.FloatRange(0.0)


@click.command()
@click.argument("url")
@click.option(
    "--streams",
    default=_DEFAULT.streams,
    show_default=True,
    type=click.IntRange(1, 20_000),
    help="Open at any moment: when one ends, the next begins.",
)
@click.option(
    "--duration",
    default=_DEFAULT.duration,
    show_default=True,
    type=_SECONDS,
    metavar="SECONDS",
    help="No stream begins after this; 0 is no limit, with --requests.",
)
@click.option("--requests", default=_DEFAULT.requests, type=click.IntRange(0), metavar="N", help="End after N streams.")
@click.option(
    "--ramp",
    default=_DEFAULT.ramp,
    show_default=True,
    type=_SECONDS,
    metavar="SECONDS",
    help="Over which the first streams begin.",
)
@click.option("--model", default=_DEFAULT.model, show_default=True, help="Asked for in each request.")
@click.option(
    "--max-tokens", default=_DEFAULT.max_tokens, type=click.IntRange(0), metavar="N", help="Asked for in each request."
)
@click.option(
    "--prompts",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help='One a line: text, {"prompt": …}, {"messages": …} or an OpenAI batch line.',
)
@click.option("--framing", default=_DEFAULT.framing, show_default=True, type=click.Choice(["sse", "ndjson"]))
@click.option(
    "--cancel",
    "cancel_share",
    default=_DEFAULT.cancel_share,
    show_default=True,
    type=_SHARE,
    metavar="SHARE",
    help="Of the streams that hang up midway.",
)
@click.option(
    "--cancel-after",
    default=_DEFAULT.cancel_after,
    show_default=True,
    type=click.IntRange(1),
    metavar="TOKENS",
    help="When they do.",
)
@click.option(
    "--idle-timeout",
    default=_DEFAULT.idle_timeout,
    show_default=True,
    type=click.FloatRange(0.05),
    metavar="SECONDS",
    help="Silence that counts as a failure.",
)
@click.option("--fresh", is_flag=True, help="A new connection for each stream.")
@API_KEY
@HEADERS
@click.option("--seed", default=_DEFAULT.seed, show_default=True, type=int, help="Of the choice which streams hang up.")
@click.option(
    "--simulator",
    metavar="URL",
    help="The model server behind, when it is `tidegate simulate`: adds cancel latency and added TTFT.",
)
@click.option("--pid", type=click.IntRange(1), help="The gateway's process: adds its memory, children included.")
@JSON_FILE
@QUIET
@click.option("--max-ttft-p50", "ttft_p50", type=_MS, metavar="MS", help="Fail above it.")
@click.option("--max-ttft-p99", "ttft_p99", type=_MS, metavar="MS", help="Fail above it.")
@click.option("--max-tpot-p99", "tpot_p99", type=_MS, metavar="MS", help="Fail above it.")
@click.option("--max-gap-p99", "gap_p99", type=_MS, metavar="MS", help="Fail above it.")
@click.option(
    "--max-cancel-p99",
    "cancel_p99",
    default=200.0,
    show_default=True,
    type=_MS,
    metavar="MS",
    help="Fail above it; with --simulator.",
)
@click.option(
    "--max-errors",
    "errors",
    default=_LIMITS.errors,
    show_default=True,
    type=_SHARE,
    metavar="SHARE",
    help="Of the streams that may fail honestly.",
)
@click.option(
    "--max-memory-growth",
    "memory_growth",
    default=_LIMITS.memory_growth,
    show_default=True,
    type=click.FloatRange(0.0),
    metavar="SHARE",
    help="Once warm (two streams in each place), last quarter against first; with --pid.",
)
@click.option(
    "--min-tokens-per-second", "tokens_per_second", type=click.FloatRange(0.0), metavar="N", help="Fail below it."
)
def load(
    url: str,
    prompts: Path | None,
    api_key: str | None,
    simulator: str | None,
    pid: int | None,
    json_file: str | None,
    quiet: bool,
    **given: Any,
) -> None:
    """Load the chat endpoint at URL with streams, and judge how each of them ends.

    Without any option it is an acceptance test: 50 concurrent streams for 30 seconds, a fifth of which hang up midway.
    Every stream must end honestly: with a finish reason, with an error that an SDK notices, or with a connection that
    visibly broke. It exits with 1 when that or a threshold is not met.

    URL is an endpoint (…/chat/completions), a base URL (…/v1) or a server alone.

    \b
      tidegate simulate --port 8000 &
      tidegate serve --port 8080 --upstream http://127.0.0.1:8000/v1 &
      tidegate bench load http://127.0.0.1:8080 --simulator http://127.0.0.1:8000 --pid $!
    """
    from tidegate.bench.prompts import prompts_of

    limits = Thresholds(**{field.name: _limit(field.name, given) for field in dataclasses.fields(Thresholds)})
    if prompts is not None:
        given["prompts"] = prompts_of(prompts.read_text(encoding="utf-8", errors="replace"), prompts.name)
    given["headers"] = headers_of(given["headers"])
    if not given["duration"] and not given["requests"]:
        raise click.UsageError("--duration 0 needs --requests")
    report = run_loop(_load(url, LoadOptions(**given), key_of(api_key), simulator, pid, quiet or json_file == "-"))
    _show(report, limits, json_file)


def _limit(name: str, given: dict[str, Any]) -> Any:
    """Takes a threshold out of what was given; those of times are in milliseconds there."""
    value = given.pop(name)
    return value / 1e3 if value is not None and name.endswith(("_p50", "_p99")) else value


async def _load(
    url: str, options: LoadOptions, key: str, simulator: str | None, pid: int | None, quiet: bool
) -> LoadReport:
    from tidegate.bench.far_end import FarEnd
    from tidegate.bench.load import LoadTest
    from tidegate.bench.memory import MemoryWatch
    from tidegate.bench.target import target_of

    line = ProgressLine(quiet=quiet)
    async with AsyncExitStack() as stack:
        far_end = FarEnd(simulator) if simulator is not None else None
        if far_end is not None:
            stack.push_async_callback(far_end.close)
        memory = await stack.enter_async_context(MemoryWatch(pid)) if pid is not None else None
        test = LoadTest(target_of(url), options, key=key, far_end=far_end, memory=memory)
        telling = asyncio.create_task(_tell(test, line))
        stack.callback(line.close)
        stack.callback(telling.cancel)
        stack.enter_context(on_interrupt(test.stop))
        return await test.run()


async def _tell(test: Any, line: ProgressLine) -> None:
    before: Snapshot | None = None
    while True:
        await asyncio.sleep(0.25)
        if line.due:
            now = test.snapshot()
            line.tell(_progress(now, before))
            before = now


def _progress(now: Snapshot, before: Snapshot | None) -> str:
    tokens, seconds = now.tokens, now.seconds
    if before is not None:
        tokens, seconds = tokens - before.tokens, seconds - before.seconds
    parts = [
        f"{now.seconds:4.0f} s",
        f"{now.live} live",
        f"{now.complete} complete",
        f"{now.cancelled} cancelled",
        f"{now.failed} failed",
        f"{max(0.0, tokens / max(seconds, 1e-3)):,.0f} tok/s",
        f"TTFT {ms(now.ttft_p50)}",
    ]
    return "  ".join(parts + ([f"{now.rss / 1e6:.0f} MB"] if now.rss else []))


def _show(report: LoadReport, limits: Thresholds, json_file: str | None) -> None:
    found = breaches(report, limits)
    if json_file is not None:
        derived = {
            "tokens_per_second": report.tokens_per_second,
            "memory_growth": report.memory_growth,
            "thresholds": dataclasses.asdict(limits),
            "breaches": found,
        }
        text = json.dumps({**dataclasses.asdict(report), **derived}, indent=1)
        if json_file == "-":
            click.echo(text)
        else:
            Path(json_file).write_text(text + "\n", encoding="utf-8")
    if json_file != "-":
        click.echo(table(report))
        click.echo("\n" + ("passed" if not found else "\n".join(f"failed: {line}" for line in found)))
    if report.stopped:
        raise SystemExit(130)
    if found:
        raise SystemExit(1)
