"""The plot. matplotlib is a dependency of the benchmark only (group ``bench``)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

__all__ = ["plot"]

PANELS = (("cpu_per_token", 1e6, "CPU µs per token"), ("transit_p99", 1e3, "transit p99, ms"))
COLOURS = {"tidegate": "#0b6e99", "tidegate-ndjson": "#4aa3c7", "tidegate-plain": "#9fcbe0"}


def plot(rows: list[dict[str, Any]], path: Path) -> bool:
    """Two rows of bars (CPU per token, transit p99; logarithmic), one column per shape. False without matplotlib."""
    try:
        import matplotlib as mpl
    except ImportError:
        return False
    mpl.use("Agg")
    from matplotlib import pyplot

    shapes = list(dict.fromkeys(row["shape"] for row in rows))
    figure, axes = pyplot.subplots(len(PANELS), len(shapes), figsize=(4.4 * len(shapes), 6.4), squeeze=False)
    for column, shape in enumerate(shapes):
        mine = [row for row in rows if row["shape"] == shape]
        for line, (name, scale, title) in enumerate(PANELS):
            shown = [row for row in mine if not math.isnan(row[name])]
            axis = axes[line][column]
            bars = axis.barh(
                [row["relay"] for row in shown],
                [row[name] * scale for row in shown],
                color=[COLOURS.get(row["relay"], "#b8b8b8") for row in shown],
            )
            labels = [f"{row[name] * scale:,.{0 if row[name] * scale >= 100 else 1}f}" for row in shown]
            axis.bar_label(bars, labels, padding=3, fontsize=8)
            axis.set_xscale("log")
            axis.margins(x=0.25)
            axis.invert_yaxis()
            axis.set_title(f"{shape}: {title}", fontsize=10)
            axis.tick_params(labelsize=8)
            axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return True
