"""The table of what each profile holds and costs idle, against sums done by hand.

Seconds in a month of 730 hours: 2,628,000. Rates are the providers' pages', as integers.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from farthing.deployment.idle import Profile, profiles
from farthing.deployment.project import Project

ROOT = Path(__file__).parent.parent.parent
SECONDS = 2_628_000


@pytest.fixture(scope="module")
def table() -> dict[tuple[str, str], Profile]:
    return {(it.cloud, it.name): it for it in profiles(Project.read(ROOT))}


def test_every_platform_declares_a_profile_for_each_rule(
    table: dict[tuple[str, str], Profile],
) -> None:
    for cloud in ("AWS Lambda", "Function Compute", "Knative"):
        held = [it for it in table.values() if it.cloud == cloud]
        assert any(it.zero == "yes" for it in held), cloud
        assert any(it.cpu.startswith("yes, ") and it.cpu.endswith("70 %") for it in held), cloud
        # No platform gives both at once, and the table must not say so.
        assert not any(it.zero == "yes" and it.cpu.startswith("yes") for it in held), cloud


def test_lambda_warm_pays_for_what_stands_ready(table: dict[tuple[str, str], Profile]) -> None:
    # Three environments of 1 GB at 0.0000041667; thirteen alarm metrics at 0.10.
    expected = Decimal(3 * SECONDS * 41_667 + 13 * 10**9) / 10**10
    assert table["AWS Lambda", "warm"].idle_usd_month == expected
    assert table["AWS Lambda", "zero"].idle_usd_month == Decimal("1.30")


def test_a_ledger_on_lambda_adds_an_alarm_and_the_runs_of_settle(
    table: dict[tuple[str, str], Profile],
) -> None:
    # 2,920 runs: a request at 2e-7, and 4 s of half a GB at 0.0000166667; fourteen alarm metrics.
    expected = Decimal(2_920 * (2_000 + 2 * 166_667) + 14 * 10**9) / 10**10
    found = table["AWS Lambda", "zero, Billing=on"]
    assert found.idle_usd_month == expected
    assert (found.zero, found.usd) == ("yes", "1.50")


def test_an_index_on_lambda_adds_an_alarm_and_the_runs_of_the_indexer(
    table: dict[tuple[str, str], Profile],
) -> None:
    # 730 runs: a request at 2e-7, and 4 s of a GB at 0.0000166667; fourteen alarm metrics.
    expected = Decimal(730 * (2_000 + 4 * 166_667) + 14 * 10**9) / 10**10
    found = table["AWS Lambda", "zero, Index=bucket"]
    assert found.idle_usd_month == expected
    assert (found.zero, found.usd) == ("yes", "1.45")


def test_batch_on_lambda_adds_five_alarm_metrics_and_the_runs_of_its_clock(
    table: dict[tuple[str, str], Profile],
) -> None:
    # Errors, dead letters, failed executions, and two of the spend: thirteen and five at 0.10.
    # 2,920 runs: a request at 2e-7, and 4 s of 1.75 GB at 0.0000166667.
    expected = Decimal(2_920 * (2_000 + 7 * 166_667) + 18 * 10**9) / 10**10
    found = table["AWS Lambda", "zero, Batch=on"]
    assert found.idle_usd_month == expected
    assert (found.zero, found.usd) == ("yes", "2.14")


def test_pings_on_lambda_add_a_cent(table: dict[tuple[str, str], Profile]) -> None:
    # Three functions, 10,950 pings: a request at 2e-7, and 5 ms of a GB at 0.0000166667.
    expected = Decimal(3 * 10_950 * (2_000_000 + 5 * 166_667) + 13 * 10**12) / 10**13
    found = table["AWS Lambda", "zero, KeepWarm=on"]
    assert found.idle_usd_month == expected
    assert (found.zero, found.usd) == ("yes", "1.31")


def test_batch_on_knative_adds_the_jobs_of_its_clock(
    table: dict[tuple[str, str], Profile],
) -> None:
    # 2,920 runs of 4 s: a vCPU and 1.75 GB of a c7i.xlarge, as below.
    per_s = Decimal(10_163_729_660) + Decimal(1_116_051_836) * 7 / 4
    found = table["Knative", "batch"]
    assert found.idle_usd_month == 2_920 * 4 * per_s / 10**15
    assert (found.zero, found.usd) == ("yes", "0.14")
    assert table["Knative", "queue"].idle_usd_month == 0


def test_an_index_on_knative_adds_the_runs_of_the_indexer(
    table: dict[tuple[str, str], Profile],
) -> None:
    # 2,920 runs of 4 s: a vCPU and a GB of a c7i.xlarge, as below.
    expected = Decimal(2_920 * 4 * (10_163_729_660 + 1_116_051_836)) / 10**15
    assert table["Knative", "index"].idle_usd_month == expected


def test_a_ledger_on_knative_adds_the_runs_of_settle(
    table: dict[tuple[str, str], Profile],
) -> None:
    # 2,920 runs of 4 s: a quarter of a vCPU and half a GB of a c7i.xlarge, as below.
    per_s = Decimal(10_163_729_660) / 4 + Decimal(1_116_051_836) / 2
    assert table["Knative", "ledger"].idle_usd_month == 2_920 * 4 * per_s / 10**15
    assert table["Knative", "ledger"].zero == "yes"


def test_lambda_cpu_pays_for_an_instance_a_zone(table: dict[tuple[str, str], Profile]) -> None:
    # Three c7i.xlarge at 0.1785 and 15 % of it; seven alarm metrics.
    expected = Decimal(3 * 730 * (178_500 + 26_775) + 7 * 100_000) / 10**6
    assert table["AWS Lambda", "cpu"].idle_usd_month == expected


def test_function_compute_warm_pays_for_idle_memory_alone(
    table: dict[tuple[str, str], Profile],
) -> None:
    # Three instances of 1 GB, 0.15 CU a GB-second, 0.000020 USD a CU; idle vCPU are free.
    assert table["Function Compute", "warm"].idle_usd_month == Decimal(3 * SECONDS * 15 * 2) / 10**7
    assert table["Function Compute", "zero"].idle_usd_month == 0


def test_knative_warm_pays_its_pods_share_of_a_node(
    table: dict[tuple[str, str], Profile],
) -> None:
    # Three pods of 1 vCPU and 1 GB of a c7i.xlarge: 10,163,729,660 and 1,116,051,836 e-15 a second.
    expected = Decimal(3 * SECONDS * (10_163_729_660 + 1_116_051_836)) / 10**15
    assert table["Knative", "warm"].idle_usd_month == expected
    assert table["Knative", "zero"].idle_usd_month == 0
