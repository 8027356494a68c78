"""The plot: four panels, ours beside what is published. Needs matplotlib, which is the extra ``bench``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from tidegate.bench.seed import Spread, WayResult
from tidegate.bench.seed_report import PUBLISHED, interval

__all__ = ["SUFFIXES", "plot", "require"]

SUFFIXES: Final = (".png", ".svg")
Bar: TypeAlias = tuple[float, float, float]
"""Height, and how far the error bar reaches down and up."""
_OURS, _THEIRS = "#0b6e99", "#b8b8b8"


def require() -> Any:
    """matplotlib, without a window.

    :raises ModuleNotFoundError: it is not installed.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    return mpl


def plot(results: Sequence[WayResult], path: Path) -> None:
    """Save it; the suffix of ``path`` chooses PNG or SVG."""
    require()
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=(9.0, 6.4))
    names = [result.way for result in results]
    published = [PUBLISHED[name] for name in names]
    panels: list[tuple[str, list[Bar], list[Bar]]] = [
        ("TTFT, s", [_bar(one.ttft) for one in results], [_pair(one.ttft) for one in published]),
        (
            "first visible text" + (" in a browser, s" if any(one.painted for one in results) else ", s"),
            [_bar(one.painted or one.perceived) for one in results],
            [_pair(one.perceived) for one in published],
        ),
        (
            "completion (ours: a model), %",
            [_share(one) for one in results],
            [_flat(one.completion * 100) for one in published],
        ),
        (
            "peak memory (ours: the gateway), MB",
            [_flat(one.peak_rss / 1e6) for one in results],
            [_flat(one.memory) for one in published],
        ),
    ]
    for axis, (title, ours, theirs) in zip(axes.flat, panels, strict=True):
        for offset, bars, colour, label in ((-0.2, ours, _OURS, "measured"), (0.2, theirs, _THEIRS, "published")):
            places = [place + offset for place in range(len(names))]
            spread = [[bar[1] for bar in bars], [bar[2] for bar in bars]]
            axis.bar(places, [bar[0] for bar in bars], 0.38, yerr=spread, color=colour, label=label, capsize=3)
        axis.set_xticks(range(len(names)), names)
        axis.set_title(title, fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    axes.flat[0].legend(frameon=False, fontsize=9)
    figure.text(
        0.5, 0.005, "Not the same quantities throughout: see the notes beside the table.", ha="center", fontsize=8
    )
    figure.tight_layout(rect=(0, 0.02, 1, 1))
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _bar(spread: Spread | None) -> Bar:
    return _flat(0.0) if spread is None else (spread.p50, spread.p50 - spread.p10, spread.p90 - spread.p50)


def _pair(milliseconds: tuple[int, int]) -> Bar:
    low, high = milliseconds[0] / 1e3, milliseconds[1] / 1e3
    return (low + high) / 2, (high - low) / 2, (high - low) / 2


def _flat(value: float) -> Bar:
    return value, 0.0, 0.0


def _share(result: WayResult) -> Bar:
    low, high = interval(result.complete, result.readers)
    share = result.completion
    return share * 100, max(0.0, share - low) * 100, max(0.0, high - share) * 100
