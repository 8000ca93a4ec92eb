"""The figures of a run and of a comparison, each as a matplotlib figure."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import offset_copy

from esper.logger.format import place
from esper.report.drawing import CYCLE, INK, STAGE_COLOURS, legend, new_axes
from esper.report.history import Seed, Span, lanes
from esper.report.sweep import Group
from esper.rundir.records import Run

_MARKS = {
    "GERMINATED": ("^", "#eba434", "germinated"),
    "FOSSILIZED": ("o", STAGE_COLOURS["FOSSILIZED"], "fossilized"),
    "CULLED": ("X", STAGE_COLOURS["CULLED"], "culled"),
}
_MAX_ROWS = 60
_STRIP_ROW = 0.06
"""Height of a row of marks, as a share of the height of the curves."""
_INCHES_PER_CHARACTER = 0.075
_AXES_INCHES = 5.5


def accuracy_figure(run: Run) -> Figure:
    """Return accuracy over epochs with growth marked; the loss if accuracy is unknown."""
    has_accuracy = any(line.get("val_accuracy") is not None for line in run.metrics)
    measure = "accuracy" if has_accuracy else "loss"
    figure, axes = new_axes(f"{measure.capitalize()} over epochs", height=3.4)
    epochs = [line["epoch"] for line in run.metrics]
    for key, colour, words in (
        (f"train_{measure}", "#8a9099", "training"),
        (f"val_{measure}", CYCLE[0], "validation"),
    ):
        values = [_number(line.get(key)) for line in run.metrics]
        axes.plot(epochs, values, color=colour, linewidth=1.6, label=words)
    _mark_read_out(axes, run)
    _mark_growth(figure, axes, run)
    _epoch_axis(axes, run)
    axes.set_ylabel(measure)
    legend(axes, axes.get_legend_handles_labels()[0])
    return figure


def _mark_read_out(axes: Axes, run: Run) -> None:
    """Mark the epoch of the network that the run ended with."""
    epoch = (run.summary or {}).get("read_out_epoch")
    if epoch is not None:
        axes.axvline(epoch, color=INK, linewidth=1.0, linestyle=":", label="network at the end")


def _mark_growth(figure: Figure, axes: Axes, run: Run) -> None:
    """Mark each change in a strip below the curves; several at one epoch are stacked."""
    points: dict[str, list[tuple[int, int]]] = {stage: [] for stage in _MARKS}
    stacked: dict[int, int] = {}
    for move in run.of_kind("lifecycle"):
        epoch, stage = move["epoch"], move["to_stage"]
        if stage in _MARKS:
            points[stage].append((epoch, stacked.get(epoch, 0)))
            stacked[epoch] = stacked.get(epoch, 0) + 1
    low, high = axes.get_ylim()
    axes.set_ylim(low - _STRIP_ROW * (high - low) * max(stacked.values(), default=0), high)
    for stage, (marker, colour, words) in _MARKS.items():
        for number, (epoch, level) in enumerate(points[stage]):
            axes.plot(
                [epoch],
                [0.0],
                marker=marker,
                color=colour,
                markeredgecolor="white",
                markersize=8,
                linestyle="none",
                label=words if number == 0 else None,
                zorder=3 + level,
                transform=offset_copy(
                    axes.get_xaxis_transform(), figure, y=7.0 + 9.0 * level, units="points"
                ),
            )


def lanes_figure(run: Run) -> Figure:
    """Return a swim lane for each seed that ever germinated, coloured by stage."""
    every = lanes(run)
    figure, axes = _seeds_axes("Seeds by stage", list(every), run, top=-0.75)
    shown = list(every.values())[:_MAX_ROWS]
    for row, spans in enumerate(shown):
        for span in spans:
            axes.barh(
                row,
                span.end - span.start,
                left=span.start,
                height=0.46,
                color=STAGE_COLOURS.get(span.stage, "#8a9099"),
            )
        _label_kernels(axes, row, spans, run.last_epoch)
    stages = {span.stage for spans in shown for span in spans if span.end > span.start}
    handles = [
        Patch(color=colour, label=stage.lower())
        for stage, colour in STAGE_COLOURS.items()
        if stage in stages
    ]
    legend(axes, handles)
    return figure


def _label_kernels(axes: Axes, row: int, spans: list[Span], last_epoch: int) -> None:
    """Write each blueprint above its bar if it fits, and mark each cull."""
    epochs_per_character = _INCHES_PER_CHARACTER * max(last_epoch, 1) / _AXES_INCHES
    free_from = -math.inf
    for span in spans:
        width = len(span.blueprint) * epochs_per_character
        start = max(min(span.start, last_epoch - width), 0)
        is_first = span.stage == "GERMINATED" or span is spans[0]
        if is_first and start >= free_from:
            free_from = start + width
            axes.text(
                start,
                row - 0.29,
                span.blueprint,
                fontsize=7.5,
                color=INK,
                va="bottom",
                parse_math=False,
            )
        if span.stage == "CULLED":
            axes.plot(span.start, row, marker="X", color=STAGE_COLOURS["CULLED"], markersize=7)


def alphas_figure(run: Run) -> Figure:
    """Return every seed's blend factor over epochs, one row per seed, each from 0 to 1."""
    alphas: dict[Seed, dict[int, float]] = {}
    for line in run.metrics:
        for seed in line.get("seeds", ()):
            values = alphas.setdefault((seed["slot"], seed["seed"]), {})
            values[line["epoch"]] = _number(seed.get("alpha"))
    order = lanes(run).keys()
    every = [key for key in order if key in alphas] + sorted(alphas.keys() - order)
    figure, axes = _seeds_axes("Alpha, from 0 to 1 in each row", every, run, top=-0.6)
    epochs = [line["epoch"] for line in run.metrics]
    for row, key in enumerate(every[:_MAX_ROWS]):
        tops = [row + 0.4 - 0.8 * alphas[key].get(epoch, math.nan) for epoch in epochs]
        colour = CYCLE[row % len(CYCLE)]
        axes.fill_between(epochs, tops, row + 0.4, color=colour, alpha=0.3, linewidth=0)
        axes.plot(epochs, tops, color=colour, linewidth=1.4, marker=".", markersize=3)
    return figure


def _seeds_axes(title: str, seeds: list[Seed], run: Run, *, top: float) -> tuple[Figure, Axes]:
    """Return axes with an epoch axis and a labelled row for each of the first 60 seeds."""
    shown = [place(*seed) for seed in seeds[:_MAX_ROWS]]
    if len(seeds) > len(shown):
        title += f" (the first {len(shown)} of {len(seeds)} seeds)"
    figure, axes = new_axes(title, height=1.0 + 0.36 * max(len(shown), 3))
    axes.set_yticks(range(len(shown)), shown, parse_math=False)
    axes.set_ylim(max(len(shown), 1) - 0.4, top)
    axes.grid(visible=False, axis="y")
    _epoch_axis(axes, run)
    if not shown:
        axes.text(0.5, 0.5, "no seed germinated", transform=axes.transAxes, ha="center", color=INK)
    return figure, axes


def comparison_figure(groups: Sequence[Group], metric: str) -> Figure:
    """Return a dot with its interval for each group, and a faint dot for each of its jobs."""
    shown = [(group, group.mean) for group in groups if group.mean is not None]
    words = metric.replace("_", " ")
    height = 1.2 + 0.42 * max(len(shown), 1)
    figure, axes = new_axes(f"{words.capitalize()} by group", height)
    labels = []
    for row, (group, mean) in enumerate(shown):
        colour = CYCLE[row % len(CYCLE)]
        axes.plot(
            group.values,
            [row + 0.16] * len(group.values),
            marker="o",
            markersize=4,
            linestyle="none",
            color=colour,
            alpha=0.4,
        )
        if group.low is not None and group.high is not None:
            axes.plot([group.low, group.high], [row, row], color=colour, linewidth=2.4)
        axes.plot([mean], [row], marker="D", markersize=7, color=colour)
        label = group.label if len(group.label) <= 48 else f"{group.label[:47]}…"
        labels.append(f"{label}  (n = {len(group.values)})")
    axes.set_yticks(range(len(shown)), labels, parse_math=False)
    axes.set_ylim(max(len(shown), 1) - 0.5, -0.5)
    axes.set_xlabel(f"{words}: mean, 95 % interval, and every job")
    return figure


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _epoch_axis(axes: Axes, run: Run) -> None:
    axes.set_xlim(0, max(run.last_epoch, 1) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
