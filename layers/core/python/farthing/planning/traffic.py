"""When calls come: an assumed week for a bare count, or what a trace tells."""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec

from farthing.planning.errors import PlanningError

US_PER_S = 1_000_000
HOURS_PER_MONTH = 730
US_PER_HOUR = 3600 * US_PER_S
DAYS_PER_YEAR = 365
CALLS_PER_DAY_MAX = 10_000_000_000
# As many calls are simulated one by one; busier traffic is sampled.
SIMULATED_MAX = 400_000
SEED = 20_261_121

# The assumed week, in weights of its hours (UTC): a shop's or an office's day, and half of it on
# Saturdays and Sundays. The busiest hour has about twice the calls of the mean one.
NIGHT, EDGE, DAY = 2, 6, 16
WEEKEND_SHARE = 0.5
WORKDAYS = 5


class Traffic(msgspec.Struct, frozen=True):
    """`arrivals_us` are sorted and within `span_us`; `calls_month` is what a month has of them.

    `by_hour` is the expected calls of each hour of a month. `services_us` are the calls' own times
    at one full vCPU and `tokens` their sum, where a trace tells them; `says` describes all this
    in sentences.
    """

    arrivals_us: Sequence[int]
    span_us: int
    calls_month: int
    by_hour: tuple[float, ...]
    says: tuple[str, ...]
    services_us: Sequence[int] | None = None
    tokens_per_call: int | None = None

    @property
    def calls_per_day(self) -> float:
        return self.calls_month * 12 / DAYS_PER_YEAR

    @property
    def busiest_hour(self) -> float:
        """Calls of the busiest hour."""
        return max(self.by_hour)

    def month(self, simulated: int) -> int:
        """A quantity of the simulated calls, scaled to the month's calls, to the nearest unit."""
        calls = len(self.arrivals_us)
        return (simulated * self.calls_month + calls // 2) // calls


def traffic_of(calls_month: int) -> Traffic:
    """A month of so many calls by the assumed week, arriving by chance, always the same.

    Given their number, the arrivals of a Poisson process are independent draws from its rate.
    Raises `PlanningError` for a count that is not of this world.
    """
    if not 1 <= calls_month <= CALLS_PER_DAY_MAX * DAYS_PER_YEAR // 12:
        raise PlanningError(
            "The number of calls must be from 1 a month to "
            f"{CALLS_PER_DAY_MAX:,} a day. Give a number in that range."
        )
    weights = [_weight(hour) for hour in range(HOURS_PER_MONTH)]
    per_weight = calls_month / sum(weights)
    by_hour = tuple(weight * per_weight for weight in weights)
    hours, says = _simulated_hours(by_hour)
    span_us = HOURS_PER_MONTH * US_PER_HOUR if hours is None else hours[1]
    draws = random.Random(SEED)  # noqa: S311 - chance for a simulation, and repeatable
    if hours is None:
        picked = draws.choices(range(HOURS_PER_MONTH), weights, k=calls_month)
        arrivals = sorted(hour * US_PER_HOUR + draws.randrange(US_PER_HOUR) for hour in picked)
    else:
        arrivals = sorted(draws.randrange(span_us) for _ in range(hours[0]))
    return Traffic(arrivals, span_us, calls_month, by_hour, (_SHAPE, *says))


_SHAPE = (
    f"Calls come by chance (Poisson) on an assumed week: hours 08-20 UTC weigh {DAY}, 06-08 and "
    f"20-23 weigh {EDGE}, the night {NIGHT}, Saturday and Sunday half of that; a month has "
    f"{HOURS_PER_MONTH} hours."
)


def _weight(hour: int) -> float:
    day, of_day = divmod(hour, 24)
    busy = DAY if 8 <= of_day < 20 else EDGE if 6 <= of_day < 23 else NIGHT
    return busy * (1.0 if day % 7 < WORKDAYS else WEEKEND_SHARE)


def _simulated_hours(by_hour: Sequence[float]) -> tuple[tuple[int, int] | None, tuple[str, ...]]:
    """None for the whole month, else how many calls in how many us of the busiest hours."""
    if sum(by_hour) <= SIMULATED_MAX:
        return None, ()
    span_us = max(1, round(SIMULATED_MAX / max(by_hour) * US_PER_HOUR))
    says = (
        f"Of so many calls the busiest {span_us / US_PER_S:,.3g} s are simulated "
        f"({SIMULATED_MAX:,} calls), and stand for the month."
    )
    return (SIMULATED_MAX, span_us), (says,)
