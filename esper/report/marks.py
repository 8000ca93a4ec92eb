"""What happened in a run, marked in a figure of its curves."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import offset_copy

from esper.report.drawing import INK, STAGE_COLOURS
from esper.rundir.records import Run

_MARKS = {
    "GERMINATED": ("^", "#eba434", "germinated"),
    "FOSSILIZED": ("o", STAGE_COLOURS["FOSSILIZED"], "fossilized"),
    "CULLED": ("X", STAGE_COLOURS["CULLED"], "culled"),
}
_STRIP_ROW = 0.06
"""Height of a row of marks, as a share of the height of the curves."""


def mark_read_out(axes: Axes, run: Run) -> None:
    """Mark the epoch of the network that the run ended with."""
    epoch = (run.summary or {}).get("read_out_epoch")
    if epoch is not None:
        axes.axvline(epoch, color=INK, linewidth=1.0, linestyle=":", label="network at the end")


def mark_widths(axes: Axes, run: Run) -> None:
    """Mark the epochs after which the whole host changed its width, with the new one."""
    for number, event in enumerate(run.of_kind("resize")):
        words = "another width" if number == 0 else None
        axes.axvline(event["epoch"], color="#8a9099", linewidth=1.0, linestyle="--", label=words)
        axes.annotate(
            f"x{event['width']}",
            (event["epoch"], 1.0),
            xycoords=axes.get_xaxis_transform(),
            xytext=(2, -9 - 9 * (number % 2)),
            textcoords="offset points",
            fontsize="x-small",
            color="#5b6068",
        )


def mark_growth(figure: Figure, axes: Axes, run: Run) -> None:
    """Mark each change in a strip below the curves; several at one epoch are stacked."""
    points: dict[str, list[tuple[int, int]]] = {stage: [] for stage in _MARKS}
    stacked: dict[int, int] = {}
    for move in run.of_kind("lifecycle"):
        epoch, stage = move["epoch"], move["to_stage"]
        if stage in _MARKS:
            points[stage].append((epoch, stacked.get(epoch, 0)))
            stacked[epoch] = stacked.get(epoch, 0) + 1
    scale, ends = axes.yaxis.get_transform(), axes.get_ylim()
    low, high = scale.transform(ends)
    low -= _STRIP_ROW * (high - low) * max(stacked.values(), default=0)
    axes.set_ylim(scale.inverted().transform([low])[0], ends[1])
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
