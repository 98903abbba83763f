"""Where calls are computed: how instances start and stop there, and what a month of them costs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from decimal import Decimal
from typing import TYPE_CHECKING

from farthing.money import EXACT, multiply
from farthing.planning.case import SECONDS_PER_MONTH, gb_s_of_ms, gb_s_of_s, vcpu_s
from farthing.planning.errors import PlanningError
from farthing.planning.offers.alibaba_fc import REGION, memory_for
from farthing.planning.offers.lambda_sizes import vcpu_milli_of
from farthing.planning.warmth.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farthing.billing.meter import Line
    from farthing.planning.assumptions import Assumptions
    from farthing.planning.rates import Rates
    from farthing.planning.warmth.fleet import Warmed
    from farthing.planning.warmth.history import History
    from farthing.planning.work import Work

US_PER_S, US_PER_MS, MB_PER_GB = 1_000_000, 1000, 1024
MINUTE_S = 60
LAMBDA_MB_MAX = 10_240
FC_VCPU_STEP = 50
POD_VCPU_MILLI = 1000
NODES = {"x86_64": "c7i.xlarge", "arm64": "c7g.xlarge"}


class Site(ABC):
    """One platform at one size. `floor_name` is what a ready instance is called there."""

    name: str
    title: str
    floor_name: str
    archs: tuple[str, ...] = ("x86_64", "arm64")
    has_snapshots = False
    is_init_billed = False
    assumed: tuple[str, ...]
    not_covered: tuple[str, ...] = ()

    def __init__(
        self, work: Work, rates: Rates, assumptions: Assumptions, memory_mb: int, arch: str
    ) -> None:
        if memory_mb < work.needed_mb:
            raise PlanningError(
                f"{memory_mb:,} MB are less than the work's {work.peak_mb:,} MB and a quarter "
                f"more. Give --memory-mb {work.needed_mb} or more."
            )
        self.rates = rates
        self.assumptions = assumptions
        self.memory_mb = memory_mb
        self.arch = self.archs[0] if arch not in self.archs else arch
        self.vcpu_milli = self._vcpu_milli()
        self.service_us = work.service_us(self.vcpu_milli, memory_mb)
        self.loading_us = work.init_us(self._init_vcpu_milli())
        self.start_us = assumptions.us(f"{self.name}.start")
        self.keep_us = assumptions.us(f"{self.name}.keep-alive")
        # Whole minutes are what schedulers count in; a fifth of the time is left for lateness.
        self.ping_every_s = max(1, self.keep_us * 4 // 5 // US_PER_S // MINUTE_S) * MINUTE_S

    def fleet(
        self, floors: tuple[int, ...] = (), pings: int = 0, *, snapshot: bool = False
    ) -> Fleet:
        loading_us = self.assumptions.us("lambda.restore") if snapshot else self.loading_us
        hold = "warm.hold-ms" if pings > 1 else "warm.ping-ms"
        return Fleet(
            self.start_us + (0 if self.is_init_billed else loading_us),
            loading_us if self.is_init_billed else 0,
            self.keep_us,
            floors,
            pings,
            self.ping_every_s * US_PER_S,
            int(self.assumptions.number(hold) * US_PER_MS),
        )

    @property
    def pings_month(self) -> int:
        """How often a month each kept instance is pinged."""
        return -(-SECONDS_PER_MONTH // self.ping_every_s)

    @abstractmethod
    def _vcpu_milli(self) -> int: ...

    def _init_vcpu_milli(self) -> int:
        return self._vcpu_milli()

    @abstractmethod
    def lines(
        self, history: History, run: Warmed, kept_s: int, pings: int, *, snapshot: bool = False
    ) -> list[Line]:
        """A month of the calls, of `kept_s` seconds of ready instances and of so many pings."""

    @abstractmethod
    def computing(self, calls: Iterable[tuple[int, int]]) -> list[Line]:
        """A month of calls that compute: how many of them, and how many us each."""

    def _pinged_ms(self, run: Warmed, pings: int) -> int:
        return -(-run.pings_billed_ms * pings // run.pings) if run.pings else 0


class Lambda(Site):
    name, title, floor_name = "lambda", "AWS Lambda", "provisioned"
    has_snapshots = is_init_billed = True
    assumed = ("lambda.keep-alive", "lambda.start", "lambda.init-core")
    not_covered = (
        "the schedule of pings itself, of which AWS gives millions away each month",
        "environments that AWS replaces though they are pinged: each is a cold start",
    )

    def _vcpu_milli(self) -> int:
        if self.memory_mb > LAMBDA_MB_MAX:
            raise PlanningError(f"Lambda has at most {LAMBDA_MB_MAX:,} MB. Give less.")
        return vcpu_milli_of(self.memory_mb)

    def _init_vcpu_milli(self) -> int:
        return 1000

    def lines(
        self, history: History, run: Warmed, kept_s: int, pings: int, *, snapshot: bool = False
    ) -> list[Line]:
        rates, arch, memory_mb = self.rates, self.arch, self.memory_mb
        beyond_ms = history.month(run.billed_ms - run.floor_billed_ms)
        lines = [
            rates.line("lambda.requests", history.calls_month + pings),
            *rates.lines(
                f"lambda.duration.{arch}",
                gb_s_of_ms(beyond_ms + self._pinged_ms(run, pings), memory_mb),
            ),
        ]
        if kept_s:
            on_floor = gb_s_of_ms(history.month(run.floor_billed_ms), memory_mb)
            lines += [
                *rates.lines(f"lambda.provisioned_duration.{arch}", on_floor),
                *rates.lines(f"lambda.provisioned.{arch}", gb_s_of_s(kept_s, memory_mb)),
            ]
        if snapshot:
            restored = history.month(run.cold) * gb_s_of_s(1, memory_mb)
            cached = gb_s_of_s(SECONDS_PER_MONTH, memory_mb)
            lines += [
                *rates.lines("lambda.snapstart.restore", restored),
                *rates.lines("lambda.snapstart.cache", cached),
            ]
        return lines

    def computing(self, calls: Iterable[tuple[int, int]]) -> list[Line]:
        count, billed_ms = _billed(calls)
        gb_s = gb_s_of_ms(billed_ms, self.memory_mb)
        return [
            self.rates.line("lambda.requests", count),
            *self.rates.lines(f"lambda.duration.{self.arch}", gb_s),
        ]


class FunctionCompute(Site):
    name, title, floor_name = "fc", "Function Compute", "minimum, idle mode"
    archs = ("x86_64",)
    assumed = ("fc.keep-alive", "fc.start")
    not_covered = ("logs", "rounding up of each hour's compute units")

    def _vcpu_milli(self) -> int:
        """A vCPU for each GB, and not less than a sixteenth."""
        milli = max(FC_VCPU_STEP, self.memory_mb * 1000 // MB_PER_GB // FC_VCPU_STEP * FC_VCPU_STEP)
        memory_for(milli, self.memory_mb)
        return milli

    def lines(
        self, history: History, run: Warmed, kept_s: int, pings: int, *, snapshot: bool = False
    ) -> list[Line]:
        active_ms = history.month(run.billed_ms) + self._pinged_ms(run, pings)
        # A ready instance costs its memory all the time, whether it computes or not.
        elastic_ms = active_ms - history.month(run.floor_billed_ms)
        return self._units(history.calls_month + pings, active_ms, elastic_ms, kept_s)

    def computing(self, calls: Iterable[tuple[int, int]]) -> list[Line]:
        count, billed_ms = _billed(calls)
        return self._units(count, billed_ms, billed_ms, 0)

    def _units(self, calls: int, active_ms: int, elastic_ms: int, kept_s: int) -> list[Line]:
        memory_mb = self.memory_mb
        used = (
            ("invocation", Decimal(calls)),
            ("vcpu_active", vcpu_s(active_ms * US_PER_MS, self.vcpu_milli)),
            ("memory", EXACT.add(gb_s_of_ms(elastic_ms, memory_mb), gb_s_of_s(kept_s, memory_mb))),
        )
        units = Decimal(0)
        for name, quantity in used:
            factor = self.rates.row(f"fc.factor.{name}", REGION).rate
            units = EXACT.add(units, multiply(quantity, factor))
        return self.rates.lines("fc.cu", units, REGION)


class Knative(Site):
    name, title, floor_name = "knative", "Knative", "min-scale"
    # A pod is paid for while it loads.
    is_init_billed = True
    assumed = ("knative.keep-alive", "knative.start")
    not_covered = ("the cluster itself: its control plane, and nodes that no pod fills", "logs")

    def _vcpu_milli(self) -> int:
        return POD_VCPU_MILLI

    def lines(
        self, history: History, run: Warmed, kept_s: int, pings: int, *, snapshot: bool = False
    ) -> list[Line]:
        return self._alive(history.month(run.alive_us) + kept_s * US_PER_S)

    def computing(self, calls: Iterable[tuple[int, int]]) -> list[Line]:
        return self._alive(sum(count * each_us for count, each_us in calls))

    def _alive(self, alive_us: int) -> list[Line]:
        gb_s = EXACT.divide(Decimal(alive_us * self.memory_mb), Decimal(US_PER_S * MB_PER_GB))
        node = NODES[self.arch]
        return [
            self.rates.line(f"knative.vcpu.{node}", vcpu_s(alive_us, self.vcpu_milli)),
            self.rates.line(f"knative.memory.{node}", gb_s),
        ]


def _billed(calls: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """How many calls, and their ms, each rounded up."""
    parts = [(count, count * -(-each_us // US_PER_MS)) for count, each_us in calls]
    return sum(count for count, _ in parts), sum(billed_ms for _, billed_ms in parts)


SITES: dict[str, type[Site]] = {site.name: site for site in (Lambda, FunctionCompute, Knative)}
