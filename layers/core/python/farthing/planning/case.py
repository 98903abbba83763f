"""What is to be quoted: work, traffic, prices and assumptions; fleets are simulated once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from farthing.money import ratio
from farthing.planning.growth import Hours
from farthing.planning.simulation import Elastic, Fixed, Run, simulate
from farthing.planning.traffic import HOURS_PER_MONTH, US_PER_HOUR

if TYPE_CHECKING:
    from decimal import Decimal

    from farthing.planning.assumptions import Assumptions
    from farthing.planning.rates import Rates
    from farthing.planning.traffic import Traffic
    from farthing.planning.work import Work

MB_PER_GB = 1024
MS_PER_S = 1000
US_PER_S = 1_000_000
SECONDS_PER_MONTH = HOURS_PER_MONTH * 3600


class Case:
    """`run` simulates each distinct fleet once, however many options share it."""

    def __init__(
        self, work: Work, traffic: Traffic, rates: Rates, assumptions: Assumptions
    ) -> None:
        self.work = work
        self.traffic = traffic
        self.rates = rates
        self.assumptions = assumptions
        self.hours = Hours(traffic.by_hour)
        self._runs: dict[tuple[int, Elastic | Fixed], Run] = {}

    def machines_by_hour(self, service_us: float, slots: int) -> list[int]:
        """How many machines of `slots` cores each hour of the month needs, at least one."""
        most = float(self.assumptions.number("machine.utilisation"))
        per_hour = slots * US_PER_HOUR / service_us * most
        return [max(1, math.ceil(calls / per_hour)) for calls in self.traffic.by_hour]

    def run(self, service_us: int, fleet: Elastic | Fixed) -> Run:
        key = (service_us, fleet)
        if key not in self._runs:
            self._runs[key] = simulate(self.traffic, service_us, fleet)
        return self._runs[key]

    def elastic(
        self, platform: str, init_us: int, floor: int = 0, *, init_billed: bool = False
    ) -> Elastic:
        """The platform's fleet that goes to its floor, by the assumptions on it."""
        start_us = self.assumptions.us(f"{platform}.start")
        return Elastic(
            start_us if init_billed else start_us + init_us,
            init_us if init_billed else 0,
            self.assumptions.us(f"{platform}.keep-alive"),
            floor,
        )

    def month(self, simulated: int) -> int:
        return self.traffic.month(simulated)

    def mean_service_us(self, service_us: int) -> int:
        """What a call takes on average where the model takes `service_us`."""
        own = self.traffic.services_us
        if not own:
            return service_us
        scale = service_us / self.work.service_us(1000 * self.work.threads)
        return max(1, round(sum(own) / len(own) * scale))

    def machines(self, service_us: float, slots: int) -> tuple[int, float, float]:
        """How many machines of `slots` cores the busiest hour needs, how many calls they take in
        a month of such hours, and which share of the month they compute."""
        count = max(self.machines_by_hour(service_us, slots))
        busy_us = self.traffic.calls_month * service_us
        busy = busy_us / (count * slots * US_PER_HOUR * HOURS_PER_MONTH)
        return count, self.slots_max_month(service_us, count * slots), busy

    def slots_max_month(self, service_us: float, slots: int) -> float:
        """How many calls a month so many slots take, their busiest hour being as full as may be."""
        most = float(self.assumptions.number("machine.utilisation"))
        peak = self.traffic.busiest_hour / self.traffic.calls_month
        return slots * US_PER_HOUR / service_us * most / peak


def gb_s_of_ms(billed_ms: int, memory_mb: int) -> Decimal:
    return ratio(billed_ms * memory_mb, MB_PER_GB * MS_PER_S)


def gb_s_of_s(seconds: int, memory_mb: int) -> Decimal:
    return ratio(seconds * memory_mb, MB_PER_GB)


def vcpu_s(busy_us: int, vcpu_milli: int) -> Decimal:
    return ratio(busy_us * vcpu_milli, US_PER_S * 1000)
