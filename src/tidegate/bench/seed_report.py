"""PURE. The ways side by side, beside the figures that are commonly published for them."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tidegate.bench.mobile import Mobile
from tidegate.bench.pages import AT_ONCE
from tidegate.bench.seed import Filtered, SeedOptions, Spread, WayResult

__all__ = ["NOTES", "PUBLISHED", "Published", "document", "interval", "sources", "table"]


@dataclass(frozen=True, slots=True)
class Published:
    """As they go round, without their conditions: milliseconds, a share, megabytes."""

    ttft: tuple[int, int]
    perceived: tuple[int, int]
    completion: float
    memory: int


PUBLISHED: Final = {
    "blocking": Published((1200, 1800), (3500, 8000), 0.62, 420),
    "chunked": Published((400, 650), (180, 300), 0.89, 210),
    "sse": Published((380, 520), (120, 200), 0.94, 165),
}

_NOTES: Final = """
TTFT. Ours is request -> first token at the reader. A blocking answer has no first token: ours is the whole answer,
theirs (1200-1800 ms, less than any answer takes) must be something else, perhaps the first byte of the response or the
model's own TTFT. Not the same quantity.

Perceived. Ours is request -> first visible text, so it is never less than TTFT. Theirs is less than their TTFT for both
streams: it must begin at another moment. Not the same quantity.

Completion. Ours comes from a model of readers who leave, acted out over real connections, not from people. Its
parameters are above; the distraction is an assumption without a source. How theirs was found is not published.

Memory. Ours is the peak resident memory of the gateway process alone. Theirs is of an unnamed server at an unknown
load. Not the same quantity.

The model server is simulated, with the profile above; the gateway is `tidegate serve` with its defaults. Both streams
go through the same gateway and its backpressure, so they differ by framing alone.
"""
_BROWSER: Final = f"""
Browser. Perceived latency as the gateway's own page in headless Chromium measured it, from the submission to the second
frame after the first token came. The page has no blocking way: there a script in it measures, to the second frame after
the whole answer was put into the page. {AT_ONCE} windows at a time, after the readers have gone: a window is a process
that draws, and as many as there are readers would measure the machine. Nobody leaves them, so blocking has its longest
answers here too; and they are the first of the readers, so compare the ways in this row, not this row with another. It
is each page's second question: the first starts its worker and its connection.
"""
_MOBILE: Final = """
Mobile. The first readers' questions from phones, all at once, each in a network namespace of its own behind a link that
the kernel slows down: {shaped}. Bytes are those of the link, with the headers of Ethernet, IP and TCP; the time counts
from before the connection is made. Nobody leaves there.
"""
_NO_MOBILE: Final = "Mobile. Not measured, because there is no link to slow down. {why}"
_SCREENS: Final = {
    "terminal": """
Terminal. The write that shows the first text, by what draws `tidegate chat`, on a terminal in memory; of the readers
who stayed to see it. What a terminal itself takes is not in it.
""",
    "plain text": """
Plain text. The moment at which text arrives, of the readers who stayed to see it; what a renderer takes is not in it.
""",
}
NOTES: Final = tuple(" ".join(note.split()) for note in _NOTES.split("\n\n"))
"""Where ours and theirs are not the same."""


def sources(results: Sequence[WayResult], options: SeedOptions) -> list[str]:
    """Where the figures of perceived latency are from."""
    found = [_BROWSER] if any(result.pages for result in results) else []
    mobile = next((result.mobile for result in results if result.mobile is not None), None)
    found += [] if mobile is None else [_MOBILE.format(shaped=mobile.shaped)]
    found += [_NO_MOBILE.format(why=why) for why in dict.fromkeys(result.no_link for result in results) if why]
    found += [_SCREENS[options.screen_name]] if options.screen_name in _SCREENS else []
    return [" ".join(note.split()) for note in found]


def interval(part: int, whole: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    z = 1.96
    share = part / whole
    middle = (share + z * z / (2 * whole)) / (1 + z * z / whole)
    half = z / (1 + z * z / whole) * math.sqrt(share * (1 - share) / whole + z * z / (4 * whole * whole))
    return max(0.0, middle - half), min(1.0, middle + half)


def table(results: Sequence[WayResult], options: SeedOptions) -> str:
    """Markdown that reads well in a terminal."""
    heads = ["", *(result.way for result in results)]
    rows = [
        ["TTFT ms, p10-p90", *(_range(result.ttft) for result in results)],
        ["  published", *(_published_range(PUBLISHED[result.way].ttft) for result in results)],
        ["perceived ms, median (p10-p90)", *("" for _ in results)],
        *_browser_rows(results),
        [f"  {options.screen_name}", *(_middle(result.perceived) for result in results)],
        ["  published", *(_published_range(PUBLISHED[result.way].perceived) for result in results)],
        ["completion (a model)", *(_completion(result) for result in results)],
        ["  published", *(f"{PUBLISHED[result.way].completion:.0%}" for result in results)],
        ["peak memory MB", *(f"{result.peak_rss / 1e6:.0f}" for result in results)],
        ["  published", *(f"{PUBLISHED[result.way].memory}" for result in results)],
        ["total ms, p10-p90", *(_range(result.total) for result in results)],
        *_filter_rows(results),
        *_mobile_rows(results),
        ["cancelled", *(f"{result.cancelled:.1%}" for result in results)],
        ["  out of patience", *(f"{result.impatient / result.readers:.1%}" for result in results)],
        ["tokens saved by it", *(_saved(result) for result in results)],
        ["failed", *(str(result.failed) for result in results)],
    ]
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    lines = [_row(heads, widths), "|" + "|".join("-" * (width + 2) for width in widths) + "|"]
    lines += [_row(row, widths) for row in rows]
    notes = [*NOTES, *sources(results, options)]
    return f"{_conditions(options)}\n\n" + "\n".join(lines) + "\n\n" + "\n".join(map(_wrapped, notes))


def _filter_rows(results: Sequence[WayResult]) -> list[list[str]]:
    profile = next((result.filtered.profile for result in results if result.filtered is not None), "")
    if not profile:
        return []
    return [
        [f"added by the filter `{profile}`", *(_added(result.filtered) for result in results)],
        ["  published (compliance gates)", *("10-15%" if result.filtered is not None else "" for result in results)],
    ]


def _mobile_rows(results: Sequence[WayResult]) -> list[list[str]]:
    mobile = next((result.mobile for result in results if result.mobile is not None), None)
    if mobile is None:
        return [["mobile", *("not measured" for _ in results)]] if any(result.no_link for result in results) else []
    rows = [[f"mobile, {mobile.phones} phones: with gzip (without)", *("" for _ in results)]]
    for name, figure, scale in (
        ("bytes a token", "bytes_per_token", 1.0),
        ("gateway's CPU us a token", "cpu_per_token", 1e6),
        ("first visible text ms", "painted", 1e3),
    ):
        rows.append([f"  {name}", *(_coded(result.mobile, figure, scale) for result in results)])
    if any(one.mobile.plain.failed + one.mobile.gzip.failed for one in results if one.mobile is not None):
        failed = (one.mobile for one in results)
        rows.append(
            ["  failed", *("-" if each is None else str(each.plain.failed + each.gzip.failed) for each in failed)]
        )
    return rows


def _coded(mobile: Mobile | None, figure: str, scale: float) -> str:
    if mobile is None:
        return "-"
    found = (getattr(coding, figure) for coding in (mobile.gzip, mobile.plain))
    coded, plain = ("-" if value is None else f"{value * scale:.0f}" for value in found)
    return f"{coded} ({plain})"


def _added(filtered: Filtered | None) -> str:
    return "" if filtered is None else f"{filtered.total:+.2%}, TTFT {filtered.ttft * 1e3:+.0f} ms"


def _browser_rows(results: Sequence[WayResult]) -> list[list[str]]:
    pages = max(result.pages for result in results)
    if not pages:
        return []
    rows = [[f"  browser, {pages} pages", *(_middle(result.painted) for result in results)]]
    if any(result.pages_failed for result in results):
        rows.append(["    pages that failed", *(str(result.pages_failed) for result in results)])
    return rows


def _conditions(options: SeedOptions) -> str:
    model = options.abandonment
    return (
        f"{options.readers} readers, {options.streams} at a time; model: TTFT {_ms(options.ttft)} ms, answers "
        f"{options.answer[0]:g}-{options.answer[1]:g} s at {options.tps:g} tokens/s.\n"
        f"Readers who leave (a model): {model.slope:.1%} of all per second of nothing visible after {model.grace:g} s; "
        f"{model.distraction:.1%} per second anyway."
    )


def _wrapped(note: str) -> str:
    return textwrap.fill(note, 100, initial_indent="* ", subsequent_indent="  ")


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"


def _ms(pair: tuple[float, float]) -> str:
    return f"{pair[0] * 1e3:.0f}-{pair[1] * 1e3:.0f}"


def _range(spread: Spread | None) -> str:
    return "-" if spread is None else _ms((spread.p10, spread.p90))


def _middle(spread: Spread | None) -> str:
    return "-" if spread is None else f"{spread.p50 * 1e3:.0f} ({_range(spread)})"


def _published_range(pair: tuple[int, int]) -> str:
    return f"{pair[0]}-{pair[1]}"


def _completion(result: WayResult) -> str:
    low, high = interval(result.complete, result.readers)
    return f"{result.completion:.1%} ({low:.0%}-{high:.0%})"


def _saved(result: WayResult) -> str:
    return f"{result.tokens_saved:,} ({result.tokens_saved / max(1, result.tokens_planned):.1%})"


def document(results: Sequence[WayResult], options: SeedOptions) -> dict[str, Any]:
    """Everything, for a program. Seconds, shares, bytes; what was published in its own units."""
    settings = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    for name in ("screen", "browser"):
        settings.pop(name)
    settings["abandonment"] = dataclasses.asdict(options.abandonment)
    ways = {
        result.way: {
            **dataclasses.asdict(result),
            "completion": result.completion,
            "completion_interval": interval(result.complete, result.readers),
            "cancelled": result.cancelled,
            "perceived_in": "browser" if result.painted else options.screen_name,
            "published": dataclasses.asdict(PUBLISHED[result.way]),
        }
        for result in results
    }
    return {"options": settings, "ways": ways, "notes": [*NOTES, *sources(results, options)]}
