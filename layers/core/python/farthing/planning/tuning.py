"""Which memory size is cheapest or fastest, from calls that were timed at each size's CPU share."""

from __future__ import annotations

import math
import statistics
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.billing.meter import Meter
from farthing.billing.tariff import Tariff
from farthing.money import plain
from farthing.planning.errors import PlanningError
from farthing.planning.knee import Level
from farthing.planning.work import MEMORY_MARGIN, VCPU
from farthing.settings import LAMBDA_MB_PER_VCPU
from farthing.usage import NS_PER_MS, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from farthing.billing.prices import PriceBook

SIZES_MB = (128, 256, 512, 1024, 1769, 3008, 5120, 7076, 10_240)
MEMORY_MIN_MB, MEMORY_MAX_MB = 128, 10_240
ARCHS = ("x86_64", "arm64")
MILLION = Decimal(1_000_000)
MICRO_USD = Decimal("0.000001")
PICO_USD = Decimal("0.000000000001")
# Times this much apart are the same time: of such sizes the smaller is the faster one.
SAME_TIME = 1.05


class Sample(msgspec.Struct, frozen=True):
    """Warm calls and the first call of a process, in ms, at one size's CPU share."""

    memory_mb: int
    warm_ms: tuple[float, ...]
    first_ms: float


class Starts(msgspec.Struct, frozen=True):
    """Starts of the process with a full vCPU, in ms until its first call can begin; `peak_mb` is
    the most memory that any process had."""

    init_ms: tuple[float, ...]
    peak_mb: int
    tokens: int = 1


class TunedSize(msgspec.Struct, frozen=True):
    """Prices by architecture, in USD; the times are those of this machine.

    `rule_ms` is the time at one full vCPU stretched by the share: what a call takes that is not
    over before its share of a period is spent.
    """

    memory_mb: int
    vcpu_milli: int
    warm_p50_ms: float
    warm_p95_ms: float
    rule_ms: float
    billed_ms: float
    cold_ms: float
    warm_usd_per_million: dict[str, Decimal]
    cold_usd: dict[str, Decimal]


class Tuning(msgspec.Struct, frozen=True):
    """`method` says how CPU was held; `left_out` names sizes and why they were not measured."""

    function: str
    method: str
    machine: str
    price_book: str
    region: str
    peak_mb: int
    tokens: int
    init_ms: float
    sizes: tuple[TunedSize, ...]
    left_out: tuple[tuple[int, str], ...]
    levels: tuple[Level, ...]
    knee: int | None
    knee_says: str

    @property
    def cheapest(self) -> TunedSize:
        """By warm calls; of equal prices the quicker."""
        return min(self.sizes, key=lambda size: (_usd(size), size.warm_p50_ms, size.memory_mb))

    @property
    def fastest(self) -> TunedSize:
        """The smallest of those as fast as any, to within 5 %."""
        least_ms = min(size.warm_p50_ms for size in self.sizes) * SAME_TIME
        return min(
            (size for size in self.sizes if size.warm_p50_ms <= least_ms),
            key=lambda size: size.memory_mb,
        )

    @property
    def balanced(self) -> TunedSize:
        """Where price and time, each against its best, are least together."""
        least_usd, least_ms = _usd(self.cheapest), self.fastest.warm_p50_ms
        return min(
            self.sizes,
            key=lambda size: float(_usd(size) / least_usd) + size.warm_p50_ms / least_ms,
        )

    def as_json(self) -> dict[str, Any]:
        """The object that `farthing tune --json` prints; money is plain decimal strings."""
        sizes = [
            {
                **msgspec.structs.asdict(size),
                "warm_usd_per_million": _plain(size.warm_usd_per_million),
                "cold_usd": _plain(size.cold_usd),
            }
            for size in self.sizes
        ]
        return {
            **{
                name: getattr(self, name)
                for name in ("function", "method", "machine", "price_book", "region")
            },
            "peak_mb": self.peak_mb,
            "tokens": self.tokens,
            "init_ms": self.init_ms,
            "sizes": sizes,
            "left_out": [{"memory_mb": mb, "reason": why} for mb, why in self.left_out],
            "cheapest_mb": self.cheapest.memory_mb,
            "fastest_mb": self.fastest.memory_mb,
            "balanced_mb": self.balanced.memory_mb,
            "concurrency": [msgspec.structs.asdict(level) for level in self.levels],
            "knee": self.knee,
            "knee_says": self.knee_says,
        }


def share_milli(memory_mb: int) -> int:
    """Lambda's share of a vCPU, in thousandths: a full one at 1,769 MB."""
    return max(1, memory_mb * VCPU // LAMBDA_MB_PER_VCPU)


def sizes_to_measure(
    asked: Iterable[int], peak_mb: int, cores: int
) -> tuple[list[int], list[tuple[int, str]]]:
    """The sizes that can be measured here, and why the others cannot.

    Raises `PlanningError` for a size that Lambda does not sell, or where none is left.
    """
    measured: list[int] = []
    left_out: list[tuple[int, str]] = []
    needed_mb = math.ceil(peak_mb * MEMORY_MARGIN)
    for memory_mb in sorted(set(asked)):
        if not MEMORY_MIN_MB <= memory_mb <= MEMORY_MAX_MB:
            raise PlanningError(
                f"Lambda's memory is from {MEMORY_MIN_MB} to {MEMORY_MAX_MB:,} MB. Give sizes "
                "in that range."
            )
        if memory_mb < needed_mb:
            why = f"the process had {peak_mb:,} MB at its peak, and a quarter more is kept free"
            left_out.append((memory_mb, why))
        elif share_milli(memory_mb) > cores * VCPU:
            vcpus = share_milli(memory_mb) / VCPU
            why = f"it has {vcpus:.2f} vCPU, and this machine {cores} cores to measure with"
            left_out.append((memory_mb, why))
        else:
            measured.append(memory_mb)
    if not measured:
        raise PlanningError(
            f"None of the sizes can be measured here: {left_out[0][1]}. Give other --sizes."
            if left_out
            else "No size was given. Give --sizes in MB."
        )
    return measured, left_out


def tuned_sizes(
    samples: Sequence[Sample], starts: Starts, whole_ms: float, book: PriceBook, region: str
) -> tuple[TunedSize, ...]:
    """Each size with its prices; `whole_ms` is a call with a full vCPU.

    A warm call is billed as each of the sample's was, rounded up to whole ms; a cold one is the
    median start and the first call.
    """
    init_ms = statistics.median(starts.init_ms)
    sizes = []
    for sample in samples:
        meters = {arch: Meter(book, Tariff("lambda", region, arch), "quoted") for arch in ARCHS}
        warm = [_usage(sample.memory_mb, ms) for ms in sample.warm_ms]
        cold = _usage(sample.memory_mb, sample.first_ms, init_ms)
        ordered = sorted(sample.warm_ms)
        vcpu_milli = share_milli(sample.memory_mb)
        sizes.append(
            TunedSize(
                sample.memory_mb,
                vcpu_milli,
                warm_p50_ms=statistics.median(ordered),
                warm_p95_ms=ordered[-(-len(ordered) * 95 // 100) - 1],
                rule_ms=rule_ms(whole_ms, vcpu_milli),
                billed_ms=statistics.fmean(math.ceil(ms) for ms in sample.warm_ms),
                cold_ms=init_ms + sample.first_ms,
                warm_usd_per_million={
                    arch: _per_million([meter.cost(usage).total for usage in warm])
                    for arch, meter in meters.items()
                },
                cold_usd={
                    arch: meter.cost(cold).total.quantize(PICO_USD, ROUND_HALF_UP)
                    for arch, meter in meters.items()
                },
            )
        )
    return tuple(sizes)


def rule_ms(whole_ms: float, vcpu_milli: int, threads: int = 1) -> float:
    """Lambda's rule: CPU in proportion to memory, and no more than the threads can use."""
    return whole_ms * VCPU / min(vcpu_milli, threads * VCPU)


def _usage(memory_mb: int, busy_ms: float, init_ms: float = 0.0) -> Usage:
    return Usage(
        prompt_tokens=0,
        truncated=0,
        busy_ns=round(busy_ms * NS_PER_MS),
        init_ns=round(init_ms * NS_PER_MS),
        memory_mb=memory_mb,
        vcpu_milli=share_milli(memory_mb),
        disk_mb=512,
        cold=init_ms > 0,
    )


def _per_million(amounts: Sequence[Decimal]) -> Decimal:
    return (sum(amounts) * MILLION / len(amounts)).quantize(MICRO_USD, ROUND_HALF_UP)


def _usd(size: TunedSize) -> Decimal:
    return min(size.warm_usd_per_million.values())


def _plain(amounts: Mapping[str, Decimal]) -> dict[str, str]:
    return {arch: plain(amount) for arch, amount in amounts.items()}
