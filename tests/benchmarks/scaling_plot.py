"""Draw time against size from the rows of ``bench_scaling``."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.bench_scaling import SERIES
from tests.benchmarks.harness import OURS, Row

BLUE, ORANGE = "#0072B2", "#D55E00"


def plot_scaling(rows: Sequence[Row], path: Path) -> None:
    """One panel per model, double logarithmic, with the slope that its complexity has."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    fig, axes = plt.subplots(2, 3, figsize=(11, 6.4), layout="constrained")
    for ax, series in zip(axes.flat, SERIES, strict=True):
        times: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for row in rows:
            title, _, size = row.case.partition(": ")
            if title == series.title and math.isfinite(row.seconds_min):
                times[row.name].append((int(size.split()[0]), row.seconds_min))
        for name, points in times.items():
            ax.plot(*zip(*sorted(points), strict=True), "o-", color=BLUE if name == OURS else ORANGE, ms=4, label=name)
        if OURS in times:
            size, last = max(times[OURS])
            first = min(times[OURS])[0]
            ax.plot(
                [first, size], [last * (first / size) ** series.slope, last], color="0.6", lw=0.8, ls="--",
                label=f"size to the power {series.slope:.2g}", zorder=0,
            )  # fmt: skip
        ax.set(xscale="log", yscale="log", title=series.title, xlabel=series.unit, ylabel="seconds")
        if times:
            ax.legend(frameon=False, fontsize=8)
        ax.grid(alpha=0.25)
    path.parent.mkdir(exist_ok=True)
    fig.savefig(path, dpi=100)
    plt.close(fig)
