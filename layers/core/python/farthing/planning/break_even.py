"""From how many calls a day another kind of option is cheaper."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from farthing.planning.options import Family, Option

CALLS_MIN, CALLS_MAX = 1, 10**9
# Between two steps of the search the order of two options is taken to change once at most.
STEPS_PER_DECADE = 60
# A range is told if its end has so many times the calls of its beginning.
RANGE_MIN = 1.5


class BreakEven(msgspec.Struct, frozen=True):
    """From `calls_per_day` on, `cheaper` costs less than `than`; `usd_month` is what both do.

    It ends with `until` calls a day, where it ends.
    """

    cheaper: str
    than: str
    calls_per_day: int
    usd_month: float
    until: int | None = None

    @property
    def sentence(self) -> str:
        says = f"{self.cheaper} is cheaper than {self.than}"
        if self.calls_per_day > CALLS_MIN:
            says += f" from {self.calls_per_day:,} calls a day ({self.usd_month:,.2f} USD a month)"
        elif self.until is None:
            says += " at any number of calls"
        if self.until is not None:
            says += f" up to {self.until:,} calls a day"
        return f"{says}."


class Curve:
    """The cheapest option of a family at each number of calls."""

    def __init__(self, family: Family, options: Sequence[Option]) -> None:
        self.family = family
        self._priced = [(option.usd_month_by_calls(), option) for option in options]

    def usd_month(self, calls_per_day: float) -> float:
        return min(price(calls_per_day) for price, _ in self._priced)

    def best(self, calls_per_day: float) -> Option:
        return min(self._priced, key=lambda priced: priced[0](calls_per_day))[1]


def curves_of(options: Iterable[Option]) -> list[Curve]:
    """A curve for each family, in the order of its cheapest option."""
    by_family: dict[Family, list[Option]] = {}
    for option in options:
        by_family.setdefault(option.family, []).append(option)
    return [Curve(family, members) for family, members in by_family.items()]


def break_evens(base: Curve, others: Sequence[Curve]) -> list[BreakEven]:
    """Where each of the others is cheaper than the base, in the order of the calls."""
    found = []
    for other in others:
        for calls, until in _cheaper(other, base):
            cheaper, than = (_name(curve, calls) for curve in (other, base))
            found.append(BreakEven(cheaper, than, calls, other.usd_month(calls), until))
    return sorted(found, key=lambda one: one.calls_per_day)


def grid() -> list[int]:
    """Numbers of calls a day, evenly spread on a logarithmic axis."""
    steps = round(math.log10(CALLS_MAX / CALLS_MIN) * STEPS_PER_DECADE)
    return sorted({round(CALLS_MIN * 10 ** (step / STEPS_PER_DECADE)) for step in range(steps + 1)})


def _cheaper(other: Curve, base: Curve) -> Iterator[tuple[int, int | None]]:
    """Ranges of calls a day in which the other is cheaper, if they are worth telling: machines
    come one by one, and near a crossing of the two each more of them makes a small range."""
    begun, before, cheaper = CALLS_MIN, CALLS_MIN, False
    for calls in grid():
        now = other.usd_month(calls) < base.usd_month(calls)
        if now and not cheaper:
            begun = calls if calls == CALLS_MIN else _bisected(other, base, before, calls)
        if cheaper and not now:
            until = _bisected(base, other, before, calls) - 1
            if until >= begun * RANGE_MIN:
                yield begun, until
        before, cheaper = calls, now
    if cheaper:
        yield begun, None


def _bisected(other: Curve, base: Curve, dearer: int, cheaper: int) -> int:
    while cheaper - dearer > 1:
        middle = (dearer + cheaper) // 2
        if other.usd_month(middle) < base.usd_month(middle):
            cheaper = middle
        else:
            dearer = middle
    return cheaper


def _name(curve: Curve, calls_per_day: int) -> str:
    option = curve.best(calls_per_day)
    return f"{option.platform} ({option.profile})"
