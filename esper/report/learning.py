"""The page of a training of a policy's network: its result, and its learning curves."""

from collections.abc import Mapping, Sequence
from html import escape
from statistics import fmean
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from esper.logger.format import decimal, percent, plural
from esper.report import html
from esper.report.drawing import CYCLE, legend, new_axes
from esper.rundir.learned import Learned

WINDOW = 5
"""Updates of a smoothed curve's mean."""
HEIGHT = 2.6

Line = Mapping[str, Any]


def learning_figures(lines: Sequence[Line]) -> dict[str, Figure]:
    """Return the figures of at least one update, by name."""
    return {
        "return": _figure(
            "Return of the episodes played",
            lines,
            {"return": "mean net return"},
            "log loss",
        ),
        "choices": _figure(
            "What was chosen",
            lines,
            {"waits": "waits", "denied": "asked in vain", "success": "kernels kept of those tried"},
            "share",
        ),
        "policy": _figure(
            "How open the policy is, and how far an update moves it",
            lines,
            {"entropy": "entropy", "kl": "divergence (KL)", "clip_fraction": "share clipped"},
            "nats, or share",
        ),
        "expectation": _figure(
            "How well returns are expected",
            lines,
            {"explained_variance": "explained variance", "value_loss": "squared error"},
            "share, or log loss squared",
        ),
    }


def _figure(title: str, lines: Sequence[Line], names: Mapping[str, str], unit: str) -> Figure:
    """Return a figure of some numbers over the updates: each one, and the smoothed curve."""
    figure, axes = new_axes(title, HEIGHT, (0.75, 2.3))
    updates = [line["update"] for line in lines]
    for colour, (name, words) in zip(CYCLE, names.items(), strict=False):
        values = [float(line[name]) for line in lines]
        axes.plot(updates, values, ".", color=colour, markersize=3, alpha=0.5)
        axes.plot(updates, smoothed(values), color=colour, linewidth=1.6, label=words)
    axes.set_xlabel("update")
    axes.set_ylabel(unit)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend(axes, axes.get_legend_handles_labels()[0])
    return figure


def smoothed(values: Sequence[float]) -> list[float]:
    """Return the mean of each value and up to `WINDOW` - 1 before it."""
    return [fmean(values[max(0, at + 1 - WINDOW) : at + 1]) for at in range(len(values))]


def learning_page(learned: Learned, svgs: Sequence[str]) -> str:
    """Return one self-contained HTML page; `svgs` are its figures, in order."""
    updates = plural(len(learned.lines), "update")
    refused = [(line["update"], line["refused"]) for line in learned.lines if line["refused"]]
    return html.page(
        f"Esper: {learned.name}",
        f"<h1>{escape(learned.name)}</h1><p>{escape(learned.state)}, {updates}</p>"
        f'<p class="dim path">{escape(str(learned.path))}</p>',
        html.cards(_cards(learned)),
        html.section("Course", *map(html.figure, svgs), _note()),
        html.section(
            "Passes taken back",
            html.table(("#update", "reason"), refused, "No pass had to be taken back."),
        ),
        html.section(
            "Details",
            html.folded("summary.json", html.values(learned.summary or {})),
            html.folded("Config", html.values(learned.config)),
        ),
    )


def _note() -> str:
    return (
        f'<p class="dim">Points are updates, lines are means of the last {WINDOW}. Each update '
        "plays other tasks, so that returns differ by what these allow. Episodes explore; the "
        "trained network does not.</p>"
    )


def _cards(learned: Learned) -> list[tuple[str, str]]:
    judged = (learned.summary or {}).get("evaluation")
    last = learned.lines[-1]
    cards = [
        ("return of the last update", decimal(last["return"])),
        ("entropy", decimal(last["entropy"])),
    ]
    if judged is None:
        return cards
    return [
        (f"net gain on {judged['tasks']} other tasks", decimal(judged["net_gain"])),
        ("of the planner there", decimal(judged["planner"])),
        ("states refused as uncertain", percent(judged["refused_share"])),
        *cards,
    ]
