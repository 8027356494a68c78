"""``tidegate batch IN OUT``: a file of requests, answered."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from tidegate.batch.options import BatchOptions
from tidegate.cli.options import API_KEY, QUIET
from tidegate.cli.progress import ProgressLine
from tidegate.cli.running import key_of, on_interrupt, run_loop
from tidegate.errors import InvalidRequest

if TYPE_CHECKING:
    from tidegate.batch.engine import Batch, Price, Progress

__all__ = ["batch"]

_DEFAULT = BatchOptions()


@click.command()
@click.argument("source", metavar="IN.jsonl", type=click.Path(path_type=Path))
@click.argument("output", metavar="OUT.jsonl", type=click.Path(path_type=Path))
@click.option(
    "--url",
    default="http://127.0.0.1:8080",
    show_default=True,
    help="The server; the path of each request is in its line.",
)
@API_KEY
@click.option(
    "--start",
    default=_DEFAULT.start,
    show_default=True,
    type=click.IntRange(1),
    metavar="N",
    help="Requests in flight at first.",
)
@click.option(
    "--most",
    default=_DEFAULT.most,
    show_default=True,
    type=click.IntRange(1, 10_000),
    metavar="N",
    help="Requests in flight at most.",
)
@click.option(
    "--tolerance",
    default=_DEFAULT.tolerance,
    show_default=True,
    type=click.FloatRange(1.0),
    metavar="TIMES",
    help="How many times slower per token than at its best the server may become before it is asked for less.",
)
@click.option(
    "--retries",
    default=_DEFAULT.retries,
    show_default=True,
    type=click.IntRange(0),
    metavar="N",
    help="Of one request, after failures that may pass.",
)
@click.option(
    "--retry-delay",
    default=_DEFAULT.retry_delay,
    show_default=True,
    type=click.FloatRange(0.0),
    metavar="SECONDS",
    help="Of the first retry; doubles, with full jitter.",
)
@click.option(
    "--timeout",
    default=_DEFAULT.timeout,
    show_default=True,
    type=click.FloatRange(0.01),
    metavar="SECONDS",
    help="For one answer.",
)
@click.option("--price-in", type=click.FloatRange(0.0), metavar="PRICE", help="Of a million prompt tokens.")
@click.option("--price-out", type=click.FloatRange(0.0), metavar="PRICE", help="Of a million output tokens.")
@click.option("--overwrite", is_flag=True, help="Begin anew, although there is an output or a journal.")
@click.option("--fresh", is_flag=True, help="A new connection for each request (for comparison).")
@QUIET
def batch(
    source: Path,
    output: Path,
    url: str,
    api_key: str | None,
    price_in: float | None,
    price_out: float | None,
    overwrite: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Answer every request in IN.jsonl, and write the answers to OUT.jsonl in the same order.

    Both are in OpenAI's batch format. As many requests are in flight as the server bears: more while it goes well, half
    as many when it answers 429 or 503. Ctrl-C waits for what was sent and stops; the same command goes on from there,
    also after a crash, and sends nothing again that has its answer. Requests that failed for good are in
    OUT.errors.jsonl, and the same command tries them again.

    \b
      {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": …, "messages": […]}}
      tidegate batch questions.jsonl answers.jsonl --url http://127.0.0.1:8080
    """
    if source.resolve() == output.resolve():
        raise click.UsageError("IN.jsonl and OUT.jsonl are the same file")
    _make_way(output, overwrite)
    options = BatchOptions(**given)
    price = None if price_in is None and price_out is None else _priced(price_in or 0.0, price_out or 0.0)
    code = run_loop(_batch(source, output, server_of(url), key_of(api_key), options, price, quiet))
    if code:
        raise SystemExit(code)


def _make_way(output: Path, overwrite: bool) -> None:
    from tidegate.batch.files import journal_file

    journal = journal_file(output)
    if overwrite:
        journal.unlink(missing_ok=True)
    elif output.exists() and not journal.exists():
        raise InvalidRequest(f"{output} is there already; --overwrite begins anew.")


def server_of(url: str) -> str:
    """The URL without the version segment that each request's own path begins with.

    :raises InvalidRequest: it is no http or https URL.
    """
    from tidegate.bench.target import target_of

    return target_of(url).base_url.removesuffix("/v1")


def _priced(price_in: float, price_out: float) -> Price:
    return lambda _model, prompt, output: (prompt * price_in + output * price_out) / 1e6


async def _batch(
    source: Path,
    output: Path,
    server: str,
    key: str,
    options: BatchOptions,
    price: Price | None,
    quiet: bool,
) -> int:
    from tidegate.batch.engine import Batch
    from tidegate.batch.files import Input, journal_file, write_outputs
    from tidegate.batch.journal import Journal
    from tidegate.upstream.client import UpstreamClient
    from tidegate.upstream.options import UpstreamOptions

    journal_path = journal_file(output)
    line = ProgressLine(quiet=quiet)
    async with AsyncExitStack() as stack:
        requests = Input(source)
        stack.callback(requests.close)
        client = UpstreamClient(
            UpstreamOptions(
                name=urlsplit(server).netloc,
                base_url=server,
                api_keys=(key,) if key else (),
                max_connections=options.most,
                max_idle_connections=0 if options.fresh else options.most,
            )
        )
        stack.push_async_callback(client.close)
        journal = await stack.enter_async_context(Journal(journal_path))
        todo = [request for request in requests.requests if not journal.is_good(request)]
        _say_resumed(len(requests.requests) - len(todo), sum(map(journal.in_doubt, todo)), line)
        work = Batch(
            todo,
            total=len(todo),
            body=requests.body,
            client=client,
            journal=journal,
            options=options,
            price=price,
        )
        telling = asyncio.create_task(_tell(work, line))
        stack.callback(line.close)
        stack.callback(telling.cancel)
        with on_interrupt(lambda: _stop(work, line)):
            began = monotonic()
            await work.run()
        line.close()
        left = work.progress.total - work.progress.good - work.progress.failed
        if left:
            click.echo(f"stopped with {left:,} of {len(requests.requests):,} requests to go; the same command goes on")
            return 130
        good, failed = write_outputs(requests.requests, journal, output)
        click.echo(_summary(good, failed, work.progress, monotonic() - began, output))
    if failed:
        return 1
    journal_path.unlink()
    return 0


def _say_resumed(good: int, in_doubt: int, line: ProgressLine) -> None:
    if good:
        line.tell(f"{good:,} requests have their answers already", now=True)
    if in_doubt:
        line.tell(f"{in_doubt:,} requests were sent and not answered when it stopped: they are sent again", now=True)


def _stop(work: Batch, line: ProgressLine) -> None:
    work.stop()
    line.tell("stopping: what was sent is waited for (Ctrl-C again: not even that)", now=True)


async def _tell(work: Batch, line: ProgressLine) -> None:
    began, before, at = monotonic(), 0, monotonic()
    while True:
        await asyncio.sleep(0.25)
        if line.due:
            now = monotonic()
            line.tell(_progress(work.progress, now - began, (work.progress.output_tokens - before) / (now - at)))
            before, at = work.progress.output_tokens, now


def _progress(now: Progress, seconds: float, rate: float) -> str:
    done = now.good + now.failed
    share = done / now.total if now.total else 1.0
    filled = int(20 * share)
    parts = [
        f"{'━' * filled}{'─' * (20 - filled)} {done:,}/{now.total:,}",
        f"{now.in_flight} in flight (limit {now.limit})",
        f"{now.prompt_tokens + now.output_tokens:,} tokens ({rate:,.0f} a second out)",
    ]
    if now.cost is not None:
        parts.append(f"cost {now.cost:,.4f}")
    if now.failed:
        parts.append(f"{now.failed:,} failed")
    if now.refusals:
        parts.append(f"{now.refusals:,} refused")
    if done:
        left = int(seconds / done * (now.total - done))
        parts.append(f"{left // 60}:{left % 60:02} left")
    return "  ".join(parts)


def _summary(good: int, failed: int, now: Progress, seconds: float, output: Path) -> str:
    from tidegate.batch.files import errors_file

    text = f"{good:,} answers in {output}"
    if failed:
        text += f", {failed:,} failed in {errors_file(output)} (the same command tries them again)"
    text += f"\n{now.prompt_tokens:,} prompt and {now.output_tokens:,} output tokens in {seconds:.1f} s"
    if now.cost is not None:
        text += f", cost {now.cost:,.4f}"
    if now.retries:
        text += f"; {now.retries:,} tries again, {now.refusals:,} of them after a 429 or 503"
    return text
