"""Draw accuracy against FLOPs and against processor seconds, for each task of `growth_pays`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from esper.report.drawing import CYCLE, INK
from experiments.arms import EQUAL_FLOPS, EQUAL_SECONDS, size_name
from experiments.tasks import SIZES

_COSTS = {"mean_flops": "FLOPs", "mean_processor_s": "processor seconds"}
_WIDTH, _HEIGHT, _DPI = 5.2, 3.6, 150
_EQUAL = (EQUAL_FLOPS, EQUAL_SECONDS)
_LABELS = {"grown": "grown", "final": "final architecture", "sweep": "sweep", "halving": "halving"}


def draw(tasks: Mapping[str, Any], stem: Path) -> list[Path]:
    """Write a figure with a row of plots for each task as PNG and SVG; return the paths."""
    size = (2 * _WIDTH, _HEIGHT * len(tasks))
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    grid = figure.subplots(len(tasks), 2, squeeze=False)
    for row, (task, found) in zip(grid, tasks.items(), strict=True):
        for axes, (cost, name) in zip(row, _COSTS.items(), strict=True):
            _plot(axes, found["arms"], cost)
            axes.set_title(f"{task}: test accuracy", loc="left", color=INK, fontsize=10)
            axes.set_xlabel(f"{name} (log scale)", color=INK)
    grid[0][0].legend(fontsize=7, frameon=False, labelcolor=INK)
    paths = [stem.with_suffix(suffix) for suffix in (".png", ".svg")]
    for path in paths:
        figure.savefig(path, dpi=_DPI, metadata={"Date": None} if path.suffix == ".svg" else None)
    return paths


def _plot(axes: Axes, arms: Mapping[str, Any], cost: str) -> None:
    """Draw the static sizes at equal epochs as a line, and all other arms that ran as points."""
    sizes = [size_name(size) for size in SIZES]
    series = {
        "static sizes, equal epochs": sizes,
        "static sizes, equal FLOPs": [name + EQUAL_FLOPS for name in sizes],
        "host at equal epochs, FLOPs, seconds": ["host", *("host" + each for each in _EQUAL)],
    }
    series |= {label: [arm] for arm, label in _LABELS.items()}
    series = {label: names for label, names in series.items() if names[0] in arms}
    for colour, (label, names) in zip(CYCLE, series.items(), strict=False):
        rows = [arms[name] for name in names]
        means = [row["test_accuracy"]["mean"] for row in rows]
        is_series = len(names) > 1
        axes.errorbar(
            [row[cost] for row in rows],
            [mean for mean, _, _ in means],
            yerr=[[m - low for m, low, _ in means], [high - m for m, _, high in means]],
            label=label,
            color=colour,
            marker="o" if is_series else "D",
            markersize=4 if is_series else 7,
            linestyle="-" if names == sizes else "",
            linewidth=1,
            elinewidth=1,
            capsize=2,
        )
    for name in (size for size in sizes if size in arms):
        where = (arms[name][cost], arms[name]["test_accuracy"]["mean"][0])
        axes.annotate(name, where, (3, 3), textcoords="offset points", color=INK, fontsize=7)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FormatStrFormatter("%.2g"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#8a9099", alpha=0.25, linewidth=0.6)
