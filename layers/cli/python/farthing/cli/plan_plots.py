"""Plots of what a cache or warm instances are worth, as PNG or SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.cli.plots import COLOURS, make_figure, write_figure

if TYPE_CHECKING:
    from pathlib import Path

    from farthing.planning.caching.plan import CachePlan
    from farthing.planning.warmth.plan import WarmPlan

LABEL_CHARS = 60


def draw_warm(plan: WarmPlan, file: Path) -> None:
    """Each way by its price and its p99 and p99.9; the line is the p99 asked for."""
    figure, axes = make_figure(file, (9, 5))
    for way, colour in zip(plan.ways, COLOURS, strict=False):
        usd = float(way.usd_month)
        axes.plot([way.p99_ms, way.p999_ms], [usd, usd], color=colour, linewidth=1)
        axes.plot(
            way.p99_ms, usd, "o", color=colour, label=f"{way.name}: {way.profile}"[:LABEL_CHARS]
        )
        axes.plot(way.p999_ms, usd, "|", color=colour, markersize=12)
    axes.axvline(plan.target.p99_ms, color="#999999", linestyle=":", linewidth=1)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("ms of a call: p99 (dot) and p99.9 (bar)")
    axes.set_ylabel("USD a month")
    axes.legend(fontsize=7.5, frameon=False)
    title = f"{plan.platform}, {plan.memory_mb:,} MB: {plan.calls_month:,} calls a month"
    axes.set_title(title, fontsize=10, loc="left")
    write_figure(figure, file)


def draw_cache(plan: CachePlan, file: Path) -> None:
    """Each choice's month in dollars, computing and store, with the share that it answers."""
    figure, axes = make_figure(file, (9, 5))
    names = [choice.name for choice in plan.choices]
    computing = [float(choice.computing_usd) for choice in plan.choices]
    store = [float(choice.store_usd) for choice in plan.choices]
    axes.barh(names, computing, color=COLOURS[0], label="computing")
    axes.barh(names, store, left=computing, color=COLOURS[1], label="the store")
    for row, choice in enumerate(plan.choices):
        answered = f"  {choice.local + choice.remote:.1%} answered, {choice.usd_month:,.4f} USD"
        axes.text(computing[row] + store[row], row, answered, va="center", fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(right=1.4 * max(a + b for a, b in zip(computing, store, strict=True)))
    axes.set_xlabel("USD a month")
    axes.legend(fontsize=8, frameon=False)
    title = f"{plan.platform}, {plan.memory_mb:,} MB: {plan.calls_month:,} calls a month"
    axes.set_title(title, fontsize=10, loc="left")
    write_figure(figure, file)
