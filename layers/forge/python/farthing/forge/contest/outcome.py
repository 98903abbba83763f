"""Who won, by which rule, and why the others did not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from farthing.forge.contest.errors import ContestInvalid, FloorNotMet
from farthing.forge.contest.floor import Floor, meets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from farthing.forge.contest.candidates import Entry
    from farthing.forge.contest.machine import Machine

# Two measurements of one bundle differ by as much, so smaller differences are no difference.
SAME_PRICE_SHARE = 0.01
SAME_TIME_SHARE = 0.05
SAME_SIZE_SHARE = 0.01
NEAREST_SHOWN = 3


@dataclass(frozen=True)
class Outcome:
    """`threshold` is what the floor asks for on the validation rows, where it decides;
    `threshold_test` is the same floor on the test rows. `winner` is None if nobody meets it.

    `provenance` says where all came from, in plain values: recipe, data, teacher, date.
    """

    entries: tuple[Entry, ...]
    floor: Floor
    threshold: float
    threshold_test: float
    winner: Entry | None
    machine: Machine
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def teacher(self) -> Entry | None:
        """The teacher's entry, if it took part."""
        return next((entry for entry in self.entries if entry.family == "teacher"), None)

    def entry(self, name: str) -> Entry:
        """The entry of the candidate called `name`. Raises KeyError if there is none."""
        return {entry.name: entry for entry in self.entries}[name]

    def bundle(self, name: str) -> Entry:
        """The entry of the bundle called `name`.

        :raises ContestInvalid: if there is none.
        """
        bundles = {entry.name: entry for entry in self._bundles()}
        if name not in bundles:
            raise ContestInvalid(
                f"The candidate {name!r} was to be packed; the contest had {', '.join(bundles)}. "
                "Name one of these."
            )
        return bundles[name]

    def require_winner(self) -> Entry:
        """The winner.

        :raises FloorNotMet: if there is none; names the nearest candidates.
        """
        if self.winner is None:
            nearest = sorted(self._bundles(), key=lambda entry: -entry.valid.accuracy)
            shown = "; ".join(
                f"{entry.name} with {entry.valid.accuracy:.4f} at "
                f"${entry.usd_per_million:.4f} a million calls"
                for entry in nearest[:NEAREST_SHOWN]
            )
            raise FloorNotMet(
                f"The floor {self.floor.asked} asks for an accuracy of {self.threshold:.4f} on the "
                f"validation rows, and none of {len(nearest)} candidates has it. Nearest: {shown}. "
                "Lower the floor, or add a candidate that is more accurate."
            )
        return self.winner

    def why(self) -> str:
        """Why the winner won, or that nobody did, in whole sentences."""
        if self.winner is None:
            return f"Nobody wins: no candidate meets the floor {self.floor.asked}."
        winner = self.winner
        able = [entry for entry in self._bundles() if self.is_able(entry)]
        met = f"{len(able)} candidates that meet" if len(able) > 1 else "all, the only one to meet"
        won = f"{winner.name} wins: the cheapest of {met} the floor {self.floor.asked}"
        words = [f"{won}, at ${winner.usd_per_million:.4f} a million warm calls."]
        if winner.family == "linear":
            words.append(
                "It is a linear model: these data do not need a transformer at this floor."
            )
        tied = [entry.name for entry in able if entry is not winner and same_price(entry, winner)]
        if tied:
            words.append(
                f"{', '.join(tied)} cost{'s' if len(tied) == 1 else ''} as much within "
                f"{SAME_PRICE_SHARE:.0%}; among such the quickest wins, then the smallest, then "
                "the most accurate."
            )
        if winner.report.answers_alone:
            words.append("Each text is run alone, because neighbours would change its answer.")
        if not meets(winner.accuracy, self.threshold_test):
            words.append(
                f"On the test rows, which had no say, it has {winner.accuracy:.4f} where the floor "
                f"would ask for {self.threshold_test:.4f}."
            )
        return " ".join(words)

    def fate(self, entry: Entry) -> str:
        """What became of an entry, in a few words."""
        if self.winner is not None and entry.name == self.winner.name:
            return "winner"
        if entry.family == "teacher":
            return "the measure"
        if not self.is_able(entry):
            return "below the floor"
        if self.winner is None or same_price(entry, self.winner):
            return "same price"
        return f"dearer by {entry.usd_per_million / self.winner.usd_per_million - 1:.0%}"

    def is_able(self, entry: Entry) -> bool:
        """Whether an entry could win: a bundle that meets the floor on the validation rows."""
        return entry.family != "teacher" and meets(entry.valid.accuracy, self.threshold)

    def _bundles(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.family != "teacher"]


def cheapest(entries: Sequence[Entry], threshold: float) -> Entry | None:
    """The cheapest bundle that meets the threshold on the validation rows; None if none does.

    Warm calls decide. Among prices within 1 % of the lowest, which whole milliseconds often make,
    the shorter median time wins; among times within 5 % of the shortest the fewer bytes; among
    sizes within 1 % of the smallest the higher accuracy on the validation rows; then the name.
    """
    able = [
        entry
        for entry in entries
        if entry.family != "teacher" and meets(entry.valid.accuracy, threshold)
    ]
    if not able:
        return None
    able = _lowest(able, lambda entry: float(entry.usd_per_million), SAME_PRICE_SHARE)
    able = _lowest(able, lambda entry: entry.report.times.one_text_p50_ms, SAME_TIME_SHARE)
    able = _lowest(able, lambda entry: entry.report.bytes, SAME_SIZE_SHARE)
    return min(able, key=lambda entry: (-entry.valid.accuracy, entry.name))


def _lowest(entries: Sequence[Entry], value: Callable[[Entry], float], share: float) -> list[Entry]:
    """The entries whose value is within `share` of the lowest."""
    most = min(map(value, entries)) * (1 + share)
    return [entry for entry in entries if value(entry) <= most]


def same_price(one: Entry, other: Entry) -> bool:
    """Whether two prices differ by no more than two measurements of one bundle do."""
    low, high = sorted((float(one.usd_per_million), float(other.usd_per_million)))
    return high <= low * (1 + SAME_PRICE_SHARE)
