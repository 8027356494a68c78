"""``tidegate bench seed``: three ways of delivering the same answers to the same readers."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tidegate.bench.abandonment import Abandonment
from tidegate.cli.options import JSON_FILE, QUIET
from tidegate.cli.progress import ProgressLine
from tidegate.cli.running import on_interrupt, run_loop

if TYPE_CHECKING:
    from tidegate.bench.seed import SeedOptions, WayResult
    from tidegate.bench.visible import Screen

__all__ = ["seed"]

_MODEL = Abandonment()
_SECONDS = click.FloatRange(0.0)
_BROWSERS = ("chromium", "google-chrome", "chrome")


@click.command()
@click.option("--streams", default=50, show_default=True, type=click.IntRange(1, 2000), help="Readers at any moment.")
@click.option("--readers", default=200, show_default=True, type=click.IntRange(2), help="In all, for each way.")
@click.option(
    "--ttft",
    nargs=2,
    default=(0.38, 0.65),
    show_default=True,
    type=_SECONDS,
    metavar="LOW HIGH",
    help="The model's, in seconds.",
)
@click.option(
    "--answer",
    nargs=2,
    default=(3.0, 8.0),
    show_default=True,
    type=_SECONDS,
    metavar="LOW HIGH",
    help="Of a whole answer, in seconds.",
)
@click.option("--tps", default=40.0, show_default=True, type=click.FloatRange(1.0), help="The model's tokens a second.")
@click.option(
    "--patience",
    default=_MODEL.grace,
    show_default=True,
    type=_SECONDS,
    metavar="SECONDS",
    help="Of nothing visible, before the first reader leaves (Krishnan and Sitaraman 2012; Nah 2004).",
)
@click.option(
    "--impatience",
    default=_MODEL.slope,
    show_default=True,
    type=click.FloatRange(0.0, 1.0),
    metavar="SHARE",
    help="Of all readers, lost per second after that (Krishnan and Sitaraman 2012, for video).",
)
@click.option(
    "--distraction",
    default=_MODEL.distraction,
    show_default=True,
    type=click.FloatRange(0.0, 1.0),
    metavar="HAZARD",
    help="Per second until the answer is whole; an assumption without a source.",
)
@click.option("--seed", "number", default=1, show_default=True, type=int, help="Of the readers and their answers.")
@click.option(
    "--browser",
    default="auto",
    show_default=True,
    metavar="PATH|auto|none",
    help="A Chromium to see the answers in; auto takes chromium, google-chrome or chrome, if there is one.",
)
@click.option(
    "--pages", default=10, show_default=True, type=click.IntRange(2, 50), help="Asked in the browser, for each way."
)
@click.option(
    "--safety",
    default="strict",
    show_default=True,
    metavar="PROFILE|none",
    help="A safety profile, through which the events are delivered once more.",
)
@click.option(
    "--phones",
    default=4,
    show_default=True,
    type=click.IntRange(0, 16),
    help="Asked the same behind a link of 400 kbit/s and 150 ms each, with gzip and without; on Linux, for root.",
)
@JSON_FILE
@click.option(
    "--plot",
    "plot_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Save a plot, as .png or .svg. Needs: pip install 'tidegate[bench]'.",
)
@QUIET
def seed(
    streams: int,
    readers: int,
    ttft: tuple[float, float],
    answer: tuple[float, float],
    tps: float,
    patience: float,
    impatience: float,
    distraction: float,
    number: int,
    browser: str,
    pages: int,
    safety: str,
    phones: int,
    json_file: str | None,
    plot_file: Path | None,
    quiet: bool,
) -> None:
    """Deliver the same answers to the same readers in three ways: blocking, chunked NDJSON, and SSE with backpressure.

    It starts a simulated large model and a gateway as processes of their own, and measures TTFT, the first visible
    text, the gateway's memory, and, under a stated model of readers who leave, how many answers are read to their end
    and how many tokens are saved by stopping the others. Beside it stands what is commonly published for the three
    ways, with a note wherever the two are not the same quantity. About a minute and a half with its defaults, and as
    much again with a browser.

    What is seen, and when, is told by the gateway's own page in a Chromium, where one is found, and by what draws
    `tidegate chat`. Without the extra `terminal` it is the moment at which text arrives.

    What phones get is measured in network namespaces, whose links the kernel slows down; where it does not, the table
    says so and why. They are gone when it ends.

    \b
      tidegate bench seed
      tidegate bench seed --readers 500 --json seed.json --plot seed.svg
      tidegate bench seed --browser none
      tidegate bench seed --impatience 0 --distraction 0      nobody leaves
    """
    from tidegate.bench.seed import SeedOptions

    for name, (low, high) in (("--ttft", ttft), ("--answer", answer)):
        if low > high:
            raise click.UsageError(f"{name}: the lower value comes first")
    if plot_file is not None:
        from tidegate.bench.seed_plot import SUFFIXES, require

        if plot_file.suffix not in SUFFIXES:
            raise click.UsageError(f"--plot: {plot_file} is neither .png nor .svg")
        require()  # before the minutes, not after them
    screen, screen_name = _screen()
    options = SeedOptions(
        streams=min(streams, readers),
        readers=readers,
        ttft=ttft,
        answer=answer,
        tps=tps,
        abandonment=Abandonment(grace=patience, slope=impatience, distraction=distraction),
        seed=number,
        screen=screen,
        screen_name=screen_name,
        browser=_program(browser),
        pages=min(pages, readers),
        safety="" if safety == "none" else safety,
        phones=min(phones, readers),
    )
    results = run_loop(_seed(options, quiet or json_file == "-"))
    _write(results, options, json_file, plot_file)
    lost = sum(one.mobile.plain.failed + one.mobile.gzip.failed for one in results if one.mobile is not None)
    if lost or any(result.failed or result.pages_failed for result in results):
        raise SystemExit(1)


def _screen() -> tuple[Callable[[], Screen], str]:
    try:
        from tidegate.cli.seed_screen import TerminalScreen
    except ModuleNotFoundError:
        from tidegate.bench.visible import PlainText

        return PlainText, "plain text"
    return TerminalScreen, "terminal"


def _program(browser: str) -> str | None:
    if browser == "none":
        return None
    found = [path for path in map(shutil.which, _BROWSERS if browser == "auto" else (browser,)) if path]
    if not found and browser != "auto":
        raise click.UsageError(f"--browser: {browser} is not a program")
    return found[0] if found else None


async def _seed(options: SeedOptions, quiet: bool) -> list[WayResult]:
    from tidegate.bench.seed import measure

    line = ProgressLine(quiet=quiet)

    def tell(title: str, done: int, total: int) -> None:
        line.tell(f"{title}: {done} of {total}" + ("" if title.endswith(("pages", "phones")) else " readers"))

    running = asyncio.ensure_future(measure(options, tell))
    with on_interrupt(running.cancel):
        try:
            return await running
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
        finally:
            line.close()


def _write(results: list[WayResult], options: SeedOptions, json_file: str | None, plot_file: Path | None) -> None:
    from tidegate.bench.seed_report import document, table

    if json_file == "-":
        click.echo(json.dumps(document(results, options), indent=1))
    else:
        click.echo(table(results, options))
        if json_file is not None:
            Path(json_file).write_text(json.dumps(document(results, options), indent=1) + "\n", encoding="utf-8")
    if plot_file is not None:
        from tidegate.bench.seed_plot import plot

        plot(results, plot_file)
