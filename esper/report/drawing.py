"""Style and export of figures: PNG for papers, SVG for the page.

`INK` is one fixed colour, which the page replaces by the reader's text colour, light or dark.
"""

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#20262e"
STAGE_COLOURS = {
    "GERMINATED": "#dbe9f6",
    "TRAINING": "#a6cbe8",
    "BLENDING": "#5b9fd3",
    "SHADOWING": "#2a6fb0",
    "PROBATIONARY": "#eba434",
    "FOSSILIZED": "#35a06b",
    "CULLED": "#d1495b",
    "EMBARGOED": "#c3c8ce",
    "RESETTING": "#e2e5e9",
}
CYCLE = ("#2a6fb0", "#e07b28", "#35a06b", "#a2559c", "#d1495b", "#7d6b4f", "#17a2b8", "#8a9099")
_RC: Any = {"svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9}
_DPI = 150
WIDTH = 8.0
"""Width of every figure, in inches."""
_TOP, _BOTTOM = 0.34, 0.46
"""Height of the title, and of the ticks and label of the epochs, in inches."""


def new_axes(
    title: str, height: float, sides: tuple[float, float] | None = None
) -> tuple[Figure, Axes]:
    """Return a figure, 8 inches wide, with one pair of axes in the common style.

    Args:
        title: in bold above the axes.
        height: of the figure, in inches.
        sides: margins left and right of the axes, in inches; the same ones align the axes of
            figures below each other.  None leaves as much as the labels need.
    """
    layout: Literal["constrained"] | None = "constrained" if sides is None else None
    figure = Figure(figsize=(WIDTH, height), layout=layout, facecolor="white")
    if sides is not None:
        left, right = sides[0] / WIDTH, 1 - sides[1] / WIDTH
        figure.subplots_adjust(left, _BOTTOM / height, right, 1 - _TOP / height)
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", color=INK, fontsize=11, fontweight="bold", parse_math=False)
    axes.patch.set_alpha(0.0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(INK)
    axes.tick_params(colors=INK, labelsize=9)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    axes.grid(visible=True, axis="both", color="#8a9099", alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def legend(axes: Axes, handles: Sequence[Artist]) -> None:
    """Put a legend of the labelled `handles` to the right of the axes, outside the plot."""
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


def write_png(figure: Figure, path: Path) -> None:
    """Write the figure as PNG, on white."""
    figure.savefig(path, format="png", dpi=_DPI)


def to_svg(figure: Figure, name: str) -> str:
    """Return the figure as an `svg` element without background, in the reader's text colour.

    `name` makes its ids unique on a page with several figures.
    """
    text = StringIO()
    with mpl.rc_context(_RC):
        mpl.rcParams["svg.hashsalt"] = name
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :].replace(INK, "currentColor")
