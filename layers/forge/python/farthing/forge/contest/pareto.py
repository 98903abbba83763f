"""Accuracy against dollars: who is beaten by nobody on both."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, PercentFormatter
from matplotlib.transforms import Bbox

from farthing.forge.evaluate.figures import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    VERMILION,
    new_figure,
    ruled,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

    from farthing.forge.contest.candidates import Entry
    from farthing.forge.contest.outcome import Outcome

# Shapes as well as colours, for readers who cannot tell the colours apart.
MARKERS = {"linear": ("s", ORANGE), "transformer": ("o", BLUE), "teacher": ("^", GREY)}
MARKER_POINTS = 9
# Where a label may stand, seen from its point, in points: the first place that covers nothing is
# taken, near ones first and right before left.
SIDES = ((9, "left"), (-9, "right"))
HEIGHTS = tuple(
    (sign * height, "bottom" if sign > 0 else "top")
    for height in (5, 18, 31, 44)
    for sign in (1, -1)
)
# From here on a line leads from the label to its point.
NEAR_POINTS = 10


def front(entries: Sequence[Entry]) -> list[Entry]:
    """The entries that no other beats on both accuracy and price, from cheap to dear."""
    best: list[Entry] = []
    ordered = sorted(entries, key=lambda entry: (entry.usd_per_million, -entry.accuracy))
    for entry in ordered:
        if not best or entry.accuracy > best[-1].accuracy:
            best.append(entry)
    return best


def pareto_figure(outcome: Outcome) -> Figure:
    """Test accuracy against dollars per million warm calls, with floor, front and winner."""
    figure = new_figure(height_inches=5.4)
    axes = figure.subplots()
    _points(axes, outcome)
    beaten_by_none = front(outcome.entries)
    axes.step(
        [float(entry.usd_per_million) for entry in beaten_by_none],
        [entry.accuracy for entry in beaten_by_none],
        where="post",
        color=GREEN,
        linewidth=1.5,
        zorder=1,
        label="nobody is both cheaper and better",
    )
    axes.axhline(
        outcome.threshold_test,
        color=VERMILION,
        linestyle="--",
        zorder=1,
        label=f"floor {outcome.floor.asked}: {outcome.threshold_test:.1%}",
    )
    price = outcome.entries[0].report.price
    axes.set(
        xlabel=f"US dollars per million warm calls ({price.platform}, {price.asked_mb:,} MB; "
        "log scale)",
        ylabel="accuracy on the test rows",
    )
    axes.set_title("Accuracy against price")
    _scales(axes, [float(entry.usd_per_million) for entry in outcome.entries])
    ruled(axes, "both")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    _labels(figure, axes, outcome)
    return figure


def _points(axes: Axes, outcome: Outcome) -> None:
    for family, (marker, colour) in MARKERS.items():
        entries = [entry for entry in outcome.entries if entry.family == family]
        if entries:
            axes.plot(
                [float(entry.usd_per_million) for entry in entries],
                [entry.accuracy for entry in entries],
                marker,
                color=colour,
                markeredgecolor="black",
                markersize=MARKER_POINTS,
                label=family,
            )
    if outcome.winner is not None:
        axes.plot(
            [float(outcome.winner.usd_per_million)],
            [outcome.winner.accuracy],
            "o",
            markersize=2 * MARKER_POINTS,
            markerfacecolor="none",
            markeredgecolor=VERMILION,
            markeredgewidth=2,
            label="winner",
        )


def _scales(axes: Axes, prices_usd: Sequence[float]) -> None:
    """Room on all sides, and ticks in plain dollars and percents."""
    axes.set_xscale("log")
    low, high = min(prices_usd), max(prices_usd)
    reach = max(high / low, 1.5) ** 0.25
    axes.set_xlim(low / reach, high * reach)
    axes.margins(y=0.15)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    dollars = FuncFormatter(lambda usd, _: f"${usd:g}")
    few_decades = high / low < 30
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7) if few_decades else (1, 3)))
    axes.xaxis.set_major_formatter(dollars)
    axes.xaxis.set_minor_formatter("")


def _labels(figure: Figure, axes: Axes, outcome: Outcome) -> None:
    """Names beside the points, so that none covers another name or a point."""
    figure.draw_without_rendering()
    # The places are in pixels from here on: a later layout must not move the axes.
    figure.set_layout_engine("none")
    renderer = figure.canvas.get_renderer()
    spots = axes.transData.transform(
        [(float(entry.usd_per_million), entry.accuracy) for entry in outcome.entries]
    )
    reach = MARKER_POINTS * figure.dpi / 72 / 2
    taken = [Bbox.from_extents(x - reach, y - reach, x + reach, y + reach) for x, y in spots]
    inside = axes.get_window_extent(renderer)
    pairs = zip(outcome.entries, list(taken), strict=True)
    # From the right, where there is room, so that labels of a crowd do not cross it.
    for entry, own in sorted(pairs, key=lambda pair: -pair[1].x0):
        others = [box for box in taken if box is not own]
        label = _label(axes, entry, is_winner=entry is outcome.winner)
        for (dy, along), (dx, across) in product(HEIGHTS, SIDES):
            label.set(position=(dx, dy), horizontalalignment=across, verticalalignment=along)
            label.update_positions(renderer)
            # That of the text: an annotation's own would hold the line, too.
            box = Text.get_window_extent(label, renderer)
            is_inside = inside.x0 <= box.x0 and box.x1 <= inside.x1
            if is_inside and not any(box.overlaps(other) for other in others):
                break
        label.arrow_patch.set_visible(abs(dy) > NEAR_POINTS)
        taken.append(box)


def _label(axes: Axes, entry: Entry, *, is_winner: bool) -> Annotation:
    """The entry's name, with a line to its point, not yet at its place."""
    return axes.annotate(
        entry.name,
        (float(entry.usd_per_million), entry.accuracy),
        xytext=(0, 0),
        textcoords="offset points",
        fontweight="bold" if is_winner else "normal",
        bbox={
            "boxstyle": "square,pad=0.05",
            "facecolor": "white",
            "edgecolor": "none",
            "alpha": 0.8,
        },
        arrowprops={"arrowstyle": "-", "color": GREY, "shrinkA": 0, "shrinkB": 5},
    )
