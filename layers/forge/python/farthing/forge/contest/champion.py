"""Whether a newer model replaces an older one."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec
from scipy.stats import binomtest

from farthing.forge.contest.errors import ChampionStays, ContestInvalid
from farthing.forge.contest.floor import ROUNDING
from farthing.forge.contest.outcome import SAME_PRICE_SHARE

if TYPE_CHECKING:
    from farthing.forge.evaluate.report import Report
    from farthing.forge.evaluate.scores import Scores

# A challenger is worse if so few such samples would show so much from equals.
WORSE_LEVEL = 0.05


class Verdict(msgspec.Struct, frozen=True):
    """Two bundles on the same rows in scope; `gain` and `saved_share` favour the challenger.

    `worse_p` is the chance that two equal models differ at least so much to the challenger's
    disadvantage, given the rows on which just one of them is right. `why` is one sentence.
    """

    wins: bool
    why: str
    champion: str
    challenger: str
    rows: int
    champion_accuracy: float
    challenger_accuracy: float
    gain: float
    champion_only_right: int
    challenger_only_right: int
    worse_p: float
    champion_usd_per_million: Decimal
    challenger_usd_per_million: Decimal
    saved_share: float
    margin: float

    def require(self) -> None:
        """:raises ChampionStays: unless the challenger wins."""
        if not self.wins:
            raise ChampionStays(
                f"{self.challenger} was to replace {self.champion} by a margin of "
                f"{self.margin:g}. {self.why} Keep the bundle, or train a better challenger."
            )


def against(champion: Report, challenger: Report, margin: float) -> Verdict:
    """The verdict on a challenger, by one of two ways to win.

    - More accurate: its accuracy is higher, by at least `margin`.
    - Cheaper: its warm calls cost less by at least the share `margin`, or 1 % if that is more,
      since measured prices differ by as much; and it is not worse. It is worse if its accuracy is
      lower by more than half of `margin`, or if the exact one-sided McNemar test says so at 5 %:
      Q. McNemar, "Note on the sampling error of the difference between correlated proportions or
      percentages" (1947), with binomial probabilities for the rows that only one gets right.

    A bundle never wins against itself.

    :param margin: 0..1, accuracy to gain or share of the cost to save.
    :raises ContestInvalid: if the two were not scored on the same rows or not priced alike.
    """
    ours, theirs = _comparable(champion, challenger)
    lost = sum(a > b for a, b in zip(ours.right, theirs.right, strict=True))
    won = sum(a < b for a, b in zip(ours.right, theirs.right, strict=True))
    gain = (won - lost) / ours.rows
    worse_p = float(binomtest(lost, lost + won, alternative="greater").pvalue) if lost else 1.0
    old_usd = champion.price.warm.usd_per_million
    new_usd = challenger.price.warm.usd_per_million
    saved = float(1 - new_usd / old_usd)
    wins, why = _judged(gain, worse_p, saved, margin, champion.digest == challenger.digest)
    return Verdict(
        wins=wins,
        why=why,
        champion=champion.name,
        challenger=challenger.name,
        rows=ours.rows,
        champion_accuracy=ours.accuracy,
        challenger_accuracy=theirs.accuracy,
        gain=gain,
        champion_only_right=lost,
        challenger_only_right=won,
        worse_p=worse_p,
        champion_usd_per_million=old_usd,
        challenger_usd_per_million=new_usd,
        saved_share=saved,
        margin=margin,
    )


def _judged(
    gain: float, worse_p: float, saved: float, margin: float, is_same: bool
) -> tuple[bool, str]:
    """Whether the challenger wins, and why in one sentence."""
    if is_same:
        return False, "Both are the same bundle."
    numbers = f"{gain * 100:+.2f} points of accuracy and {saved:+.1%} of the cost saved"
    if gain > 0 and gain >= margin - ROUNDING:
        return True, f"The challenger is more accurate by the margin: {numbers}."
    if gain < -margin / 2 - ROUNDING:
        return False, f"The challenger is less accurate by more than half the margin: {numbers}."
    if worse_p < WORSE_LEVEL:
        return (
            False,
            f"The challenger is less accurate beyond chance (p = {worse_p:.3f}): {numbers}.",
        )
    if saved >= max(margin, SAME_PRICE_SHARE):
        return True, f"The challenger is no less accurate and cheaper by the margin: {numbers}."
    return False, f"The challenger is neither more accurate nor cheaper by the margin: {numbers}."


def _comparable(champion: Report, challenger: Report) -> tuple[Scores, Scores]:
    ours, theirs = champion.scores, challenger.scores
    if ours is None or theirs is None:
        raise ContestInvalid(
            f"{champion.name} and {challenger.name} were to be compared by accuracy, which only "
            "classifiers have. Compare two classifiers."
        )
    if ours.rows_digest != theirs.rows_digest or ours.rows != theirs.rows:
        raise ContestInvalid(
            f"{champion.name} was scored on {ours.rows} rows ({ours.rows_digest}), "
            f"{challenger.name} on {theirs.rows} ({theirs.rows_digest}). Score both on the same."
        )
    places = [
        (price.platform, price.region, price.arch, price.asked_mb, price.price_book)
        for price in (champion.price, challenger.price)
    ]
    if places[0] != places[1]:
        raise ContestInvalid(
            f"{champion.name} is priced for {places[0]}, {challenger.name} for {places[1]}. "
            "Price both alike."
        )
    return ours, theirs
