"""Who takes part in a contest, and what was measured of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from farthing.forge.contest.errors import ContestInvalid

if TYPE_CHECKING:
    from decimal import Decimal
    from pathlib import Path

    from farthing.forge.evaluate.report import Report
    from farthing.forge.evaluate.scores import Scores
    from farthing.forge.teach.teaching import Teaching

Family = Literal["linear", "transformer", "teacher"]


@dataclass(frozen=True)
class Candidate:
    """A bundle in `folder`, or the teacher itself, which is measured but never wins.

    The teacher has `teaching` instead of a folder. `cold_ms` and `peak_rss_mb` are a teacher's
    cold start and the resident set of a process that holds it, where the caller knows them.
    """

    name: str
    family: Family
    folder: Path | None
    teaching: Teaching | None = None
    cold_ms: float | None = None
    peak_rss_mb: float | None = None

    @property
    def bundle(self) -> Path:
        """The folder of its bundle.

        :raises ContestInvalid: if it has none.
        """
        if self.folder is None:
            raise ContestInvalid(
                f"The candidate {self.name} has neither a folder nor a teacher's answers. "
                "Give the folder of its bundle."
            )
        return self.folder


@dataclass(frozen=True)
class Entry:
    """A candidate with its scores on the validation rows, which decide, and its report on the
    test rows, which tells what that decision is worth.
    """

    candidate: Candidate
    valid: Scores
    report: Report

    @property
    def name(self) -> str:
        return self.candidate.name

    @property
    def family(self) -> Family:
        return self.candidate.family

    @property
    def accuracy(self) -> float:
        """On the test rows, 0..1; 0 for what has no accuracy."""
        return self.report.scores.accuracy if self.report.scores else 0.0

    @property
    def usd_per_million(self) -> Decimal:
        """Dollars for a million warm calls."""
        return self.report.price.warm.usd_per_million
