"""A warmth plan: which way reaches a p99 for the least money, by simulating a trace on each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from farthing.planning.errors import Unfit
from farthing.planning.warmth.history import WEEK_HOURS
from farthing.planning.warmth.schedule import DAY_GROUPS
from farthing.planning.warmth.trials import Trials

# Resolved at run time by msgspec, which reads the annotations.
from farthing.planning.warmth.ways import US_PER_MS, Target, Way

if TYPE_CHECKING:
    from collections.abc import Callable

    from farthing.planning.warmth.history import History
    from farthing.planning.warmth.sites import Site

# Schedules are tried with so many instances at most, or with as many as a whole month needs.
SCHEDULED_MAX = 4
MORE = {
    "plain": "whatever keeps instances warm is not needed",
    "pings": "each ping keeps one instance, so several are kept only by as many at once",
}


class WarmPlan(msgspec.Struct, frozen=True, kw_only=True):
    """`ways`: those that reach the target by price, then the others by p99. `left_out` says why."""

    platform: str
    memory_mb: int
    arch: str
    target: Target
    calls_month: int
    service_ms: float
    ways: tuple[Way, ...]
    left_out: tuple[tuple[str, str], ...]
    says: tuple[str, ...]
    assumptions: tuple[dict[str, str], ...]
    not_covered: tuple[str, ...]
    price_book: str
    region: str

    @property
    def cheapest(self) -> Way | None:
        """The cheapest that reaches the target; None where none does."""
        return next((way for way in self.ways if way.reaches), None)

    @property
    def sentence(self) -> str:
        best = self.cheapest
        if best is None:
            near = self.ways[0]
            return (
                f"No way reaches {self.target}: the best is {near.name}, {near.profile}, with a "
                f"p99 of {near.p99_ms:,.1f} ms and a p99.9 of {near.p999_ms:,.1f}, and a warm call "
                f"alone computes {self.service_ms:,.1f} ms. Give more memory, or a later target."
            )
        said = (
            f"Cheapest for {self.target}: {best.name}, {best.profile}, for {best.usd_month:,.4f} "
            f"USD a month, p99 {best.p99_ms:,.1f} ms, {best.cold_share:.3%} of the calls cold"
        )
        return f"{said}; {MORE[best.name]}." if best.name in MORE else f"{said}."

    def as_json(self) -> dict[str, object]:
        """The object that `farthing warm plan --json` prints."""
        return {
            "platform": self.platform,
            "memory_mb": self.memory_mb,
            "arch": self.arch,
            "target": msgspec.structs.asdict(self.target),
            "calls_month": self.calls_month,
            "service_ms": self.service_ms,
            "currency": "USD",
            "basis": "quoted",
            "price_book": self.price_book,
            "region": self.region,
            "cheapest": None if self.cheapest is None else self.cheapest.name,
            "sentence": self.sentence,
            "ways": [way.as_json() for way in self.ways],
            "left_out": [{"way": name, "reason": why} for name, why in self.left_out],
            "traffic": list(self.says),
            "assumptions": list(self.assumptions),
            "not_covered": list(self.not_covered),
        }


def plan_warmth(
    history: History,
    site: Site,
    target: Target,
    progress: Callable[[int], None] = lambda _done: None,
) -> WarmPlan:
    """The ways to keep the site's instances warm. Raises `PriceMissing`, never guesses a price."""
    trials = Trials(history, site, target, progress)
    ways: list[Way] = [trials.way("plain", "nothing kept", site.fleet())]
    left_out: list[tuple[str, str]] = []
    if site.has_snapshots:
        fleet = site.fleet(snapshot=True)
        ways.append(trials.way("snapshot", "SnapStart", fleet, snapshot=True))
    else:
        left_out.append(("snapshot", f"{site.title} has none that a plan could price"))
    kept = trials.fewest(lambda count: site.fleet(pings=count))
    profile = f"{kept} at once, " if kept > 1 else ""
    profile += f"every {site.ping_every_s // 60} min"
    ways.append(trials.way("pings", profile, site.fleet(pings=kept)))
    kept = trials.fewest(lambda count: site.fleet((count,) * WEEK_HOURS))
    floor = site.fleet((kept,) * WEEK_HOURS)
    ways.append(trials.way("floor", f"{kept} {site.floor_name}", floor))
    try:
        if ways[0].reaches:
            raise Unfit("plain reaches the target in every hour taken together")
        ways.append(_by_schedule(trials, kept))
    except Unfit as error:
        left_out.append(("schedule", str(error)))
    ways.sort(key=_order)
    names = dict.fromkeys((*site.assumed, *(name for way in ways for name in way.assumptions)))
    return WarmPlan(
        platform=site.title,
        memory_mb=site.memory_mb,
        arch=site.arch,
        target=target,
        calls_month=history.calls_month,
        service_ms=site.service_us / US_PER_MS,
        ways=tuple(ways),
        left_out=tuple(left_out),
        says=history.says,
        assumptions=tuple(
            {"name": name, "says": one.says, "source": one.source}
            for name in names
            for one in (site.assumptions[name],)
        ),
        not_covered=site.not_covered,
        price_book=site.rates.book.version,
        region=site.rates.region,
    )


def _order(way: Way) -> tuple[bool, object, object]:
    if way.reaches:
        return False, way.usd_month, way.p99_ms
    return True, way.p99_ms, way.usd_month


def _by_schedule(trials: Trials, enough: int) -> Way:
    """The cheapest floor of some hours of some days that reaches it. Raises `Unfit` for none."""
    history, site = trials.history, trials.site
    if history.weeks < 1:
        raise Unfit("the trace is shorter than a week, so it tells nothing of the week's hours")
    found: list[Way] = []
    for kept in range(1, enough + 1) if enough <= SCHEDULED_MAX else (enough,):
        for days in DAY_GROUPS:
            window = trials.shortest(days, kept)
            if window is not None:
                profile = f"{kept} {site.floor_name}, {window}"
                fleet = trials.fleet_in(window, kept)
                found.append(trials.way("schedule", profile, fleet, window=window))
    if not found:
        raise Unfit("no hours of the day suffice but all of them")
    return min(found, key=lambda way: way.usd_month)
