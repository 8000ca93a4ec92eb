"""The figures of a run and of a comparison; each returns a matplotlib figure, unwritten."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import offset_copy

from esper.report.drawing import CYCLE, INK, STAGE_COLOURS, legend, new_axes
from esper.report.history import Lane, Span, lanes, place
from esper.report.sweep import Group
from esper.rundir.records import Run

_MARKS = {
    "GERMINATED": ("^", "#eba434", "germinated"),
    "FOSSILIZED": ("o", STAGE_COLOURS["FOSSILIZED"], "fossilized"),
    "CULLED": ("X", STAGE_COLOURS["CULLED"], "culled"),
}
_LANES = 60
_INCHES_PER_CHARACTER = 0.075
_AXES_INCHES = 5.5


def accuracy_figure(run: Run) -> Figure:
    """Return accuracy over epochs with growth marked; the loss where accuracy is unknown."""
    measure = _measure(run)
    figure, axes = new_axes(f"{measure.capitalize()} over epochs", height=3.4)
    epochs = [line["epoch"] for line in run.metrics]
    for key, colour, words in (
        (f"train_{measure}", "#8a9099", "training"),
        (f"val_{measure}", CYCLE[0], "validation"),
    ):
        values = [_number(line.get(key)) for line in run.metrics]
        axes.plot(epochs, values, color=colour, linewidth=1.6, label=words)
    _mark_growth(figure, axes, run, f"val_{measure}")
    _epoch_axis(axes, run)
    axes.set_ylabel(measure)
    legend(axes)
    return figure


def _mark_growth(figure: Figure, axes: Axes, run: Run, key: str) -> None:
    """Mark each change on the curve; several at one epoch stand above each other."""
    height = {line["epoch"]: _number(line.get(key)) for line in run.metrics}
    stacked: dict[int, int] = {}
    points: dict[str, list[tuple[int, float, int]]] = {stage: [] for stage in _MARKS}
    for move in run.of_kind("lifecycle"):
        epoch, stage = move["epoch"], move["to_stage"]
        if stage in _MARKS and math.isfinite(height.get(epoch, math.nan)):
            level = stacked[epoch] = stacked.get(epoch, -1) + 1
            points[stage].append((epoch, height[epoch], level))
    for stage, (marker, colour, words) in _MARKS.items():
        for number, (epoch, value, level) in enumerate(points[stage]):
            axes.plot(
                [epoch],
                [value],
                marker=marker,
                color=colour,
                markeredgecolor="white",
                markersize=8,
                linestyle="none",
                label=words if number == 0 else None,
                zorder=3 + level,
                transform=offset_copy(axes.transData, figure, y=9.0 * level, units="points"),
            )


def lanes_figure(run: Run) -> Figure:
    """Return the swim-lanes: one a seed that ever germinated, coloured by stage."""
    every = lanes(run)
    shown = every[:_LANES]
    title = "Seeds by stage"
    if len(every) > len(shown):
        title += f" (the first {len(shown)} of {len(every)} seeds)"
    figure, axes = new_axes(title, height=1.0 + 0.36 * max(len(shown), 3))
    for row, lane in enumerate(shown):
        for span in lane.spans:
            axes.barh(
                row,
                span.end - span.start,
                left=span.start,
                height=0.46,
                color=STAGE_COLOURS.get(span.stage, "#8a9099"),
            )
        _label_kernels(axes, row, lane, run.last_epoch)
    axes.set_yticks(range(len(shown)), [lane.label for lane in shown], parse_math=False)
    axes.set_ylim(max(len(shown), 1) - 0.4, -0.75)
    axes.grid(visible=False, axis="y")
    _epoch_axis(axes, run)
    stages = {span.stage for lane in shown for span in lane.spans if span.end > span.start}
    _stage_legend(axes, stages)
    if not shown:
        _say_empty(axes)
    return figure


def _label_kernels(axes: Axes, row: int, lane: Lane, last_epoch: int) -> None:
    """Write each blueprint above its bar and mark its end; a label that has no room is left out."""
    epochs_per_character = _INCHES_PER_CHARACTER * max(last_epoch, 1) / _AXES_INCHES
    free_from = -math.inf
    for span in lane.spans:
        width = len(span.blueprint) * epochs_per_character
        start = max(min(span.start, last_epoch - width), 0)
        if _is_birth(span, lane) and start >= free_from:
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


def _is_birth(span: Span, lane: Lane) -> bool:
    return span.stage == "GERMINATED" or span is lane.spans[0]


def _stage_legend(axes: Axes, stages: set[str]) -> None:
    handles = [
        Patch(color=colour, label=stage.lower())
        for stage, colour in STAGE_COLOURS.items()
        if stage in stages
    ]
    if handles:
        axes.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(1.01, 1.0),
            borderaxespad=0.0,
            frameon=False,
            labelcolor=INK,
            fontsize=8.5,
        )


def alphas_figure(run: Run) -> Figure:
    """Return every seed's blend factor over epochs, a row a seed, each from 0 to 1."""
    every = _seeds_with_alpha(run)
    shown = every[:_LANES]
    title = "Alpha, from 0 to 1 in each row"
    if len(every) > len(shown):
        title += f" (the first {len(shown)} of {len(every)} seeds)"
    figure, axes = new_axes(title, height=1.0 + 0.36 * max(len(shown), 3))
    epochs = [line["epoch"] for line in run.metrics]
    for row, key in enumerate(shown):
        tops = [row + 0.4 - 0.8 * _alpha(line, key) for line in run.metrics]
        colour = CYCLE[row % len(CYCLE)]
        axes.fill_between(epochs, tops, row + 0.4, color=colour, alpha=0.3, linewidth=0)
        axes.plot(epochs, tops, color=colour, linewidth=1.4, marker=".", markersize=3)
    axes.set_yticks(range(len(shown)), [place(*key) for key in shown], parse_math=False)
    axes.set_ylim(max(len(shown), 1) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    _epoch_axis(axes, run)
    if not shown:
        _say_empty(axes)
    return figure


def _seeds_with_alpha(run: Run) -> list[tuple[str, int]]:
    """Return slot and seed of whatever held a kernel, in the order of the swim-lanes."""
    keys = {(seed["slot"], seed["seed"]) for line in run.metrics for seed in line.get("seeds", ())}
    order = [(lane.slot, lane.seed) for lane in lanes(run)]
    return [key for key in order if key in keys] + sorted(keys.difference(order))


def _say_empty(axes: Axes) -> None:
    axes.text(0.5, 0.5, "no seed germinated", transform=axes.transAxes, ha="center", color=INK)


def comparison_figure(groups: Sequence[Group], metric: str) -> Figure:
    """Return a dot with its interval for each group, every job of it faint behind."""
    shown = [(group, group.mean) for group in groups if group.mean is not None]
    figure, axes = new_axes(
        f"{metric.replace('_', ' ').capitalize()} by group", height=1.2 + 0.42 * max(len(shown), 1)
    )
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
    labels = [f"{_short(group.label)}  (n = {len(group.values)})" for group, _ in shown]
    axes.set_yticks(range(len(shown)), labels, parse_math=False)
    axes.set_ylim(max(len(shown), 1) - 0.5, -0.5)
    axes.set_xlabel(f"{metric.replace('_', ' ')}: mean, 95 % interval, and every job")
    return figure


def _measure(run: Run) -> str:
    known = any(line.get("val_accuracy") is not None for line in run.metrics)
    return "accuracy" if known else "loss"


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _alpha(line: dict[str, Any], key: tuple[str, int]) -> float:
    for seed in line.get("seeds", ()):
        if (seed["slot"], seed["seed"]) == key:
            return _number(seed.get("alpha"))
    return math.nan


def _epoch_axis(axes: Axes, run: Run) -> None:
    axes.set_xlim(0, max(run.last_epoch, 1) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")


def _short(label: str) -> str:
    return label if len(label) <= 48 else f"{label[:47]}…"
