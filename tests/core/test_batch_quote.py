"""A batch's quotation, against whole numbers from the providers' price pages."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.billing.prices import read_price_book
from farthing.errors import PriceMissing
from farthing.planning.assumptions import read_assumptions
from farthing.planning.batch.quote import quote_batch
from farthing.planning.batch.run import BatchWork, Run, known_batch_work
from farthing.planning.errors import PlanningError

if TYPE_CHECKING:
    from farthing.planning.batch.quote import BatchQuote
    from farthing.planning.batch.ways import Way

BOOK = read_price_book(planning=True)
ASSUMPTIONS = read_assumptions()
WORK = BatchWork(
    name="w", task="embed", row_ms=1.0, start_ms=500, peak_mb=200, source="a test's figures"
)
# https://aws.amazon.com/lambda/pricing/ and https://aws.amazon.com/sqs/pricing/, us-east-1.
ARM_GB_S, X86_GB_S = Fraction(133334, 10**10), Fraction(166667, 10**10)
REQUEST, SQS = Fraction(2, 10**7), Fraction(4, 10**7)
MB_PER_GB, MS_PER_S = 1024, 1000


def quoted(rows: int, shard_rows: int = 20_000, deadline_s: int | None = None) -> BatchQuote:
    run = Run(work=WORK, rows=rows, shard_rows=shard_rows, deadline_s=deadline_s)
    return quote_batch(run, BOOK, ASSUMPTIONS, "us-east-1")


def way(quotation: BatchQuote, begins: str) -> Way:
    (found,) = [
        one for one in quotation.ways if f"{one.platform}, {one.profile}".startswith(begins)
    ]
    return found


@pytest.mark.parametrize(("arch", "gb_s"), [("arm64", ARM_GB_S), ("x86_64", X86_GB_S)])
def test_a_queue_of_functions_costs_what_the_price_page_says(arch: str, gb_s: Fraction) -> None:
    found = way(quoted(1_010_000), f"AWS Lambda, {arch}, 1,769 MB, by a queue")
    # 51 shards, the last of half the rows, all begin at once in environments of their own.
    billed_ms = 50 * (500 + 20_000) + (500 + 10_000)
    duration = Fraction(billed_ms * 1769, MB_PER_GB * MS_PER_S) * gb_s
    assert Fraction(found.usd) == duration + 51 * REQUEST + 51 * 3 * SQS
    assert found.workers == 51
    assert math.isclose(found.hours, (0.1 + 0.5 + 20) / 3600)


def test_environments_are_billed_their_start_once_each() -> None:
    found = way(quoted(10_000_000), "AWS Lambda, arm64, 1,769 MB, by a queue")
    billed_ms = 500 * 20_000 + 100 * 500
    duration = Fraction(billed_ms * 1769, MB_PER_GB * MS_PER_S) * ARM_GB_S
    assert Fraction(found.usd) == duration + 500 * REQUEST + 500 * 3 * SQS


def test_function_compute_is_counted_in_its_units() -> None:
    found = way(quoted(1_000_000), "Function Compute")
    # https://www.alibabacloud.com/help/en/functioncompute/fc/product-overview/billing-overview:
    # a request 0.0075, a vCPU-second 1, a GB-second 0.15 units of 0.000020 USD.
    seconds, requests = 50 * 20, 50
    units = Fraction(75, 10_000) * requests + seconds + Fraction(15, 100) * seconds
    assert Fraction(found.usd) == units * Fraction(2, 100_000)


def test_a_batch_of_thousands_costs_a_fifth_of_single_calls_at_most() -> None:
    short = msgspec.structs.replace(WORK, row_ms=0.1)
    batched = quote_batch(
        Run(work=short, rows=1_000_000, shard_rows=1_000), BOOK, ASSUMPTIONS, "us-east-1"
    )
    found = way(batched, "AWS Lambda, x86_64, 1,769 MB, by a queue")
    single_ms = 1
    single = Fraction(single_ms * 1769, MB_PER_GB * MS_PER_S) * X86_GB_S + REQUEST
    assert Fraction(found.usd) < single * 1_000_000 / 5


@given(
    rows=st.integers(1, 10**9),
    shard_rows=st.integers(100, 200_000),
    deadline_s=st.none() | st.integers(1, 10**6),
)
def test_the_cheapest_in_time_comes_first(rows: int, shard_rows: int, deadline_s: int) -> None:
    quotation = quoted(rows, shard_rows, deadline_s)
    assert quotation.ways
    for one in quotation.ways:
        assert one.usd > 0
        assert one.in_time == (deadline_s is None or one.hours * 3600 <= deadline_s + 1e-6)
    keys = [(not one.in_time, one.usd) for one in quotation.ways]
    assert keys == sorted(keys)
    assert quotation.cheapest is (quotation.ways[0] if quotation.ways[0].in_time else None)


@given(rows=st.integers(1, 10**7), deadline_s=st.integers(100, 100_000))
def test_one_node_fewer_would_miss_the_deadline(rows: int, deadline_s: int) -> None:
    found = way(quoted(rows, 1_000, deadline_s), "Knative")
    nodes = int(found.profile.split(" ")[0])
    if found.in_time and nodes > 1:
        run = Run(work=WORK, rows=rows, shard_rows=1_000, deadline_s=deadline_s)
        fewer_s = run.elapsed_s((nodes - 1) * 4, 90_500_000) * 1.025
        assert fewer_s > deadline_s


def test_a_shard_too_long_for_a_function_is_left_out_with_the_reason() -> None:
    quotation = quoted(10_000_000, shard_rows=1_000_000)
    assert not [one for one in quotation.ways if "Lambda" in one.platform]
    reasons = dict(quotation.left_out)
    assert "longer than a function may run" in reasons["Lambda, arm64, by a queue"]


def test_the_json_has_every_line_and_adds_up() -> None:
    for one in quoted(123_456).as_json()["ways"]:  # type: ignore[attr-defined]
        amounts = [Decimal(line["amount"]) for line in one["lines"]]
        assert sum(amounts) == Decimal(one["usd"])


def test_a_region_without_prices_is_not_guessed() -> None:
    run = Run(work=WORK, rows=10, shard_rows=10)
    with pytest.raises(PriceMissing, match="mars-north-1"):
        quote_batch(run, BOOK, ASSUMPTIONS, "mars-north-1")


def test_a_bundle_that_nobody_measured_is_named_with_those_that_are() -> None:
    assert known_batch_work("product-classifier").task == "classify"
    with pytest.raises(PlanningError, match="all-minilm-l6-v2"):
        known_batch_work("mine")
