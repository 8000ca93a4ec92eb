"""The live display: progress, numbers, seeds, last decisions, rendered by pure functions."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from esper.logger.format import count, decimal, duration, percent, place, signed_percent

_SEEDS = 10
_DECISIONS = 4
STAGE_STYLES = {
    "GERMINATED": "yellow",
    "TRAINING": "yellow",
    "BLENDING": "cyan",
    "SHADOWING": "blue",
    "PROBATIONARY": "magenta",
    "FOSSILIZED": "green",
    "CULLED": "red",
}


@dataclass(slots=True, kw_only=True)
class State:
    """Content of the display.

    line: the last epoch's line.
    best_accuracy: best validation accuracy so far, a fraction.
    elapsed_s: time since this process started; `done` is the number of its epochs.
    """

    name: str
    epochs: int | None
    line: dict[str, Any] = field(default_factory=dict)
    best_accuracy: float | None = None
    elapsed_s: float = 0.0
    done: int = 0
    decisions: deque[str] = field(default_factory=lambda: deque(maxlen=_DECISIONS))


def render(state: State) -> RenderableType:
    """Return progress, numbers, seeds and last decisions, one below the other."""
    parts: list[RenderableType] = [_progress(state), _numbers(state)]
    if state.line.get("seeds"):
        parts.append(_seeds(state.line["seeds"]))
    parts.extend(
        Text(f"  {words}", style="dim", no_wrap=True, overflow="ellipsis")
        for words in state.decisions
    )
    return Group(*parts)


def _progress(state: State) -> RenderableType:
    epoch = state.line.get("epoch", 0)
    row = Table.grid(padding=(0, 1), expand=True)
    row.add_column(no_wrap=True, overflow="ellipsis", max_width=32)
    row.add_column(no_wrap=True)
    row.add_column(ratio=1)
    row.add_column(no_wrap=True, justify="right")
    left = ""
    if state.epochs and state.done:
        left = f" left {duration(state.elapsed_s / state.done * (state.epochs - epoch))}"
    row.add_row(
        Text(state.name, style="bold"),
        f"{epoch}/{state.epochs or '?'}",
        ProgressBar(total=state.epochs or 1, completed=epoch),
        Text(f"{duration(state.elapsed_s)}{left}", style="dim"),
    )
    return row


def _numbers(state: State) -> RenderableType:
    line = state.line
    pairs = (
        ("loss", decimal(line.get("train_loss"), 4)),
        ("val", decimal(line.get("val_loss"), 4)),
        ("acc", f"{percent(line.get('val_accuracy'))} (best {percent(state.best_accuracy)})"),
        ("params", count(line.get("params"))),
        ("live", count(line.get("live_seeds"))),
    )
    text = Text(no_wrap=True, overflow="ellipsis")
    for name, value in pairs:
        text.append(f"{name} ", style="dim").append(f"{value}  ")
    return text


def _seeds(seeds: list[dict[str, Any]]) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    # In a narrow terminal rich shrinks only the columns that may wrap: the names.
    table.add_column("slot", overflow="ellipsis")
    table.add_column("seed", justify="right", no_wrap=True)
    table.add_column("blueprint", overflow="ellipsis")
    table.add_column("stage", no_wrap=True, min_width=12)
    table.add_column("alpha", justify="right", no_wrap=True, min_width=5)
    table.add_column("gain", justify="right", no_wrap=True, min_width=7)
    # Seeds without a verdict come first; fossilized ones no longer change.
    shown = sorted(seeds, key=lambda seed: seed["stage"] == "FOSSILIZED")[:_SEEDS]
    for seed in shown:
        stage = str(seed["stage"])
        table.add_row(
            Text(place(seed["slot"])),
            str(seed["seed"]),
            Text(str(seed["blueprint"])),
            Text(stage, style=STAGE_STYLES.get(stage, "")),
            decimal(seed["alpha"], 2),
            signed_percent(seed.get("gain")),
        )
    if len(seeds) > len(shown):
        table.add_row(Text(f"and {len(seeds) - len(shown)} more", style="dim"))
    return table
