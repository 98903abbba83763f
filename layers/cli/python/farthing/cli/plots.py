"""Plots of quotations and tunings, as PNG or SVG."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farthing.planning.errors import PlanningError

if TYPE_CHECKING:
    from farthing.planning.break_even import Curve
    from farthing.planning.quote import Quote
    from farthing.planning.tuning import Tuning

FORMATS = (".png", ".svg")
DOTS_PER_INCH = 150
# Okabe and Ito's colours, which the colour-blind can tell apart.
COLOURS = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#8C6D1F",
    "#7F7F7F",
)  # fmt: skip
GRID = {"color": "#dddddd", "linewidth": 0.6}


def draw_quote(quotation: Quote, file: Path) -> None:
    """A month's cost over calls a day, a line for each family, with the break-even points."""
    from farthing.planning.break_even import curves_of, grid

    figure, axes = make_figure(file, (10, 6))
    calls = grid()
    curves = curves_of(quotation.options)
    ends = []
    for curve, colour in zip(curves, COLOURS, strict=False):
        usd = [curve.usd_month(each) for each in calls]
        axes.plot(calls, usd, color=colour, linewidth=1.8)
        ends.append((usd[-1], curve, colour))
    for one in quotation.break_evens:
        if one.calls_per_day > calls[0]:
            axes.plot(one.calls_per_day, one.usd_month, "o", color="black", markersize=4.5)
            axes.annotate(
                _short(one.calls_per_day),
                (one.calls_per_day, one.usd_month),
                xytext=(4, -11),
                textcoords="offset points",
                fontsize=7.5,
            )
    quoted = quotation.calls_month * 12 / 365
    axes.axvline(quoted, color="#999999", linestyle=":", linewidth=1)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(calls[0], calls[-1])
    top = max(usd for usd, _, _ in ends) * 3
    axes.set_ylim(max(1e-3, min(c.usd_month(calls[0]) for c in curves) / 2), top)
    _label_ends(axes, ends)
    axes.text(quoted, top, f" {_short(quoted)} a day, as quoted", fontsize=7.5, va="top")
    axes.set_xlabel("calls a day")
    axes.set_ylabel("USD a month, fully loaded")
    axes.set_title(
        f"{quotation.name}: the cheapest option of each kind; dots are where it becomes cheaper "
        "than Lambda",
        fontsize=10,
        loc="left",
    )
    write_figure(figure, file)


def draw_tuning(tuning: Tuning, file: Path) -> None:
    """Over memory, the cost of a million warm calls above and the time of one below."""
    figure, (costs, times) = make_figure(file, (8, 7), rows=2)
    sizes = [size.memory_mb for size in tuning.sizes]
    for arch, colour in zip(("x86_64", "arm64"), COLOURS, strict=False):
        usd = [float(size.warm_usd_per_million[arch]) for size in tuning.sizes]
        costs.plot(sizes, usd, "o-", color=colour, label=arch)
    costs.set_ylim(bottom=0)
    costs.set_ylabel("USD a million warm calls")
    series = (
        ("p50", [size.warm_p50_ms for size in tuning.sizes], "s-", COLOURS[3]),
        ("p95", [size.warm_p95_ms for size in tuning.sizes], "s:", COLOURS[3]),
        ("by Lambda's rule, share always spent", [s.rule_ms for s in tuning.sizes], "--", "gray"),
    )
    for label, millis, style, colour in series:
        times.plot(sizes, millis, style, color=colour, label=label, markersize=4)
    times.set_yscale("log")
    times.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    times.yaxis.set_minor_formatter(lambda value, _: f"{value:g}")
    times.tick_params(which="minor", labelsize=7)
    times.set_ylabel("ms a warm call")
    times.set_xlabel("memory, MB")
    for axes in (costs, times):
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.xaxis.minorticks_off()
        axes.axvline(tuning.cheapest.memory_mb, color="#999999", linestyle=":", linewidth=1)
        axes.legend(fontsize=8, frameon=False)
    costs.set_title(
        f"{tuning.function}: cheapest at {tuning.cheapest.memory_mb:,} MB, fastest at "
        f"{tuning.fastest.memory_mb:,} MB ({tuning.method})",
        fontsize=10,
        loc="left",
    )
    write_figure(figure, file)


def make_figure(file: Path, inches: tuple[float, float], rows: int = 1) -> tuple[Any, Any]:
    """A figure without a window. Raises `PlanningError` for a format that is not drawn."""
    if file.suffix.lower() not in FORMATS:
        raise PlanningError("A plot is drawn as .png or .svg. Name such a file.")
    if not file.resolve().parent.is_dir():
        raise PlanningError("The plot's folder does not exist. Make it, or name another.")
    from matplotlib.figure import Figure

    figure = Figure(figsize=inches, layout="constrained")
    every = figure.subplots(rows, squeeze=False)[:, 0]
    for axes in every:
        axes.grid(visible=True, which="major", **GRID)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    return figure, every if rows > 1 else every[0]


def write_figure(figure: Any, file: Path) -> None:
    """Writes the file. Raises `PlanningError` where it cannot be."""
    # Without a date, so that the same figures draw the same file.
    metadata = {"Date": None} if file.suffix.lower() == ".svg" else None
    try:
        figure.savefig(file, dpi=DOTS_PER_INCH, metadata=metadata)
    except OSError as error:
        raise PlanningError(
            f"The plot cannot be written: {error.strerror}. Name another file."
        ) from None


def _label_ends(axes: Any, ends: list[tuple[float, Curve, str]]) -> None:
    """Names at the right ends of their lines, moved apart where they would lie on each other."""
    low, high = (math.log10(bound) for bound in axes.get_ylim())
    gap = (high - low) / 24
    at = math.inf
    for usd, curve, colour in sorted(ends, key=lambda end: -end[0]):
        at = min(at - gap, math.log10(usd))
        axes.annotate(
            curve.family,
            (1.0, (at - low) / (high - low)),
            xycoords="axes fraction",
            xytext=(5, 0),
            textcoords="offset points",
            fontsize=8.5,
            va="center",
            color=colour,
            annotation_clip=False,
        )


def _short(calls: float) -> str:
    for size, unit in ((1e9, " bn"), (1e6, " M"), (1e3, " k")):
        if calls >= size:
            return f"{calls / size:.3g}{unit}"
    return f"{calls:.3g}"
