"""A champion and a challenger, measured side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.forge.contest.champion import against
from farthing.forge.evaluate.measure import RUNS, evaluate, side_by_side
from farthing.forge.evaluate.price import Pricing

if TYPE_CHECKING:
    from pathlib import Path

    from farthing.forge.contest.champion import Verdict
    from farthing.forge.data.labelled import LabelledSet
    from farthing.forge.plans import ContestPlan, DriftPlan


def duel(
    champion: Path,
    challenger: Path,
    test: LabelledSet,
    *,
    plan: ContestPlan,
    drift: DriftPlan,
    out_of_scope: str = "",
    threads: int = 1,
    runs: int = RUNS,
) -> Verdict:
    """The verdict on the bundle in `challenger`, by the rules of `champion.against`.

    Both answer the same rows now, and their times are taken by turns: a report from another hour
    would compare what the machine did besides.

    :raises ContestInvalid: if the two cannot be compared.
    :raises Unmeasurable: if one of them does not suit the rows.
    """
    folders = {"champion": champion, "challenger": challenger}
    times = side_by_side(folders, test.texts, threads=threads, runs=runs)
    reports = {
        name: evaluate(
            folder,
            test,
            drift=drift,
            pricing=Pricing(platform=plan.platform, memory_mb=plan.memory_mb),
            out_of_scope=out_of_scope,
            threads=threads,
            starts=1,
            times=times[name],
        )
        for name, folder in folders.items()
    }
    return against(reports["champion"], reports["challenger"], plan.margin)
