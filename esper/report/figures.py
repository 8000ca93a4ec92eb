"""The figures of a run and of a comparison, each as a matplotlib figure."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from esper.logger.format import place
from esper.report.choices import arms, with_error
from esper.report.drawing import CYCLE, INK, STAGE_COLOURS, WIDTH, legend, new_axes
from esper.report.history import Seed, Span, lanes
from esper.report.marks import mark_growth, mark_read_out, mark_widths
from esper.report.sweep import Group
from esper.rundir.records import Run

_MAX_ROWS = 60
_INCHES_PER_CHARACTER = 0.075
_LONGEST_LABEL = 36
_BAR = 0.46
"""Height of a seed's bar, where rows are 1 apart."""
_ACCURACIES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
_LEAST_TOP = 0.9
"""The axis shows at least the accuracies from here to 1."""
_ROOM = 1.003
"""Accuracies are drawn by the logarithm of their distance to this, so that 1 is finite."""


def accuracy_figure(run: Run) -> Figure:
    """Return accuracy over epochs with growth marked; the loss if accuracy is unknown."""
    has_accuracy = any(line.get("val_accuracy") is not None for line in run.metrics)
    measure = "accuracy" if has_accuracy else "loss"
    figure, axes = new_axes(f"{measure.capitalize()} over epochs", 3.4, _sides(run))
    epochs = [line["epoch"] for line in run.metrics]
    for key, colour, words in (
        (f"train_{measure}", "#8a9099", "training"),
        (f"val_{measure}", CYCLE[0], "validation"),
    ):
        values = [_number(line.get(key)) for line in run.metrics]
        axes.plot(epochs, values, color=colour, linewidth=1.6, label=words)
    if has_accuracy:
        _accuracy_axis(axes, run)
    else:
        axes.set_ylabel("loss")
    mark_read_out(axes, run)
    mark_widths(axes, run)
    mark_growth(figure, axes, run)
    _epoch_axis(axes, run)
    legend(axes, axes.get_legend_handles_labels()[0])
    return figure


def _accuracy_axis(axes: Axes, run: Run) -> None:
    """Label the axis in percent, and stretch it towards 100 %, where the differences are small."""
    keys = ("train_accuracy", "val_accuracy")
    values = [_number(line.get(key)) for line in run.metrics for key in keys]
    axes.set_yscale("function", functions=(_stretched, _unstretched))
    axes.set_yticks(_ACCURACIES)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylim(min([_LEAST_TOP, *filter(math.isfinite, values)]), 1.0)
    axes.set_ylabel("accuracy, stretched towards 100 %")


def _stretched(accuracy: Any) -> Any:
    return -np.log10(np.maximum(_ROOM - accuracy, 1e-9))


def _unstretched(height: Any) -> Any:
    return _ROOM - 10.0**-height


def lanes_figure(run: Run) -> Figure:
    """Return a swim lane for each seed that ever germinated, coloured by stage."""
    every = lanes(run)
    labels = [place(*seed) for seed in every]
    title = "Seeds by stage; the line is alpha, from 0 to 1"
    figure, axes = _row_axes(title, labels, run, top=-0.75, empty="no seed germinated")
    shown = list(every.values())[:_MAX_ROWS]
    for row, spans in enumerate(shown):
        for span in spans:
            axes.barh(
                row,
                span.end - span.start,
                left=span.start,
                height=_BAR,
                color=STAGE_COLOURS.get(span.stage, "#8a9099"),
            )
        _label_kernels(axes, row, spans, run.last_epoch)
    _draw_alphas(axes, run, list(every)[:_MAX_ROWS])
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
    axes_inches = axes.get_position().width * WIDTH
    epochs_per_character = _INCHES_PER_CHARACTER * max(last_epoch, 1) / axes_inches
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


def _draw_alphas(axes: Axes, run: Run, rows: list[Seed]) -> None:
    """Draw the blend factor of each seed as a line, from the foot of its bar to the top."""
    alphas: dict[Seed, dict[int, float]] = {key: {} for key in rows}
    for line in run.metrics:
        for seed in line.get("seeds", ()):
            values = alphas.setdefault((seed["slot"], seed["seed"]), {})
            values[line["epoch"]] = _number(seed.get("alpha"))
    epochs = [line["epoch"] for line in run.metrics]
    for row, key in enumerate(rows):
        heights = [row + _BAR * (0.5 - alphas[key].get(epoch, math.nan)) for epoch in epochs]
        axes.plot(epochs, heights, color=INK, linewidth=1.0)


def rewards_figure(run: Run) -> Figure:
    """Return the mean reward of each arm over epochs, with its standard error, a row per arm."""
    every = arms(run)
    title = "Mean reward of each blueprint in each slot"
    labels = [f"{place(slot)} {blueprint}" for slot, blueprint in every]
    figure, axes = _row_axes(title, labels, run, top=-0.75, empty="no activation was settled")
    shown = list(every.values())[:_MAX_ROWS]
    reach = max((_reach(update) for updates in shown for update in updates), default=0.0)
    for row, updates in enumerate(shown):
        _draw_rewards(axes, row, updates, scale=0.4 / (reach or 1.0))
    if shown:
        axes.set_xlabel(f"epoch; each row from {-reach:.2g} to {reach:+.2g}, its line is 0")
    return figure


def _reach(update: dict[str, Any]) -> float:
    """Return how far a mean reward and its error reach from 0."""
    return abs(float(update["mean_reward"])) + float(update["standard_error"] or 0.0)


def _draw_rewards(axes: Axes, row: int, updates: list[dict[str, Any]], scale: float) -> None:
    """Draw one arm's mean reward around the line of its row, and write the last one beside it."""
    axes.axhline(row, color="#8a9099", linewidth=0.6)
    axes.errorbar(
        [update["epoch"] for update in updates],
        [row - scale * update["mean_reward"] for update in updates],
        yerr=[scale * _number(update["standard_error"]) for update in updates],
        color=CYCLE[row % len(CYCLE)],
        marker="o",
        markersize=4,
        linewidth=1.4,
        capsize=3,
    )
    last = updates[-1]
    axes.text(
        1.01,
        row,
        f"{with_error(last['mean_reward'], last['standard_error'])}  n = {last['trials']}",
        transform=axes.get_yaxis_transform(),
        fontsize=8,
        color=INK,
        va="center",
    )


def _row_axes(
    title: str, labels: list[str], run: Run, *, top: float, empty: str
) -> tuple[Figure, Axes]:
    """Return axes with an epoch axis and a row for each of the first 60 labels."""
    shown = [_short(label) for label in labels[:_MAX_ROWS]]
    if len(labels) > len(shown):
        title += f" (the first {len(shown)} of {len(labels)})"
    figure, axes = new_axes(title, 1.0 + 0.36 * max(len(shown), 3), _sides(run))
    axes.set_yticks(range(len(shown)), shown, parse_math=False)
    axes.set_ylim(max(len(shown), 1) - 0.4, top)
    axes.grid(visible=False, axis="y")
    _epoch_axis(axes, run)
    if not shown:
        axes.text(0.5, 0.5, empty, transform=axes.transAxes, ha="center", color=INK)
    return figure, axes


def _sides(run: Run) -> tuple[float, float]:
    """Return margins that fit the labels of every figure of the run, in inches."""
    seeds = [place(*seed) for seed in lanes(run)]
    labels = [*seeds, *(f"{place(slot)} {blueprint}" for slot, blueprint in arms(run))]
    longest = max((len(_short(label)) for label in labels), default=0)
    return max(0.3 + _INCHES_PER_CHARACTER * longest, 0.8), 1.6


def _short(label: str) -> str:
    return label if len(label) <= _LONGEST_LABEL else f"…{label[1 - _LONGEST_LABEL :]}"


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
    if metric.endswith("accuracy"):
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    interval = "95 % interval, " if any(group.low is not None for group, _ in shown) else ""
    axes.set_xlabel(f"{words}: mean, {interval}and every job")
    return figure


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _epoch_axis(axes: Axes, run: Run) -> None:
    axes.set_xlim(0, max(run.last_epoch, 1) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
