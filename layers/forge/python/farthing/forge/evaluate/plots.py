"""A report as pictures: calibration, the labels that suffered, and the times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.ticker import MultipleLocator, PercentFormatter, StrMethodFormatter

from farthing.forge.evaluate.figures import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    VERMILION,
    new_figure,
    ruled,
    save,
    styled,
)
from farthing.forge.evaluate.scores import worst_classes

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from farthing.forge.evaluate.report import Report
    from farthing.forge.evaluate.scores import Scores
    from farthing.forge.evaluate.timing import Times

NS_PER_MS = 1_000_000
CLASSES_SHOWN = 12
LABEL_CHARS = 28
HISTOGRAM_BINS = 40


def draw(report: Report, folder: Path) -> tuple[Path, ...]:
    """Writes every plot that the report has numbers for, each as PNG and SVG."""
    with styled():
        figures = {"latency": latency_figure(report.times, report.name)}
        if report.scores is not None:
            figures["reliability"] = reliability_figure(report.scores, report.name)
            figures["classes"] = classes_figure(report.scores, report.name)
        return tuple(
            path for name, figure in figures.items() for path in save(figure, folder, name)
        )


def reliability_figure(scores: Scores, name: str) -> Figure:
    """Accuracy against confidence, and below it how many rows each bin has."""
    bins = [entry for entry in scores.reliability if entry.rows]
    figure = new_figure()
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    width = scores.reliability[0].high - scores.reliability[0].low
    middles = [(entry.low + entry.high) / 2 for entry in bins]
    upper.plot([0, 1], [0, 1], color=GREY, linestyle="--", label="as sure as right")
    upper.bar(
        middles,
        [entry.accuracy for entry in bins],
        width=width * 0.92,
        color=BLUE,
        label="answers of such a probability",
    )
    upper.scatter(
        [entry.confidence for entry in bins],
        [entry.accuracy for entry in bins],
        color=ORANGE,
        edgecolor="black",
        zorder=3,
        label="their mean probability",
    )
    upper.set(ylabel="share of right answers", ylim=(0, 1.05), xlim=(0, 1.005))
    upper.set_title(
        f"{name}: how sure and how right\n"
        f"expected calibration error {scores.calibration_error:.2%}, {scores.rows:,} rows"
    )
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    lower.bar(middles, [entry.rows for entry in bins], width=width * 0.92, color=GREY)
    lower.set(ylabel="rows", xlabel="probability of the answer", yscale="log")
    # From below 1, so that a single row shows.
    lower.set_ylim(bottom=0.6)
    lower.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    lower.minorticks_off()
    for axes in (upper, lower):
        ruled(axes, "y")
    upper.yaxis.set_major_formatter(PercentFormatter(1))
    lower.xaxis.set_major_formatter(PercentFormatter(1))
    lower.xaxis.set_major_locator(MultipleLocator(0.1))
    return figure


def classes_figure(scores: Scores, name: str) -> Figure:
    """The labels with the largest loss against the teacher, or the lowest recall without one."""
    has_teacher = scores.teacher_accuracy is not None
    worst = worst_classes(scores, CLASSES_SHOWN)[::-1]
    figure = new_figure(height_inches=1.6 + 0.32 * len(worst))
    axes = figure.subplots()
    labels = [f"{_short(entry.label)} ({entry.rows:,})" for entry in worst]
    if has_teacher:
        lost = [entry.recall_lost_points or 0.0 for entry in worst]
        colours = [VERMILION if points > 0 else GREEN for points in lost]
        bars = axes.barh(labels, lost, color=colours)
        axes.bar_label(bars, fmt="{:+.1f}", padding=3)
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set(xlabel="recall lost against the teacher, in points (negative: gained)")
        axes.set_title(f"{name}: where the teacher knew more")
    else:
        bars = axes.barh(labels, [1 - entry.recall for entry in worst], color=BLUE)
        axes.bar_label(bars, fmt="{:.1%}", padding=3)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=1))
        axes.set(xlabel="share of the label's rows that got another answer")
        axes.set_title(f"{name}: the labels missed most often")
    axes.set(ylabel="label (rows)")
    axes.margins(x=0.12)
    ruled(axes, "x")
    return figure


def latency_figure(times: Times, name: str) -> Figure:
    """How many texts take how long, with the median and the 95th percentile."""
    figure = new_figure(height_inches=4.0)
    axes = figure.subplots()
    axes.hist([ns / NS_PER_MS for ns in times.one_text_ns], bins=HISTOGRAM_BINS, color=BLUE)
    marks = (
        ("median", times.one_text_p50_ms, ORANGE, "-"),
        ("95th percentile", times.one_text_p95_ms, VERMILION, "--"),
    )
    for what, at_ms, colour, line in marks:
        axes.axvline(
            at_ms, color=colour, linestyle=line, linewidth=2, label=f"{what} {at_ms:.3g} ms"
        )
    threads = f"{times.threads} thread{'s' if times.threads > 1 else ''}"
    axes.set(xlabel="time of one text, ms", ylabel="texts")
    axes.set_xlim(left=0)
    axes.set_title(f"{name}: time of an answer, {times.texts:,} texts on {threads}")
    axes.legend(frameon=False)
    ruled(axes, "y")
    return figure


def _short(label: str) -> str:
    return label if len(label) <= LABEL_CHARS else f"{label[: LABEL_CHARS - 1]}…"
