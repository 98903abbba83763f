"""Several entries of one invocation, as functions that do batch jobs' shards write them."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ledger.attempts import (
    HOUR_MS,
    MINUTE_MS,
    START_MS,
    a_ledger,
    a_record,
    a_usage,
    an_entry,
)
from tests.ledger.test_settlement import oracle, settled, total


def test_shards_that_shared_an_invocation_are_billed_as_one() -> None:
    """Three shards of 100 ms each; Lambda's record says 320 ms and one request."""
    shards = [
        an_entry(number, writer="batch-1", request_id="r", at_ms=START_MS + MINUTE_MS + number,
                 usage=a_usage(busy_ns=100_000_000))
        for number in (1, 2, 3)
    ]  # fmt: skip
    ledger = a_ledger(*shards)
    ledger.append_records([a_record("r", at_ms=START_MS + MINUTE_MS + 9, billed_ms=320)])
    found = settled(ledger)
    (one,) = found.functions
    assert (one.entries, one.records, one.matched, one.unreported) == (3, 1, 1, 0)
    assert one.flags == ()
    assert one.measured == oracle([(100, 1024)] * 3)
    assert one.settled == oracle([(320, 1024)])
    # Two requests that were not billed make the house's line less.
    assert total(found.house) == oracle([(320, 1024)]) - oracle([(100, 1024)] * 3)
    assert found.cost + total(found.house) == found.bill == oracle([(320, 1024)])


def test_an_attempt_before_whose_record_is_missing_is_still_missed() -> None:
    ledger = a_ledger(
        an_entry(1, writer="batch-1", request_id="r", at_ms=START_MS),
        an_entry(2, writer="batch-1", request_id="r", at_ms=START_MS + MINUTE_MS),
    )
    ledger.append_records([a_record("r", at_ms=START_MS + MINUTE_MS + 4)])
    (one,) = settled(ledger).functions
    assert (one.matched, one.unreported) == (1, 1)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32))
def test_tenants_and_house_add_up_to_the_records_however_shards_share_them(seed: int) -> None:
    chance = random.Random(seed)
    ledger, records, billed, number = a_ledger(), [], [], 0
    for call in range(chance.randrange(1, 20)):
        end_ms = START_MS + chance.randrange(30 * MINUTE_MS, HOUR_MS)
        spent_ms = [chance.randrange(1, 5_000) for _ in range(chance.randrange(1, 6))]
        began_ms = end_ms - sum(spent_ms)
        for ms in spent_ms:
            began_ms, number = began_ms + ms, number + 1
            usage = a_usage(busy_ns=ms * 1_000_000 - chance.randrange(1_000_000))
            named = {"writer": "batch-1", "request_id": f"r{call}"}
            ledger.append([an_entry(number, at_ms=began_ms, usage=usage, **named)])
        billed.append(sum(spent_ms) + chance.randrange(50))
        records.append(a_record(f"r{call}", at_ms=end_ms, billed_ms=billed[-1]))
    ledger.append_records(records)
    found = settled(ledger)
    assert found.bill == oracle([(ms, 1024) for ms in billed])
    assert found.cost + total(found.house) == found.bill
    (one,) = found.functions
    assert (one.matched, one.unreported) == (len(records), 0)


def test_shards_that_one_call_did_are_settled_against_its_one_record() -> None:
    shards = [
        an_entry(number, writer="batch-7", request_id="call-1", at_ms=START_MS + number)
        for number in (1, 2, 3)
    ]
    again = [
        an_entry(number, writer="batch-7", request_id="call-1", at_ms=START_MS + 60_000 + number)
        for number in (4, 5)
    ]
    ledger = a_ledger(*shards, *again)
    # The call was killed after three shards, and its retry bears the same id.
    ledger.append_records(
        [
            a_record("call-1", at_ms=START_MS + 50, billed_ms=45),
            a_record("call-1", at_ms=START_MS + 60_050, billed_ms=25),
        ]
    )
    found = settled(ledger)
    (one,) = found.functions
    assert (one.entries, one.records, one.matched) == (5, 2, 2)
    assert (one.unreported, one.unrecorded, one.pending) == (0, 0, 0)
    assert found.bill == oracle([(45, 1024), (25, 1024)])
    assert found.cost + total(found.house) == found.bill


def test_a_call_that_did_no_shard_is_the_houses_beside_one_that_did() -> None:
    ledger = a_ledger(an_entry(1, writer="batch-7", request_id="call-1", at_ms=START_MS + 60_000))
    ledger.append_records(
        [
            a_record("call-1", at_ms=START_MS + 50, billed_ms=45),
            a_record("call-1", at_ms=START_MS + 60_001, billed_ms=10),
        ]
    )
    found = settled(ledger)
    (one,) = found.functions
    assert (one.matched, one.unrecorded) == (1, 1)
    assert found.bill == oracle([(45, 1024), (10, 1024)])
    assert found.cost + total(found.house) == found.bill
