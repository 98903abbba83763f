"""Settlement against an integer oracle: tenants and house add up to the provider's bill."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.billing.tariff import Tariff
from farthing.billing.valuation import Valuer
from farthing.ledger.settlement.drift import Drift
from farthing.ledger.settlement.match import attempts
from farthing.ledger.settlement.settle import settle
from tests.ledger.attempts import (
    HOUR_MS,
    MINUTE_MS,
    START_MS,
    a_ledger,
    a_record,
    a_usage,
    an_entry,
)

END_MS = START_MS + HOUR_MS
LATER_MS = END_MS + HOUR_MS

# Lambda's price page, us-east-1, x86: dollars per request and per GB-second, in units of 10^-17
# dollars per request and per MB-millisecond so that everything stays a whole number:
# $0.0000002 and $0.0000166667 / (1024 MB x 1000 ms), times 10^17 x 1024.
REQUEST = 2 * 10**10 * 1024
MB_MS = 1_666_670_000
UNIT = Decimal(1).scaleb(-17) / 1024


def oracle(attempts_: list[tuple[int, int]]) -> Decimal:
    """The bill of attempts of (billed ms, memory MB), by integer arithmetic."""
    units = sum(REQUEST + billed_ms * memory_mb * MB_MS for billed_ms, memory_mb in attempts_)
    return units * UNIT


def settled(ledger: Any, now_ms: int = LATER_MS) -> Any:
    return settle(ledger, since_ms=START_MS, until_ms=END_MS, now_ms=now_ms)


def total(lines: Any) -> Decimal:
    return sum((line.amount for line in lines), start=Decimal(0))


def test_what_was_recorded_longer_is_the_houses() -> None:
    ledger = a_ledger(an_entry(1, request_id="r"))
    ledger.append_records([a_record("r", billed_ms=14)])
    found = settled(ledger)
    (one,) = found.functions
    assert (one.entries, one.records, one.matched, one.matched_ppm) == (1, 1, 1, 1_000_000)
    assert (one.measured, one.settled) == (oracle([(10, 1024)]), oracle([(14, 1024)]))
    assert [(line.rule, line.amount) for line in one.house] == [
        ("settlement.duration", oracle([(14, 1024)]) - oracle([(10, 1024)]))
    ]
    assert one.drift_ppm == int((one.settled - one.measured) * 1_000_000 / one.measured)
    assert one.call_drift_ppm == {"p50": 400_000, "p90": 400_000, "p99": 400_000, "max": 400_000}
    assert found.cost + total(found.house) == found.bill == oracle([(14, 1024)])


def test_an_attempt_that_never_wrote_an_entry_is_the_houses() -> None:
    ledger = a_ledger(an_entry(1, request_id="r", at_ms=START_MS + MINUTE_MS))
    ledger.append_records(
        [
            a_record("killed", at_ms=START_MS, billed_ms=3000, status="timeout"),
            a_record("r", at_ms=START_MS + MINUTE_MS),
        ]
    )
    (one,) = settled(ledger).functions
    assert one.unrecorded == 1
    assert [(line.rule, line.amount) for line in one.house] == [
        ("settlement.unrecorded", oracle([(3000, 1024)]))
    ]
    assert one.flags == ("1 records have no entry; their cost is the house's",)


def test_an_entry_without_a_record_is_pending_and_then_flagged() -> None:
    ledger = a_ledger(an_entry(1))
    (early,) = settled(ledger, START_MS + MINUTE_MS).functions
    assert (early.pending, early.unreported, early.flags) == (1, 0, ())
    (late,) = settled(ledger).functions
    assert (late.pending, late.unreported) == (0, 1)
    assert late.flags == ("1 entries have no record of the provider's",)
    assert late.cost == late.bill


def test_the_same_id_in_two_functions_is_two_requests() -> None:
    ledger = a_ledger(an_entry(1, request_id="r"), an_entry(2, request_id="r", function="embed"))
    ledger.append_records(
        [a_record("r", billed_ms=20), a_record("r", source="b", function="embed", billed_ms=30)]
    )
    assert [(one.function, one.settled) for one in settled(ledger).functions] == [
        ("embed", oracle([(30, 1024)])), ("farthing-classify", oracle([(20, 1024)])),
    ]  # fmt: skip


def test_retries_of_one_id_are_paired_in_order_of_time() -> None:
    entries = [an_entry(n, request_id="r", at_ms=START_MS + n * MINUTE_MS) for n in (1, 2, 3)]
    records = [a_record("r", at_ms=START_MS + n * MINUTE_MS + 4, billed_ms=n) for n in (1, 2, 3)]
    found = list(attempts(entries, records))
    assert [(one.entry.number, one.record.billed_ms) for one in found] == [(1, 1), (2, 2), (3, 3)]  # type: ignore[union-attr]


@pytest.mark.parametrize("gone", [1, 2, 3])
def test_a_retry_whose_entry_is_missing_does_not_take_anothers(gone: int) -> None:
    entries = [
        an_entry(n, request_id="r", at_ms=START_MS + n * MINUTE_MS) for n in (1, 2, 3) if n != gone
    ]
    records = [a_record("r", at_ms=START_MS + n * MINUTE_MS + 4, billed_ms=n) for n in (1, 2, 3)]
    pairs = {one.record.billed_ms: one.entry for one in attempts(entries, records) if one.record}
    assert {number: entry and entry.number for number, entry in pairs.items()} == {
        number: None if number == gone else number for number in (1, 2, 3)
    }
    turned = list(attempts(entries, [one for one in records if one.billed_ms == 3]))
    assert sorted((one.entry is None, one.record is None) for one in turned) == [
        *([(False, False)]), *([(False, True)] * 1),
    ]  # fmt: skip


def test_a_function_that_never_wrote_an_entry_cannot_be_priced_and_is_flagged() -> None:
    ledger = a_ledger()
    ledger.append_records([a_record("r")])
    (one,) = settled(ledger).functions
    assert (one.unpriced, one.bill) == (1, 0)
    assert "cannot be priced" in one.flags[0]


def test_attempts_belong_to_the_time_of_their_entry() -> None:
    ledger = a_ledger(an_entry(1, request_id="r", at_ms=END_MS - 1))
    ledger.append_records([a_record("r", at_ms=END_MS + 5)])
    (one,) = settled(ledger).functions
    assert (one.matched, one.records) == (1, 1)
    assert settle(ledger, since_ms=END_MS, until_ms=LATER_MS, now_ms=LATER_MS).functions == ()


@settings(deadline=None, max_examples=120)
@given(st.integers(0, 2**32))
def test_tenants_and_house_add_up_to_the_bill_of_the_records(seed: int) -> None:
    chance = random.Random(seed)
    entries, records, billed, unreported = [], [], [], []
    for number in range(1, chance.randrange(2, 60)):
        at_ms = START_MS + chance.randrange(HOUR_MS)
        request_id = f"r{chance.randrange(30)}"
        memory_mb = chance.choice([128, 1024, 1769, 10_240])
        measured_ms = chance.randrange(1, 500)
        cold_ms = chance.choice([0, 0, 300])
        if number == 1 or chance.random() < 0.85:
            entries.append(
                an_entry(
                    number,
                    request_id=request_id,
                    at_ms=at_ms,
                    tenant=chance.choice(["acme", "bolt", "house"]),
                    usage=a_usage(
                        busy_ns=measured_ms * 1_000_000 - chance.randrange(1_000_000),
                        init_ns=cold_ms * 1_000_000,
                        memory_mb=memory_mb,
                    ),
                )
            )
            unreported.append((at_ms, request_id, measured_ms + cold_ms, memory_mb))
        if chance.random() < 0.85:
            billed_ms = measured_ms + cold_ms + chance.randrange(3)
            records.append(
                a_record(request_id, at_ms=at_ms, billed_ms=billed_ms, memory_mb=memory_mb,
                         source=str(number))
            )  # fmt: skip
            billed.append((billed_ms, memory_mb))
    ledger = a_ledger(*entries)
    ledger.append_records(records)
    found = settled(ledger)
    # What has an entry and no record is all that the oracle cannot know; settlement counts it.
    without = total(
        line for one in found.accounts.values() for line in one._meters.lines(one.unreported_sums)
    )
    assert found.bill == oracle(billed) + without
    assert found.cost + total(found.house) == found.bill
    assert found.cost == sum(
        (Valuer({}).value(entry).cost.total for entry in entries), start=Decimal(0)
    )
    assert sum(one.matched + one.unreported for one in found.functions) == len(entries)
    assert sum(one.matched + one.unrecorded for one in found.functions) == len(records)


KNATIVE = Tariff("knative", "us-east-1", "x86_64", node="c7i.xlarge")


def a_pod(name: str, began_ms: int, ended_ms: int) -> Any:
    return a_record(
        "", source=f"pod/{name}", at_ms=ended_ms, billed_ms=ended_ms - began_ms, status="pod"
    )


def test_what_pods_held_beyond_their_entries_is_the_houses() -> None:
    entries = [
        an_entry(n, tariff=KNATIVE, usage=a_usage(busy_ns=50_000_000), at_ms=START_MS + n)
        for n in range(1, 11)
    ]
    idle = an_entry(11, tariff=KNATIVE, usage=a_usage(busy_ns=10**9), kind="idle", tenant="house")
    ledger = a_ledger(*entries, idle)
    ledger.append_records([a_pod("a", START_MS, START_MS + 10_000)])
    found = settled(ledger)
    (one,) = found.functions
    (line,) = one.house
    per_ms = (one.cost / 1500).normalize()
    assert line.rule == "settlement.idle"
    assert line.amount == per_ms * (10_000 - 1500)
    assert one.bill == per_ms * 10_000
    assert (one.unreported, one.flags) == (0, ())


def test_of_a_pods_life_only_what_is_within_the_time_counts() -> None:
    ledger = a_ledger(an_entry(1, tariff=KNATIVE, usage=a_usage(busy_ns=10**6)))
    ledger.append_records([
        a_pod("a", START_MS - 9000, START_MS + 1000), a_pod("b", END_MS - 2000, END_MS + 60_000),
    ])  # fmt: skip
    (one,) = settled(ledger).functions
    assert one.bill == one.cost * 3000


def test_pods_that_are_missing_are_flagged() -> None:
    ledger = a_ledger(an_entry(1, tariff=KNATIVE, usage=a_usage(busy_ns=10**10)))
    ledger.append_records([a_pod("a", START_MS, START_MS + 1000)])
    (one,) = settled(ledger).functions
    assert "pods' records are missing" in one.flags[0]
    assert one.cost + total(one.house) == one.bill


def test_where_calls_share_an_instance_what_was_measured_stands() -> None:
    shared = Tariff("fc", "international", "x86_64", singly=False)
    ledger = a_ledger(an_entry(1, request_id="r", tariff=shared))
    ledger.append_records([a_record("r", billed_ms=900)])
    (one,) = settled(ledger).functions
    assert one.measured == one.settled == one.bill
    singly = msgspec.structs.replace(shared, singly=True)
    ledger = a_ledger(an_entry(1, request_id="r", tariff=singly))
    ledger.append_records([a_record("r", billed_ms=900)])
    (one,) = settled(ledger).functions
    assert one.settled > one.measured


def test_as_json_everything_is_plain() -> None:
    ledger = a_ledger(an_entry(1, request_id="r"))
    ledger.append_records([a_record("r", billed_ms=14)])
    (one,) = settled(ledger).functions
    document = msgspec.json.decode(msgspec.json.encode(one.as_json()))
    assert document["settled"] == str(oracle([(14, 1024)]).normalize().__format__("f"))
    assert document["house"][0]["rule"] == "settlement.duration"


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 10_000)), min_size=1))
def test_percentiles_are_those_of_the_sorted_drifts(calls: list[tuple[int, int]]) -> None:
    drift = Drift()
    for measured_ms, settled_ms in calls:
        drift.add(measured_ms, settled_ms)
    exact = sorted(abs(b - a) * 1_000_000 / max(1, a) for a, b in calls)
    found = drift.percentiles_ppm()
    assert abs(found["max"] - exact[-1]) <= 100
    assert abs(found["p50"] - exact[(len(exact) + 1) // 2 - 1]) <= 100
