"""Holding a contest: every candidate is measured the same way, then one is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from farthing.forge.contest.candidates import Entry
from farthing.forge.contest.errors import ContestInvalid
from farthing.forge.contest.floor import read_floor
from farthing.forge.contest.machine import this_machine
from farthing.forge.contest.outcome import Outcome, cheapest
from farthing.forge.evaluate.measure import RUNS, STARTS, evaluate, score_model, side_by_side
from farthing.forge.evaluate.price import Pricing
from farthing.forge.evaluate.quality import open_model
from farthing.forge.evaluate.teacher import evaluate_teacher, score_teacher

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from rich.progress import Progress

    from farthing.forge.contest.candidates import Candidate
    from farthing.forge.data.labelled import LabelledSet
    from farthing.forge.evaluate.timing import Times
    from farthing.forge.plans import ContestPlan, DriftPlan
    from farthing.forge.teach.teaching import Teaching


def hold(
    candidates: Sequence[Candidate],
    valid: LabelledSet,
    test: LabelledSet,
    *,
    plan: ContestPlan,
    drift: DriftPlan,
    out_of_scope: str = "",
    threads: int = 1,
    runs: int = RUNS,
    starts: int = STARTS,
    provenance: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """The outcome; `valid` decides, `test` is reported.

    The teacher, if it is a candidate, gives the others something to be compared with: its
    `teaching` has logits for "valid" and "test" in the order of these rows.

    :param provenance: plain values for the receipt: recipe, data, teacher, date.
    :raises ContestInvalid: if the candidates, the rows or the floor do not allow a contest.
    :raises Unmeasurable: if a candidate does not suit the rows.
    """
    floor = read_floor(plan.floor)
    _check(candidates, valid, test)
    teaching = next((one.teaching for one in candidates if one.teaching is not None), None)
    if teaching is None:
        floor.threshold(None)  # refuses a share of nobody's accuracy before anything is measured
    # The teacher is too slow to take turns with the others.
    bundles = {one.name: one.bundle for one in candidates if one.teaching is None}
    bench = _Bench(
        valid=valid,
        test=test,
        teaching=teaching,
        pricing=Pricing(platform=plan.platform, memory_mb=plan.memory_mb),
        drift=drift,
        out_of_scope=out_of_scope,
        threads=threads,
        runs=runs,
        starts=starts,
        times=side_by_side(bundles, test.texts, threads=threads, runs=runs),
    )
    entries = [bench.entry(candidate) for candidate in _shown(candidates, progress)]
    theirs = next((entry for entry in entries if entry.family == "teacher"), None)
    threshold = floor.threshold(None if theirs is None else theirs.valid.accuracy)
    return Outcome(
        entries=tuple(entries),
        floor=floor,
        threshold=threshold,
        threshold_test=floor.threshold(None if theirs is None else theirs.accuracy),
        winner=cheapest(entries, threshold),
        machine=this_machine(),
        provenance=dict(provenance or {}),
    )


@dataclass(frozen=True)
class _Bench:
    """What is the same for every candidate."""

    valid: LabelledSet
    test: LabelledSet
    teaching: Teaching | None
    pricing: Pricing
    drift: DriftPlan
    out_of_scope: str
    threads: int
    runs: int
    starts: int
    times: Mapping[str, Times]

    def entry(self, candidate: Candidate) -> Entry:
        """What is measured of one candidate."""
        if candidate.teaching is not None:
            return self._teacher(candidate, candidate.teaching)
        return self._bundle(candidate, candidate.bundle)

    def _bundle(self, candidate: Candidate, folder: Path) -> Entry:
        logits = {} if self.teaching is None else self.teaching.logits
        labels = () if self.teaching is None else self.teaching.labels
        valid = score_model(
            open_model(folder, self.threads),
            self.valid,
            out_of_scope=self.out_of_scope,
            teacher_logits=logits.get("valid"),
            labels=labels,
        )
        report = evaluate(
            folder,
            self.test,
            drift=self.drift,
            pricing=self.pricing,
            teacher_logits=logits.get("test"),
            labels=labels,
            out_of_scope=self.out_of_scope,
            threads=self.threads,
            runs=self.runs,
            starts=self.starts,
            times=self.times[candidate.name],
        )
        return Entry(candidate, valid, report)

    def _teacher(self, candidate: Candidate, teaching: Teaching) -> Entry:
        report = evaluate_teacher(
            teaching,
            "test",
            self.test,
            pricing=self.pricing,
            out_of_scope=self.out_of_scope,
            threads=self.threads,
            cold_ms=candidate.cold_ms,
            peak_rss_mb=candidate.peak_rss_mb,
        )
        valid = score_teacher(teaching, "valid", self.valid, self.out_of_scope)
        return Entry(candidate, valid, report)


def _shown(candidates: Sequence[Candidate], progress: Progress | None) -> Iterator[Candidate]:
    """The candidates, one after the other, with their names on the progress bar."""
    if progress is None:
        yield from candidates
        return
    task = progress.add_task("contest", total=len(candidates))
    for candidate in candidates:
        progress.update(task, description=f"contest: {candidate.name}")
        yield candidate
        progress.advance(task)


def _check(candidates: Sequence[Candidate], valid: LabelledSet, test: LabelledSet) -> None:
    names = [candidate.name for candidate in candidates]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ContestInvalid(
            f"These candidates take part twice: {', '.join(twice)}. Give each a name of its own."
        )
    if all(candidate.family == "teacher" for candidate in candidates):
        raise ContestInvalid(
            "A contest needs at least one bundle beside the teacher. Add a student or a linear "
            "model."
        )
    if not len(valid) or not len(test):
        raise ContestInvalid(
            f"A contest is decided on validation rows and reported on test rows; these are "
            f"{len(valid)} and {len(test)}. Give both, or a share of the training rows."
        )
