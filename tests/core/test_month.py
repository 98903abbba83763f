"""The month's bill against the price pages' own worked examples and hand arithmetic."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.billing.meter import Meter
from farthing.billing.month import MonthBill, Tally, in_tiers, provider_bill
from farthing.billing.prices import read_price_book
from farthing.billing.quantities import Quantities
from farthing.billing.standing import (
    Standing,
    cluster_nodes,
    managed_instances,
    provisioned_concurrency,
    snapshot_cache,
)
from farthing.billing.tariff import Tariff
from farthing.errors import PriceMissing
from tests.core.entries import FC, KNATIVE, LAMBDA, used

BOOK = read_price_book(planning=True)
MANAGED = Tariff("lambda", "us-east-1", "arm64", "lambda-managed-instances", "c7g.xlarge", False)


def month_of(tariff: Tariff, calls: int, **usage: int) -> dict[Tariff, Quantities]:
    return {tariff: Meter(BOOK, tariff, "measured").quantities(used(**usage)).times(calls)}


def amounts(bill: MonthBill) -> dict[str, Decimal]:
    return {line.rule: line.amount for line in bill.lines}


def test_the_free_tier_takes_off_a_million_requests_and_400_000_gb_s() -> None:
    # The price page's first example: 3 million calls of 120 ms with 1,536 MB are 540,000 GB-s;
    # 140,000 of them and 2 million requests are billed: 2.33 + 0.40 USD.
    bill = provider_bill(month_of(LAMBDA, 3_000_000, memory_mb=1536, busy_ns=120_000_000))
    assert amounts(bill) == {
        "lambda.requests": Decimal("0.6"),
        "lambda.duration.x86_64": Decimal("9.000018"),
        "lambda.requests.free_tier": Decimal("-0.2"),
        "lambda.duration.x86_64.free_tier": Decimal("-6.66668"),
        "aws.rounding": Decimal("-0.003338"),
    }
    assert bill.total == Decimal("2.73")


def test_what_is_less_than_the_free_tier_costs_nothing() -> None:
    bill = provider_bill(month_of(LAMBDA, 1_000_000))
    assert bill.measured == Decimal("0.2166667")
    assert bill.total == 0


def test_the_free_tier_is_one_for_all_architectures_and_regions() -> None:
    arm = Tariff("lambda", "eu-west-1", "arm64")
    months = month_of(LAMBDA, 3_000_000) | month_of(arm, 1_000_000)
    given = [(line.rule, line.quantity) for line in provider_bill(months).differences[:4]]
    assert given == [
        ("lambda.requests.free_tier", 750_000),
        ("lambda.requests.free_tier", 250_000),
        ("lambda.duration.x86_64.free_tier", 3000),
        ("lambda.duration.arm64.free_tier", 1000),
    ]


def test_provisioned_and_managed_functions_get_nothing_free() -> None:
    provisioned = Tariff("lambda", "us-east-1", "x86_64", "provisioned-concurrency")
    for tariff in (provisioned, MANAGED):
        bill = provider_bill(month_of(tariff, 3_000_000, busy_ns=10**9), in_cents=False)
        assert bill.differences == ()


def test_an_account_whose_free_tier_is_used_up_pays_the_measured_cost() -> None:
    bill = provider_bill(month_of(LAMBDA, 1_000_000), free_tier=False, in_cents=False)
    assert bill.total == bill.measured


def test_lambda_tiers_begin_beyond_six_and_fifteen_billion_gb_s() -> None:
    # 20 billion GB-s: 6 at 0.0000166667, 9 at 0.000015, 5 at 0.0000133334.
    bill = provider_bill(
        month_of(LAMBDA, 20_000_000_000, busy_ns=10**9), free_tier=False, in_cents=False
    )
    duration = sum(line.amount for line in bill.lines if "duration" in line.rule)
    assert duration == Decimal("100000.2") + Decimal("135000") + Decimal("66667")


def test_tiers_are_counted_by_region_and_architecture() -> None:
    calls = 5_000_000_000
    months = month_of(LAMBDA, calls, busy_ns=10**9) | month_of(
        Tariff("lambda", "eu-west-1", "x86_64"), calls, busy_ns=10**9
    )
    assert provider_bill(months, free_tier=False, in_cents=False).differences == ()


def test_function_compute_tiers_are_over_all_compute_units() -> None:
    # 600 million CU: 100 at 0.00002, 400 at 0.000017, 100 at 0.000014.
    singly, shared = FC, Tariff("fc", "international", "x86_64", singly=False)
    months = {
        singly: Quantities(vcpu_milli_ns=300_000_000 * 1000 * 10**9),
        shared: Quantities(memory_mb_ns=2_000_000_000 * 1024 * 10**9),
    }
    bill = provider_bill(months)
    assert bill.total == 2000 + 6800 + 1400
    assert {line.rule for line in bill.differences} == {"fc.cu.tier"}


@given(quantity=st.decimals(0, 10**12, places=6))
def test_the_parts_in_tiers_add_up_and_none_is_larger_than_its_tier(quantity: Decimal) -> None:
    price = BOOK.price("cloudwatch.logs.lambda", "us-east-1")
    parts = list(in_tiers(price, quantity))
    assert sum(part for part, _ in parts) == quantity
    assert [rate for _, rate in parts] == [tier.rate for tier in price.tiers[: len(parts)]]
    assert all(part <= 20_000 for part, _ in parts[:3])


def test_provisioned_concurrency_is_billed_in_steps_of_five_minutes() -> None:
    item = provisioned_concurrency("x86_64", "us-east-1", 1536, environments=100, kept_s=7201)
    assert item.quantity == Decimal("1.5") * 100 * 7500
    bill = provider_bill({}, [item], in_cents=False)
    assert bill.house == bill.total == Decimal("4.6875375")


def test_a_snapshot_is_kept_for_three_hours_at_least() -> None:
    assert snapshot_cache("us-east-1", 1024, kept_s=60).quantity == 3 * 3600
    assert snapshot_cache("us-east-1", 1769, kept_s=30 * 86_400).quantity == Decimal("4477781.25")


def test_managed_instances_cost_their_hours_and_the_fee_whatever_was_shared_out() -> None:
    items = managed_instances("c7g.xlarge", "us-east-1", Decimal(2200))
    months = month_of(MANAGED, 1_000_000, busy_ns=10**8)
    bill = provider_bill(months, items, in_cents=False)
    assert bill.total == Decimal("0.2") + 2200 * (Decimal("0.145") + Decimal("0.02175"))
    assert bill.house == bill.total - bill.measured
    fee = Decimal("0.02175") / Decimal("0.145")
    assert fee == BOOK.price("lambda.managed_fee.share", "global").rate


def test_whole_nodes_take_the_place_of_their_pods_shares() -> None:
    item = cluster_nodes("c7i.xlarge", "us-east-1", Decimal(720))
    bill = provider_bill(month_of(KNATIVE, 10_000_000, busy_ns=10**7), [item], in_cents=False)
    assert bill.total == 720 * Decimal("0.1785")


def test_standing_items_of_one_rule_share_its_tiers() -> None:
    logs = [Standing("cloudwatch.logs.lambda", "us-east-1", Decimal(30_000))] * 2
    bill = provider_bill({}, logs)
    assert bill.total == 10_000 * Decimal("0.5") + 20_000 * Decimal("0.25") + 20_000 * Decimal(
        "0.10"
    ) + 10_000 * Decimal("0.05")


def test_each_providers_total_is_rounded_to_the_cent() -> None:
    months = month_of(FC, 1_000, busy_ns=10**9) | month_of(LAMBDA, 7_000_000)
    bill = provider_bill(months, free_tier=False)
    roundings = {line.rule for line in bill.differences}
    assert roundings == {"aws.rounding", "alibaba.rounding"}
    assert bill.total == bill.total.quantize(Decimal("0.01"))


def test_a_row_that_is_missing_or_in_another_currency_is_refused() -> None:
    with pytest.raises(PriceMissing, match=r"lambda\.snapstart\.cache in region eu-west-1"):
        provider_bill({}, [snapshot_cache("eu-west-1", 1024, 60)])
    with pytest.raises(PriceMissing, match="CNY"):
        provider_bill({}, [Standing("fc.cu.cny", "china", Decimal(5))])


def test_a_tally_sums_by_tariff() -> None:
    tally = Tally()
    for tariff in (LAMBDA, FC, LAMBDA):
        tally.add(tariff, Meter(BOOK, tariff, "measured").quantities(used()))
    assert tally.months[LAMBDA].requests == 2
    assert tally.months[FC].requests == 1
    assert tally.months[LAMBDA] == month_of(LAMBDA, 2)[LAMBDA]
