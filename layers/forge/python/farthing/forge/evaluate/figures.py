"""One look for all plots, and files whose bytes depend on nothing but what is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

# Colours that colour-blind readers can tell apart: M. Okabe, K. Ito, "Color Universal Design"
# (2008), https://jfly.uni-koeln.de/color/
BLUE, ORANGE, GREEN, VERMILION, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#7F7F7F"

INCHES = (8.0, 5.0)
DOTS_PER_INCH = 100
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    # Ids in an SVG are random without a salt.
    "svg.hashsalt": "farthing",
}


def styled() -> mpl.RcParams:
    """A `with` block in which figures are made and written in our style."""
    return mpl.rc_context(STYLE)


def new_figure(height_inches: float = INCHES[1]) -> Figure:
    """An empty figure, 800 pixels wide, that belongs to no window and no global list."""
    figure = Figure(figsize=(INCHES[0], height_inches), dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)  # which it keeps, and which can measure texts before they are drawn
    return figure


def ruled(axes: Axes, axis: str) -> None:
    """Adds light lines across, at the ticks of the axis `x`, `y` or `both`."""
    axes.grid(axis=axis, color="#DDDDDD", linewidth=0.8)


def save(figure: Figure, folder: Path, name: str) -> tuple[Path, Path]:
    """Writes `name`.png and `name`.svg, without a date or the versions of tools."""
    folder.mkdir(parents=True, exist_ok=True)
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    figure.savefig(png, format="png", metadata={"Software": None})
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    return png, svg
