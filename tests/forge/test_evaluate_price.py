"""Dollars per million calls, against integer arithmetic from the providers' price pages.

The oracle knows rates and rules as the pages state them and nothing of `farthing.billing`.
"""

from __future__ import annotations

from fractions import Fraction

import pytest

from farthing.forge.evaluate.price import (
    SIZES_MB,
    Bill,
    Price,
    Pricing,
    TooLarge,
    fitting_mb,
    price_calls,
)
from farthing.forge.evaluate.start import Start

TIMES_NS = (50_000, 430_000, 999_999, 1_000_000, 1_000_001, 7_300_000, 61_000_000)
HALF_A_MICRO_DOLLAR = Fraction(1, 2_000_000)
# $0.20 a million requests, $0.0000166667 a GB-second on x86_64 and $0.0000133334 on arm64.
LAMBDA_REQUESTS = Fraction(20, 100)
LAMBDA_GB_S = {"x86_64": Fraction(166_667, 10**10), "arm64": Fraction(133_334, 10**10)}
# One CU is $0.000020: 75 for 10,000 invocations, 1 for a vCPU-second, 0.15 for a GB-second.
FC_CU = Fraction(20, 10**6)
# A whole c7i.xlarge, 4 vCPU and 8 GB, is $0.1785 an hour.
C7I_XLARGE_HOUR = Fraction(1785, 10_000)


def ceil_div(number: int, divisor: int) -> int:
    return -(-number // divisor)


def on_lambda_ms(time_ns: int, memory_mb: int) -> int:
    """Whole milliseconds of work that takes `time_ns` on one core: a vCPU is 1,769 MB."""
    slowed_ns = max(time_ns, ceil_div(time_ns * 1769, memory_mb))
    return ceil_div(slowed_ns, 1_000_000)


def lambda_usd(billed_ms: int, memory_mb: int, arch: str = "x86_64") -> Fraction:
    """For a million calls of this many milliseconds, without the requests."""
    return 10**6 * Fraction(billed_ms, 1000) * Fraction(memory_mb, 1024) * LAMBDA_GB_S[arch]


def start_of(cold_ms: float, first_answer_ms: float, peak_rss_mb: float = 60.0) -> Start:
    rest_ms = cold_ms - first_answer_ms
    return Start(1, cold_ms, 0.0, rest_ms, 0.0, first_answer_ms, cold_ms, peak_rss_mb)


def is_near(found: object, wanted: Fraction) -> bool:
    return abs(Fraction(str(found)) - wanted) <= HALF_A_MICRO_DOLLAR


@pytest.mark.parametrize("memory_mb", [128, 512, 1024, 1769, 3008])
@pytest.mark.parametrize("arch", ["x86_64", "arm64"])
def test_lambda_bills_each_call_by_its_own_whole_milliseconds(memory_mb: int, arch: str) -> None:
    price = price_calls(TIMES_NS, Pricing(memory_mb=memory_mb, arch=arch, region="us-east-1"))
    billed = [on_lambda_ms(time_ns, memory_mb) for time_ns in TIMES_NS]
    compute = sum(lambda_usd(ms, memory_mb, arch) for ms in billed) / len(billed)
    assert is_near(price.warm.compute_usd_per_million, compute)
    assert is_near(price.warm.request_usd_per_million, LAMBDA_REQUESTS)
    assert price.warm.billed_ms == pytest.approx(sum(billed) / len(billed))


def test_the_parts_of_a_bill_add_up() -> None:
    for platform in ("lambda", "fc", "knative"):
        warm = price_calls(TIMES_NS, Pricing(platform=platform)).warm  # type: ignore[arg-type]
        assert warm.usd_per_million == warm.request_usd_per_million + warm.compute_usd_per_million


def test_a_few_slow_calls_cost_although_the_median_is_quick() -> None:
    quick = price_calls([200_000] * 10, Pricing()).warm
    mixed = price_calls([200_000] * 9 + [90_000_000], Pricing()).warm
    assert quick.compute_usd_per_million > 0
    assert mixed.compute_usd_per_million > 10 * quick.compute_usd_per_million


def test_two_threads_need_two_cores() -> None:
    one = price_calls([10_000_000], Pricing(memory_mb=1769)).warm
    two = price_calls([10_000_000], Pricing(memory_mb=1769), threads=2).warm
    enough = price_calls([10_000_000], Pricing(memory_mb=2 * 1769), threads=2).warm
    assert (one.billed_ms, two.billed_ms, enough.billed_ms) == (10, 20, 10)


def test_lambda_bills_the_start_and_the_first_answer_as_one_duration() -> None:
    # 150.25 + 2.25 ms at one vCPU: 152.5, billed 153; rounded one by one it would be 154.
    price = price_calls([1], Pricing(memory_mb=1769), start=start_of(152.5, 2.25))
    assert price.cold is not None
    assert price.cold.billed_ms == 153
    assert is_near(price.cold.compute_usd_per_million, lambda_usd(153, 1769))


def test_a_teachers_cold_start_is_priced_from_its_time_alone() -> None:
    assert price_calls([1], Pricing()).cold is None
    cold = price_calls([1], Pricing(memory_mb=1769), cold_ms=5200.0).cold
    assert isinstance(cold, Bill)
    assert cold.billed_ms == 5200


@pytest.mark.parametrize(
    ("memory_mb", "vcpu_milli", "sold_milli"),
    [(1024, 1000, 1000), (512, 1000, 500), (2048, 1000, 1000), (8192, 1000, 2000)],
)
def test_function_compute_bills_cpu_and_memory_apart(
    memory_mb: int, vcpu_milli: int, sold_milli: int
) -> None:
    pricing = Pricing(platform="fc", memory_mb=memory_mb, vcpu_milli=vcpu_milli)
    price = price_calls(TIMES_NS, pricing)
    assert price.vcpu_milli == sold_milli
    compute = Fraction(0)
    for time_ns in TIMES_NS:
        slowed_ns = max(time_ns, ceil_div(time_ns * 1000, sold_milli))
        seconds = Fraction(ceil_div(slowed_ns, 1_000_000), 1000)
        gb_s = seconds * Fraction(memory_mb, 1024)
        compute += FC_CU * (seconds * Fraction(sold_milli, 1000) + gb_s * Fraction(15, 100))
    assert is_near(price.warm.compute_usd_per_million, 10**6 * compute / len(TIMES_NS))
    assert is_near(price.warm.request_usd_per_million, 10**6 * FC_CU * Fraction(75, 10_000))


def test_a_pod_as_large_as_its_node_costs_what_the_node_costs() -> None:
    price = price_calls(TIMES_NS, Pricing(platform="knative", memory_mb=8192, vcpu_milli=4000))
    seconds = Fraction(sum(TIMES_NS), 10**9 * len(TIMES_NS))
    assert is_near(price.warm.usd_per_million, 10**6 * seconds / 3600 * C7I_XLARGE_HOUR)
    assert price.warm.request_usd_per_million == 0


def test_what_does_not_fit_is_priced_at_the_next_size() -> None:
    price = price_calls(TIMES_NS, Pricing(memory_mb=1024), start=start_of(300, 2, peak_rss_mb=900))
    assert (price.needed_mb, price.memory_mb) == (1125, 1536)
    assert price.was_raised
    alone = price_calls(TIMES_NS, Pricing(memory_mb=1536))
    assert price.warm == alone.warm
    assert not alone.was_raised


def test_a_size_between_the_ladders_steps_may_be_asked_for() -> None:
    assert fitting_mb(700, 699) == 700
    assert fitting_mb(700, 701) == 1024


def test_what_fits_nowhere_is_refused() -> None:
    with pytest.raises(TooLarge, match=r"10,241 MB.*largest size is 10,240 MB.*smaller model"):
        fitting_mb(1024, SIZES_MB[-1] + 1)


def test_the_environment_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    before = price_calls(TIMES_NS, Pricing())
    monkeypatch.setenv("FARTHING_REGION", "ap-east-1")
    monkeypatch.setenv("FARTHING_MEMORY_MB", "2048")
    after: Price = price_calls(TIMES_NS, Pricing())
    assert after == before
