"""The choice of a memory size, from samples that follow Lambda's rule and from ones that do not."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.billing.prices import read_price_book
from farthing.planning.errors import PlanningError
from farthing.planning.knee import Level, knee_of
from farthing.planning.tuning import (
    Sample,
    Starts,
    Tuning,
    rule_ms,
    share_milli,
    sizes_to_measure,
    tuned_sizes,
)

BOOK = read_price_book()
RATES = {"x86_64": Fraction(166_667, 10**10), "arm64": Fraction(133_334, 10**10)}


def tuning_of(samples: list[Sample], whole_ms: float, init_ms: float = 200.0) -> Tuning:
    starts = Starts((init_ms - 50, init_ms, init_ms + 90), 60)
    return Tuning(
        function="classify",
        method="a fake",
        machine="none",
        price_book=BOOK.version,
        region="us-east-1",
        peak_mb=60,
        tokens=8,
        init_ms=init_ms,
        sizes=tuned_sizes(samples, starts, whole_ms, BOOK, "us-east-1"),
        left_out=(),
        levels=(),
        knee=None,
        knee_says="",
    )


def ruled(whole_ms: float, sizes_mb: tuple[int, ...]) -> list[Sample]:
    """Samples of a call that always spends its share."""
    samples = []
    for memory_mb in sizes_mb:
        taken_ms = whole_ms * max(1.0, 1769 / memory_mb)
        samples.append(Sample(memory_mb, (taken_ms,) * 10, taken_ms * 3))
    return samples


def test_a_share_is_memory_over_1769_mb() -> None:
    assert [share_milli(mb) for mb in (128, 512, 1769, 3538, 10_240)] == [72, 289, 1000, 2000, 5788]
    assert rule_ms(10.0, 500) == 20.0
    assert rule_ms(10.0, 2000) == 10.0
    assert rule_ms(10.0, 2000, threads=2) == 5.0


def test_where_calls_follow_the_rule_the_predicted_curve_is_the_measured_one() -> None:
    tuning = tuning_of(ruled(40.0, (256, 512, 1024, 1769, 3008)), 40.0)
    for size in tuning.sizes:
        assert size.warm_p50_ms == pytest.approx(size.rule_ms, rel=0.005)
    # Below a vCPU, twice the memory is half the time at the same price, up to a millisecond of
    # rounding: cost only rises where more CPU is of no use.
    dearest = tuning.sizes[-1]
    assert tuning.fastest.memory_mb == 1769
    assert dearest.warm_usd_per_million["x86_64"] > tuning.cheapest.warm_usd_per_million["x86_64"]
    assert tuning.balanced.memory_mb == 1769


def test_where_calls_are_over_before_their_share_is_spent_the_least_memory_is_best() -> None:
    samples = [Sample(mb, (0.8, 0.9, 0.8), 2.0) for mb in (128, 512, 1769)]
    tuning = tuning_of(samples, 0.8)
    assert (tuning.cheapest.memory_mb, tuning.fastest.memory_mb) == (128, 128)


@given(
    st.sampled_from([128, 512, 1024, 1769, 10_240]),
    st.lists(st.integers(1, 3_000_000), min_size=1, max_size=20),
    st.integers(1, 5_000_000),
    st.integers(51, 5_000),
)
def test_warm_and_cold_calls_are_priced_apart_by_the_price_page(
    memory_mb: int, warm_us: list[int], first_us: int, init_ms: int
) -> None:
    sample = Sample(memory_mb, tuple(us / 1000 for us in warm_us), first_us / 1000)
    (size,) = tuning_of([sample], 1.0, float(init_ms)).sizes
    warm_ms = sum(-(-us // 1000) for us in warm_us)
    cold_ms = -(-(first_us + init_ms * 1000) // 1000)
    for arch, rate in RATES.items():
        gb_ms = Fraction(memory_mb, 1024) * rate / 1000
        million = 10**6 * (Fraction(2, 10**7) + warm_ms * gb_ms / len(warm_us))
        assert abs(Fraction(size.warm_usd_per_million[arch]) - million) <= Fraction(1, 2 * 10**6)
        cold = Fraction(2, 10**7) + cold_ms * gb_ms
        assert abs(Fraction(size.cold_usd[arch]) - cold) <= Fraction(1, 2 * 10**12)


def test_sizes_below_the_peak_memory_and_beyond_the_machine_are_left_out_with_their_reason() -> (
    None
):
    measured, left_out = sizes_to_measure((128, 256, 1769, 5120, 256), 110, cores=2)
    assert measured == [256, 1769]
    assert [mb for mb, _ in left_out] == [128, 5120]
    assert "110 MB at its peak" in left_out[0][1]
    assert "2.89 vCPU" in left_out[1][1]


@pytest.mark.parametrize(
    ("sizes", "why"),
    [
        ((64,), "from 128 to 10,240 MB"),
        ((20_000,), "from 128 to 10,240 MB"),
        ((128,), "None of the sizes"),
        ((), "No size was given"),
    ],
)
def test_sizes_that_cannot_be_measured_are_refused(sizes: tuple[int, ...], why: str) -> None:
    with pytest.raises(PlanningError, match=why):
        sizes_to_measure(sizes, 500, cores=2)


@pytest.mark.parametrize(
    ("rates", "knee"),
    [
        ((100.0, 101.0, 102.0, 103.0), 1),
        ((100.0, 190.0, 250.0, 255.0), 4),
        ((100.0, 106.0, 112.0, 118.0), 8),
        # What comes after a step that gains nothing is no longer looked at.
        ((100.0, 90.0, 200.0, 300.0), 1),
        ((), None),
    ],
)
def test_the_knee_is_the_last_step_that_gains_a_twentieth(
    rates: tuple[float, ...], knee: int | None
) -> None:
    levels = [Level(2**step, rate, 1.0) for step, rate in enumerate(rates)]
    assert knee_of(levels) == knee


def test_a_tuning_is_json_with_plain_decimal_strings() -> None:
    shown = tuning_of(ruled(40.0, (512, 1769)), 40.0).as_json()
    assert {"function", "method", "sizes", "cheapest_mb", "fastest_mb", "knee"} <= set(shown)
    for size in shown["sizes"]:
        for text in (*size["warm_usd_per_million"].values(), *size["cold_usd"].values()):
            assert "E" not in text
            assert Decimal(text) > 0
