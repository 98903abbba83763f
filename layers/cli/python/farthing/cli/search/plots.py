"""What an index gains over words alone, query by query, and what its searches take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from farthing.cli.plots import COLOURS, make_figure, write_figure
from farthing.indexing.evaluation.report import EVERY, by_kind

if TYPE_CHECKING:
    from pathlib import Path

    from farthing.indexing.evaluation.report import Judged, Report, Timing

BINS = 60
GAINED, LOST = COLOURS[2], COLOURS[3]


class GainsPlot:
    """A sheet that is checked and laid out before the work whose figures it will show.

    Raises `PlanningError` for a format that is not drawn and a folder that is not there.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._figure, (self._gains, self._times) = make_figure(file, (9, 8), rows=2)

    def draw(self, report: Report) -> None:
        """Each query's gain in nDCG@10 above, by kind; how long searches took below."""
        _draw_gains(self._gains, report)
        _draw_times(self._times, report.timing)
        write_figure(self._figure, self._file)


def _draw_gains(axes: Any, report: Report) -> None:
    kinds = by_kind(report.judged) or {EVERY: report.judged}
    for (kind, judged), colour in zip(kinds.items(), COLOURS * len(kinds), strict=False):
        gains = _gains(judged)
        share = (np.arange(len(gains)) + 0.5) / len(gains) * 100
        told = report.significance[kind]
        label = f"{kind}: {told.difference:+.3f} on average over {len(gains):,} (p {told.p:.4f})"
        axes.step(share, gains, where="mid", color=colour, linewidth=1.6, label=label)
    every = _gains(report.judged)
    for chosen, y, colour, word in (
        (every > 0, 0.9, GAINED, "better"),
        (every < 0, -0.9, LOST, "worse"),
    ):
        text = f"{chosen.sum():,} of {len(every):,} queries {word}"
        axes.text(50, y, text, color=colour, fontsize=9, ha="center", va="center")
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xlim(0, 100)
    axes.set_ylim(-1.05, 1.05)
    axes.set_xlabel("queries, best gain first, %")
    axes.set_ylabel("gain in nDCG@10 over words alone")
    axes.legend(fontsize=8, frameon=False, loc="upper right")
    axes.set_title(
        f"{report.index}, version {report.version}, {report.documents:,} documents",
        fontsize=10,
        loc="left",
    )


def _draw_times(axes: Any, timing: Timing) -> None:
    # The slowest hundredth would squeeze the rest into a line.
    far_ms = timing.p99_ms * 1.25
    axes.hist(np.minimum(timing.taken_ms, far_ms), bins=BINS, color=COLOURS[0])
    for share_ms, name, colour in ((timing.p50_ms, "p50", "black"), (timing.p99_ms, "p99", LOST)):
        axes.axvline(share_ms, color=colour, linewidth=1.2, linestyle="--")
        axes.text(
            share_ms,
            1,
            f" {name} {share_ms:.2f} ms",
            color=colour,
            fontsize=8.5,
            va="bottom",
            transform=axes.get_xaxis_transform(),
        )
    stages = ", ".join(f"{stage} {ms:.2f}" for stage, ms in timing.stages_p50_ms.items())
    axes.set_xlim(left=0)
    axes.set_xlabel(f"ms a warm search for the top 10, one thread (medians: {stages})")
    axes.set_ylabel(f"of {len(timing.taken_ms):,} searches")


def _gains(judged: list[Judged]) -> Any:
    return np.array(sorted((one.default.ndcg - one.bm25.ndcg for one in judged), reverse=True))
