"""Figures show what the events say, at any size and with any name, and are written repeatably."""

import math
import re
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from esper.report.drawing import INK, to_svg, write_png
from esper.report.figures import accuracy_figure, comparison_figure, lanes_figure, rewards_figure
from esper.report.sweep import Group
from esper.rundir.records import Run, RunState, load_run

FIGURES = [accuracy_figure, lanes_figure, rewards_figure]


def run_of(**changes: Any) -> Run:
    values: dict[str, Any] = {
        "state": RunState.RUNNING,
        "path": Path("runs/x"),
        "config": {},
        "metrics": (),
        "events": (),
        "summary": None,
    }
    return Run(**(values | changes))


def test_the_accuracy_curve_is_marked_where_the_network_changed(
    tmp_path: Path, make_run: Any
) -> None:
    run = load_run(make_run(tmp_path / "run"))
    [axes] = accuracy_figure(run).axes
    marks: dict[str, list[float]] = {}
    for found in axes.lines:
        if found.get_marker() not in ("None", None, ""):
            marks.setdefault(str(found.get_marker()), []).extend(found.get_xdata())
    assert sorted(marks["^"]) == [4, 7, 10, 12, 16, 19]
    assert sorted(marks["o"]) == [10, 16, 25]
    assert sorted(marks["X"]) == [13, 18, 22]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["training", "validation", "germinated", "fossilized", "culled"]


def test_marks_of_one_epoch_are_stacked_below_the_curves_and_the_read_out_is_a_line() -> None:
    metrics = tuple({"epoch": e, "val_loss": 1.0, "val_accuracy": 0.1 * e} for e in range(1, 6))
    events = tuple(
        {
            "kind": "lifecycle",
            "epoch": 3,
            "to_stage": "GERMINATED",
            "slot": "a",
            "seed": seed,
            "blueprint": "mlp",
        }
        for seed in range(3)
    )
    run = run_of(metrics=metrics, events=events, summary={"read_out_epoch": 4})
    figure = accuracy_figure(run)
    figure.canvas.draw()
    [axes] = figure.axes
    marks = [line for line in axes.lines if line.get_marker() == "^"]
    [read_out] = [line for line in axes.lines if line.get_label() == "network at the end"]
    assert list(read_out.get_xdata()) == [4, 4]
    heights = [mark.get_transform().transform((3.0, 0.0))[1] for mark in marks]
    curve = axes.transData.transform((3.0, 0.1))[1]
    assert len(heights) == 3
    assert axes.bbox.y0 < heights[0] < heights[1] < heights[2] < curve


def test_where_accuracy_is_unknown_the_loss_is_drawn() -> None:
    metrics = tuple({"epoch": e, "val_loss": 1.0 / e, "val_accuracy": None} for e in (1, 2, 3))
    [axes] = accuracy_figure(run_of(metrics=metrics)).axes
    assert axes.get_ylabel() == "loss"
    assert list(axes.lines[1].get_ydata()) == [1.0, 0.5, pytest.approx(1 / 3)]


def test_lanes_are_as_long_as_the_stages(tmp_path: Path, make_run: Any) -> None:
    [axes] = lanes_figure(load_run(make_run(tmp_path / "run"))).axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[0] == "block1 seed 0"
    first = [bar for bar in axes.patches if abs(bar.get_y() + bar.get_height() / 2) < 1e-9]
    widths = [(bar.get_x(), bar.get_width()) for bar in first if bar.get_width() > 0]
    assert widths == [(4, 1), (5, 1), (6, 2), (8, 2), (10, 30)]
    texts = [text.get_text() for text in axes.texts]
    assert sorted(texts) == sorted(
        ["mlp", "affine", "lora", "squeeze_excite", "gated_mlp", "frozen_random"]
    )


def test_blueprints_that_would_overlap_are_left_out() -> None:
    def move(epoch: int, stage: str) -> dict[str, Any]:
        return {
            "kind": "lifecycle",
            "epoch": epoch,
            "slot": "a",
            "seed": 0,
            "blueprint": "squeeze_excite",
            "from_stage": "",
            "to_stage": stage,
        }

    events = tuple(
        event
        for start in range(0, 400, 8)
        for event in (
            move(start, "GERMINATED"),
            move(start + 2, "CULLED"),
            move(start + 4, "DORMANT"),
        )
    )
    run = run_of(events=events, metrics=({"epoch": 400},))
    figure = lanes_figure(run)
    figure.canvas.draw()
    [axes] = figure.axes
    boxes = [text.get_window_extent() for text in axes.texts]
    assert 3 < len(boxes) < 10
    assert all(left.x1 <= right.x0 for left, right in pairwise(boxes))


def test_figures_of_a_run_share_their_epochs(tmp_path: Path, make_run: Any) -> None:
    run = load_run(make_run(tmp_path / "run"))
    found = [draw(run).axes[0] for draw in FIGURES]
    assert len({(axes.get_position().x0, axes.get_position().x1) for axes in found}) == 1
    assert len({axes.get_xlim() for axes in found}) == 1


def test_the_line_in_a_lane_is_alpha(tmp_path: Path, make_run: Any) -> None:
    [axes] = lanes_figure(load_run(make_run(tmp_path / "run"))).axes
    line = next(line for line in axes.lines if line.get_color() == INK)
    alpha = dict(zip(line.get_xdata(), line.get_ydata(), strict=True))
    # The bar of the first row, mlp, is 0.46 high around 0, and the axis points down.
    assert [alpha[epoch] for epoch in (4, 5, 6, 40)] == pytest.approx([0.23, 0, -0.23, -0.23])
    assert math.isnan(alpha[3])


def test_the_accuracy_axis_shows_all_and_stretches_the_top(tmp_path: Path, make_run: Any) -> None:
    [axes] = accuracy_figure(load_run(make_run(tmp_path / "run"))).axes
    heights = [
        axes.transAxes.inverted().transform(axes.transData.transform((0, a)))[1]
        for a in (0.9, 0.99, 1.0)
    ]
    assert heights[2] == pytest.approx(1.0)
    assert heights[1] - heights[0] > 0.2, "where a linear axis would give a tenth"
    lowest = min(min(line.get_ydata()) for line in axes.lines[:2])
    assert axes.get_ylim()[0] < lowest, "the marks of growth have a strip of their own"


def test_a_run_without_a_mistake_can_be_drawn(tmp_path: Path) -> None:
    metrics = tuple({"epoch": e, "train_accuracy": 1.0, "val_accuracy": 1.0} for e in (1, 2))
    figure = accuracy_figure(run_of(metrics=metrics))
    write_png(figure, tmp_path / "perfect.png")
    assert figure.axes[0].get_ylim() == pytest.approx((0.9, 1.0))


def test_each_arm_has_its_mean_rewards_and_their_errors() -> None:
    def update(epoch: int, trials: int, mean: float, error: float | None) -> dict[str, Any]:
        arm = {"slot": "block1", "seed": 0, "blueprint": "mlp", "reward": mean}
        numbers = {"trials": trials, "mean_reward": mean, "standard_error": error}
        return {"kind": "ledger", "epoch": epoch, **arm, **numbers}

    events = (update(3, 1, 0.2, None), update(9, 2, -0.1, 0.3))
    [axes] = rewards_figure(run_of(events=events, metrics=({"epoch": 12},))).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["block1 mlp"]
    [means] = [line for line in axes.lines if line.get_marker() == "o"]
    # The row reaches 0.4 for the largest mean and error, 0.4, and the axis points down.
    assert list(means.get_xdata()) == [3, 9]
    assert list(means.get_ydata()) == pytest.approx([-0.2, 0.1])
    assert [text.get_text() for text in axes.texts] == ["-0.100 ± 0.300  n = 2"]
    assert "each row from -0.4 to +0.4" in axes.get_xlabel()


@pytest.mark.parametrize("draw", FIGURES)
def test_a_run_of_which_nothing_is_known_yet_can_be_drawn(draw: Any, tmp_path: Path) -> None:
    write_png(draw(run_of()), tmp_path / "empty.png")
    assert (tmp_path / "empty.png").read_bytes().startswith(b"\x89PNG")


def test_more_seeds_than_fit_are_cut_and_told() -> None:
    seeds = [{"slot": f"block{n}", "seed": 0, "alpha": 0.5} for n in range(100)]
    events = tuple(
        {
            "kind": "lifecycle",
            "epoch": 1,
            "slot": seed["slot"],
            "seed": 0,
            "blueprint": "mlp",
            "from_stage": "DORMANT",
            "to_stage": "GERMINATED",
        }
        for seed in seeds
    )
    run = run_of(events=events, metrics=tuple({"epoch": e, "seeds": seeds} for e in (1, 2)))
    [axes] = lanes_figure(run).axes
    assert "the first 60 of 100" in axes.get_title(loc="left")
    assert len(axes.get_yticklabels()) == 60


def test_svg_is_xml_in_the_readers_ink_and_the_same_each_time(
    tmp_path: Path, make_run: Any
) -> None:
    run = load_run(make_run(tmp_path / "run"))
    svg = to_svg(lanes_figure(run), "seeds")
    ElementTree.fromstring(svg)
    assert INK not in svg
    assert "currentColor" in svg
    assert svg == to_svg(lanes_figure(run), "seeds")
    ids = set(re.findall(r'clipPath id="(\w+)"', svg))
    other = set(re.findall(r'clipPath id="(\w+)"', to_svg(accuracy_figure(run), "accuracy")))
    assert ids
    assert not ids & other, "figures of one page must not share ids"


def test_names_are_shown_as_they_are_not_as_formulas(tmp_path: Path, make_run: Any) -> None:
    groups = [
        Group(label="model=$x_1$", jobs=2, values=(0.9, 0.8), mean=0.85, low=0.8, high=0.9),
        Group(label="y" * 80, jobs=1, values=(0.7,), mean=0.7, low=None, high=None),
        Group(label="failed", jobs=1, values=(), mean=None, low=None, high=None),
    ]
    figure = comparison_figure(groups, "test_accuracy")
    write_png(figure, tmp_path / "comparison.png")
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["model=$x_1$  (n = 2)", "y" * 47 + "…  (n = 1)"]
    assert figure.axes[0].get_xlabel() == "test accuracy: mean, 95 % interval, and every job"
    assert "$x_1$" in to_svg(figure, "comparison")
