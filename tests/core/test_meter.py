"""Charges against examples worked by hand from the providers' price pages.

The oracle is integer arithmetic in the smallest unit a rate is stated in; it uses nothing of the
code under test.
"""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.billing.meter import Meter, meter_of
from farthing.billing.plans import Plan
from farthing.billing.prices import read_price_book
from farthing.billing.quantities import NOTHING
from farthing.billing.tariff import Tariff
from farthing.errors import PriceMissing
from farthing.money import multiply, total
from farthing.settings import Settings, read_settings
from farthing.usage import Usage

BOOK = read_price_book()


# Each way in which something is billed, once.
TARIFFS = [
    Tariff("lambda", "us-east-1", "x86_64"),
    Tariff("lambda", "us-east-1", "arm64", "snap-start"),
    Tariff("lambda", "us-east-1", "x86_64", "provisioned-concurrency"),
    Tariff("lambda", "us-east-1", "arm64", "lambda-managed-instances", "c7g.xlarge"),
    Tariff("fc", "international", "x86_64"),
    Tariff("fc", "international", "x86_64", "provisioned-concurrency", singly=False),
    Tariff("knative", "us-east-1", "x86_64", node="c7i.xlarge", singly=False),
]
SIZES = st.integers(1, 1_000_000)


def settings_for(platform: str, **overrides: object) -> Settings:
    values: dict[str, object] = {
        "platform": platform,
        "arch": "x86_64",
        "overhead_us": 0,
        **overrides,
    }
    return read_settings({}, **values)


def usage_of(settings: Settings, busy_ns: int, init_ns: int = 0) -> Usage:
    return Usage(
        prompt_tokens=12,
        truncated=0,
        busy_ns=busy_ns,
        init_ns=init_ns,
        memory_mb=settings.memory_mb,
        vcpu_milli=settings.vcpu_milli,
        disk_mb=settings.disk_mb,
        cold=init_ns > 0,
    )


def test_lambda_bills_init_and_duration_rounded_up_together() -> None:
    # The line of a real report: Duration 395.99 ms, Init Duration 265.72 ms, 512 MB: 662 ms billed.
    # 662 ms at 0.5 GB = 0.331 GB-s; 0.331 * 166667e-10 + 2e-7 = 55166777e-13 + 2000000e-13.
    settings = settings_for("lambda", memory_mb=512)
    charge = meter_of(BOOK, settings).cost(usage_of(settings, 395_990_000, 265_720_000))
    assert charge.billed_ms == 662
    assert charge.total == Decimal("0.0000057166777")


@pytest.mark.parametrize(("busy_ns", "billed_ms"), [(1, 1), (1_000_000, 1), (1_000_001, 2), (0, 0)])
def test_lambda_rounds_up_to_the_next_millisecond(busy_ns: int, billed_ms: int) -> None:
    settings = settings_for("lambda")
    assert meter_of(BOOK, settings).cost(usage_of(settings, busy_ns)).billed_ms == billed_ms


def test_lambda_arm64_and_storage_above_512_mb_have_their_own_rates() -> None:
    # 100 ms at 2 GB on arm64: 0.2 * 133334e-10. Storage 10,240 MB: 9.5 GB * 0.1 s * 309e-10.
    settings = settings_for("lambda", arch="arm64", memory_mb=2048, disk_mb=10_240)
    charge = meter_of(BOOK, settings).cost(usage_of(settings, 100_000_000))
    amounts = {line.rule: line.amount for line in charge.lines}
    assert amounts == {
        "lambda.requests": Decimal("2E-7"),
        "lambda.duration.arm64": Decimal("0.00000266668"),
        "lambda.storage": Decimal("0.000000029355"),
    }


def test_provisioned_concurrency_has_the_lower_duration_rate() -> None:
    settings = settings_for("lambda", memory_mb=1024, initialization="provisioned-concurrency")
    charge = meter_of(BOOK, settings).cost(usage_of(settings, 1_000_000_000))
    assert charge.total == Decimal("0.0000097222") + Decimal("0.0000002")


def test_a_restored_environment_adds_its_snapshot_to_one_call() -> None:
    # 2 GB restored at 0.0001397998 USD, besides 100 ms at 2 GB: 0.2 * 166667e-10.
    settings = settings_for("lambda", memory_mb=2048, initialization="snap-start")
    plain = usage_of(settings, 100_000_000)
    restored = msgspec.structs.replace(plain, restored=True)
    meter = meter_of(BOOK, settings)
    assert meter.cost(plain).total == Decimal("0.00000333334") + Decimal("0.0000002")
    assert meter.cost(restored).total - meter.cost(plain).total == Decimal("0.0002795996")


def test_managed_instances_bill_requests_and_a_share_of_the_instance() -> None:
    # 100 ms of one of four vCPU: 0.1 * (0.145 + 0.02175) / 4 / 3600, rounded to 1e-15 a second.
    settings = settings_for(
        "lambda",
        memory_mb=2048,
        vcpu_milli=1000,
        node="c7g.xlarge",
        initialization="lambda-managed-instances",
    )
    charge = meter_of(BOOK, settings).cost(usage_of(settings, 100_000_000, 500_000_000))
    assert {line.rule: line.amount for line in charge.lines} == {
        "lambda.requests": Decimal("2E-7"),
        "lambda.managed_vcpu.c7g.xlarge": Decimal("0.0000011579861111"),
    }


@given(
    busy_ns=st.integers(0, 900_000_000_000),
    init_ns=st.integers(0, 10_000_000_000),
    memory_mb=st.integers(128, 10_240),
)
def test_lambda_equals_integer_arithmetic(busy_ns: int, init_ns: int, memory_mb: int) -> None:
    settings = settings_for("lambda", memory_mb=memory_mb)
    charge = meter_of(BOOK, settings).cost(usage_of(settings, busy_ns, init_ns))
    billed_ms = (busy_ns + init_ns + 999_999) // 1_000_000
    # In units of 1e-10 USD / (1024 MB * 1000 ms): 0.0000166667 = 166667e-10, 2e-7 = 2000e-10.
    expected = 2000 * 1024 * 1000 + billed_ms * memory_mb * 166_667
    assert charge.total * 10**10 * 1024 * 1000 == expected


def test_function_compute_equals_the_worked_bill_of_its_price_page() -> None:
    # Three million calls of 200 ms with 0.5 GB and 0.25 vCPU:
    # 22,500 + 45,000 + 150,000 CU = 217,500 CU at 0.000020 = 4.35 USD a month.
    settings = settings_for("fc", memory_mb=512, vcpu_milli=250)
    charge = meter_of(BOOK, settings).cost(usage_of(settings, 200_000_000))
    assert charge.total * 3_000_000 == Decimal("4.35")


@given(
    busy_ns=st.integers(0, 86_400_000_000_000),
    memory_mb=st.integers(2, 512).map(lambda step: step * 64),
    vcpu_milli=st.integers(1, 320).map(lambda step: step * 50),
)
def test_function_compute_equals_integer_arithmetic(
    busy_ns: int, memory_mb: int, vcpu_milli: int
) -> None:
    settings = settings_for("fc", memory_mb=memory_mb, vcpu_milli=vcpu_milli)
    charge = meter_of(BOOK, settings).cost(usage_of(settings, busy_ns))
    ms = (busy_ns + 999_999) // 1_000_000
    # CU in units of 1 / (10,000 * 1000 * 1000 * 1024): 75 per 10,000 calls, 1 per vCPU-s
    # (milli-vCPU * ms / 1e6), 0.15 per GB-s (MB * ms / 1,024,000).
    unit = 10_000 * 1000 * 1000 * 1024
    cu = (
        75 * unit // 10_000
        + ms * vcpu_milli * unit // 10**6
        + ms * memory_mb * unit * 15 // (100 * 1024 * 1000)
    )
    assert charge.total * unit * 50_000 == cu


def test_function_compute_shares_are_not_rounded_when_instances_are_shared() -> None:
    settings = settings_for("fc", memory_mb=1024, vcpu_milli=1000, concurrency=8)
    meter = meter_of(BOOK, settings)
    parts = [meter.cost(usage_of(settings, ns)).total for ns in (300_000, 700_000)]
    whole = meter.cost(usage_of(settings, 1_000_000)).total
    request = meter.cost(usage_of(settings, 0)).total
    assert sum(parts) - request == whole


def test_knative_splits_a_node_hour_between_vcpu_and_memory() -> None:
    # A pod as large as the node, for an hour: c7i.xlarge, 4 vCPU and 8 GB, costs 0.1785 USD. The
    # book's rates are rounded to 1e-15 per second, so an hour is right to 1e-10.
    settings = settings_for("knative", memory_mb=8 * 1024, vcpu_milli=4000)
    charge = meter_of(BOOK, settings).cost(usage_of(settings, 3600 * 10**9))
    assert abs(charge.total - Decimal("0.1785")) < Decimal("1e-10")


def test_a_spot_node_has_its_own_rows() -> None:
    settings = settings_for("knative", memory_mb=8 * 1024, vcpu_milli=4000, node="c7g.xlarge.spot")
    charge = meter_of(BOOK, settings).cost(usage_of(settings, 3600 * 10**9))
    assert abs(charge.total - Decimal("0.08")) < Decimal("1e-10")


@pytest.mark.parametrize("platform", ["lambda", "fc", "knative"])
def test_every_line_multiplies_and_the_lines_add_up(platform: str) -> None:
    settings = settings_for(platform, disk_mb=10_240)
    charge = meter_of(BOOK, settings).cost(usage_of(settings, 123_456_789)).as_json()
    lines = charge["lines"]
    assert isinstance(lines, list)
    for line in lines:
        assert Decimal(line["quantity"]) * Decimal(line["rate"]) == Decimal(line["amount"])
    assert sum(Decimal(line["amount"]) for line in lines) == Decimal(str(charge["total"]))
    assert "E" not in str(charge["total"])


def test_a_plan_marks_up_in_a_line_of_its_own() -> None:
    settings = settings_for("lambda")
    usage = usage_of(settings, 1_000_000)
    cost = meter_of(BOOK, settings).cost(usage)
    price = Plan(markup=Decimal("1.25")).price(cost, usage)
    assert price.total == cost.total * Decimal("1.25")
    assert price.lines[-1].rule == "plan.markup"
    assert Plan().price(cost, usage) is cost


def test_a_region_without_a_price_refuses_to_start() -> None:
    with pytest.raises(PriceMissing, match=r"cn-north-1.*it has .*us-east-1.*FARTHING_REGION"):
        meter_of(BOOK, settings_for("lambda", region="cn-north-1"))


def test_an_unknown_node_refuses_to_start() -> None:
    with pytest.raises(PriceMissing, match=r"knative\.vcpu\.abacus"):
        meter_of(BOOK, settings_for("knative", node="abacus"))


@pytest.mark.parametrize("tariff", TARIFFS, ids=lambda tariff: str(tariff.initialization))
@given(
    busy_ns=st.integers(0, 10**18),
    init_ns=st.integers(0, 10**14),
    sizes=st.tuples(SIZES, SIZES, SIZES),
    restored=st.booleans(),
)
def test_no_size_and_no_time_needs_rounding(
    tariff: Tariff, busy_ns: int, init_ns: int, sizes: tuple[int, int, int], restored: bool
) -> None:
    # decimal.Inexact is trapped; a plan with nine decimals still fits on top.
    meter = Meter(BOOK, tariff, "measured")
    memory_mb, vcpu_milli, disk_mb = sizes
    usage = Usage(
        prompt_tokens=10**9,
        truncated=0,
        busy_ns=busy_ns,
        init_ns=init_ns,
        memory_mb=memory_mb,
        vcpu_milli=vcpu_milli,
        disk_mb=disk_mb,
        cold=True,
        restored=restored,
    )
    plans = [Plan(markup=Decimal("999999.999999999")), Plan(usd_per_call=Decimal("1e-9"))]
    for cost in (meter.cost(usage), meter.idle_cost(usage)):
        for plan in plans:
            price = plan.price(cost, usage)
            assert price.total == total(line.amount for line in price.lines)


@pytest.mark.parametrize("tariff", TARIFFS, ids=lambda tariff: str(tariff.initialization))
@given(times_ns=st.lists(st.integers(0, 10**13), max_size=6), calls=st.integers(1, 10**9))
def test_the_cost_of_a_sum_is_the_sum_of_the_costs(
    tariff: Tariff, times_ns: list[int], calls: int
) -> None:
    meter = Meter(BOOK, tariff, "measured")
    settings = settings_for("lambda", memory_mb=1769, disk_mb=1000)
    usages = [usage_of(settings, busy_ns, busy_ns % 7) for busy_ns in times_ns]
    summed = NOTHING
    for usage in usages:
        summed = summed.plus(meter.quantities(usage)).plus(meter.idle_quantities(usage))
    apart = [charge(usage).total for usage in usages for charge in (meter.cost, meter.idle_cost)]
    together = total(line.amount for line in meter.lines(summed.times(calls)))
    assert together == multiply(total(apart), Decimal(calls))


def test_idle_time_costs_what_each_platform_bills_for_it() -> None:
    # One second of 1 GB and 1 vCPU with 1 GB of disk over what is free.
    settings = settings_for("fc", memory_mb=1024, vcpu_milli=1000, disk_mb=512 + 1024)
    usage = usage_of(settings, 10**9)
    idle = [Meter(BOOK, tariff, "measured").idle_cost(usage).as_json() for tariff in TARIFFS]
    told = [
        {line["rule"]: line["amount"] for line in charge["lines"]}  # type: ignore[attr-defined]
        for charge in idle
    ]
    assert told == [
        {},
        {},
        {},
        {"lambda.managed_vcpu.c7g.xlarge": "0.000011579861111"},
        {},
        {"fc.vcpu_idle": "0", "fc.memory": "0.000003", "fc.disk": "0.000001"},
        {
            "knative.vcpu.c7i.xlarge": "0.00001016372966",
            "knative.memory.c7i.xlarge": "0.000001116051836",
        },
    ]


@pytest.mark.parametrize("initialization", ["provisioned-concurrency", "snap-start"])
def test_what_stands_ready_bills_no_init(initialization: str) -> None:
    settings = settings_for("lambda", initialization=initialization)
    meter = meter_of(BOOK, settings)
    assert meter.cost(usage_of(settings, 10**6, 10**9)).billed_ms == 1


def test_init_is_no_part_of_a_call_on_the_other_platforms() -> None:
    for platform in ("fc", "knative"):
        settings = settings_for(platform, memory_mb=1024, vcpu_milli=1000)
        meter = meter_of(BOOK, settings)
        cold, warm = usage_of(settings, 10**6, 10**9), usage_of(settings, 10**6)
        assert meter.cost(cold) == meter.cost(warm)


def test_the_time_around_the_handler_is_billed_with_the_handlers() -> None:
    # 0.5 ms in the handler and 0.6 around it are 1.1 ms, billed as 2; nobody else bills by it.
    for platform, billed_ms in (("lambda", 2), ("fc", 1), ("knative", 1)):
        settings = settings_for(platform, overhead_us=600 if platform == "lambda" else 0)
        charge = meter_of(BOOK, settings).cost(usage_of(settings, 500_000))
        assert charge.billed_ms == billed_ms
    assert settings_for("lambda").overhead_us == 0
    assert read_settings({"AWS_LAMBDA_FUNCTION_NAME": "f"}, memory_mb=1024).overhead_us == 700
