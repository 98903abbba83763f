"""Sealing: each closed hour once, late entries later, whoever else seals at the same time."""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.billing.ledger import Entry
from farthing.ledger.covers import Numbers, ranges_of
from farthing.ledger.merkle import leaf_hash, root_of
from farthing.ledger.sealing import GRACE_MS, LATE_MS, seal
from farthing.ledger.signing import NO_ROOT, digest
from tests.ledger.attempts import HOUR_MS, MINUTE_MS, SIGNER, START_MS, a_ledger, an_entry

AFTER_MS = START_MS + HOUR_MS + GRACE_MS


def sealed(ledger: Any, now_ms: int = AFTER_MS, **options: Any) -> list[Any]:
    return [one.root for one in seal(ledger, SIGNER, now_ms, **options)]


def held(roots: list[Any], entries: list[Any]) -> Counter[tuple[str, int]]:
    """How many roots hold each entry, by their covers alone."""
    return Counter(
        entry.key
        for root in roots
        for entry in entries
        if root.tenant == entry.tenant
        for writer, first, last in root.covers
        if writer == entry.writer and first <= entry.number <= last
    )


def test_an_hour_is_sealed_a_quarter_of_an_hour_after_its_end() -> None:
    ledger = a_ledger(an_entry(1), an_entry(2, at_ms=START_MS + HOUR_MS))
    assert sealed(ledger, AFTER_MS - 1) == []
    (root,) = sealed(ledger)
    assert (root.tenant, root.hour, root.sequence, root.count) == ("acme", "2026-11-22T05", 1, 1)
    assert (root.previous, root.covers) == (NO_ROOT, (("a" * 16, 1, 1),))
    assert root.root == leaf_hash(msgspec.json.encode(an_entry(1))).hex()
    assert sealed(ledger) == []


def test_leaves_stand_by_time_then_writer_then_number() -> None:
    entries = [
        an_entry(2, writer="b" * 16),
        an_entry(1, writer="b" * 16, at_ms=START_MS + 5),
        an_entry(9, writer="a" * 16),
        an_entry(10, writer="a" * 16),
    ]
    (root,) = sealed(a_ledger(*entries))
    ordered = [entries[2], entries[3], entries[0], entries[1]]
    assert root.root == root_of([leaf_hash(msgspec.json.encode(one)) for one in ordered]).hex()


def test_each_tenant_and_the_house_have_a_chain_of_their_own() -> None:
    ledger = a_ledger(
        an_entry(1), an_entry(2, tenant="bolt"), an_entry(3, tenant="house", kind="refusal"),
        an_entry(4, at_ms=START_MS + HOUR_MS),
    )  # fmt: skip
    roots = sealed(ledger, AFTER_MS + HOUR_MS)
    assert [(root.tenant, root.hour[-2:], root.sequence) for root in roots] == [
        ("acme", "05", 1), ("bolt", "05", 1), ("house", "05", 1), ("acme", "06", 2),
    ]  # fmt: skip
    assert roots[3].previous == digest(roots[0])


def test_a_late_entry_joins_the_next_tree_and_no_other() -> None:
    ledger = a_ledger(an_entry(1), an_entry(3))
    first = sealed(ledger)
    ledger.append([an_entry(2)])
    assert sealed(ledger) == []
    second = sealed(ledger, AFTER_MS + HOUR_MS)
    assert [root.covers for root in first + second] == [
        (("a" * 16, 1, 1), ("a" * 16, 3, 3)), (("a" * 16, 2, 2),),
    ]  # fmt: skip
    assert second[0].hour == "2026-11-22T06"


def test_a_run_that_was_cut_short_is_finished_by_the_next_one() -> None:
    ledger = a_ledger(an_entry(1), an_entry(2, tenant="bolt"), an_entry(3, tenant="cord"))
    first = next(iter(seal(ledger, SIGNER, AFTER_MS))).root
    ledger.append([an_entry(4)])
    rest = sealed(ledger)
    assert [(root.tenant, root.hour[-2:]) for root in (first, *rest)] == [
        ("acme", "05"), ("bolt", "05"), ("cord", "05"),
    ]  # fmt: skip
    (late,) = sealed(ledger, AFTER_MS + HOUR_MS)
    assert (late.tenant, late.hour[-2:], late.covers) == ("acme", "06", (("a" * 16, 4, 4),))


def test_an_entry_that_is_days_late_is_sealed_only_once_it_is_admitted() -> None:
    ledger = a_ledger(an_entry(1))
    sealed(ledger)
    much_later_ms = AFTER_MS + LATE_MS + 2 * HOUR_MS
    ledger.append([an_entry(9, at_ms=much_later_ms - 2 * HOUR_MS)])
    sealed(ledger, much_later_ms)
    ledger.append([an_entry(2)])
    assert sealed(ledger, much_later_ms + HOUR_MS) == []
    (root,) = sealed(ledger, much_later_ms + 2 * HOUR_MS, admit_since_ms=0)
    assert root.covers == (("a" * 16, 2, 2),)


def test_a_range_runs_across_numbers_of_other_tenants_only() -> None:
    entries = [an_entry(n, tenant="acme" if n % 2 else "bolt") for n in range(1, 101) if n != 50]
    roots = sealed(a_ledger(*entries))
    assert {root.tenant: root.covers for root in roots} == {
        "acme": (("a" * 16, 1, 49), ("a" * 16, 51, 99)),
        "bolt": (("a" * 16, 2, 48), ("a" * 16, 52, 100)),
    }


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32))
def test_every_entry_is_in_exactly_one_root_however_late_it_comes(seed: int) -> None:
    chance = random.Random(seed)
    entries = [
        an_entry(
            number,
            writer=writer,
            # Clocks go backwards now and then.
            at_ms=START_MS + number * MINUTE_MS * 4 - chance.choice([0, 0, 0, 45 * MINUTE_MS]),
            tenant=chance.choice(["acme", "bolt", "house"]),
        )
        for writer in ("a" * 16, "b" * 16)
        for number in range(1, 40)
    ]
    ledger, waiting, now_ms = a_ledger(), [*entries], START_MS
    while waiting:
        now_ms += chance.choice([20, 60, 150]) * MINUTE_MS
        arrived = [one for one in waiting if one.at_ms <= now_ms and chance.random() < 0.6]
        ledger.append(arrived)
        waiting = [one for one in waiting if one not in arrived]
        for _ in zip(range(chance.randrange(1, 9)), seal(ledger, SIGNER, now_ms), strict=False):
            pass  # a run that may be cut short between two roots
    sealed(ledger, now_ms + 2 * HOUR_MS)
    sealed(ledger, now_ms + 3 * HOUR_MS)
    roots = list(ledger.roots())
    assert held(roots, entries) == Counter({entry.key: 1 for entry in entries})
    assert sum(root.count for root in roots) == len(entries)


def test_two_sealers_at_once_make_one_chain() -> None:
    ledger = a_ledger(
        *(
            an_entry(number, tenant=f"t{number % 7}", at_ms=START_MS + number * MINUTE_MS)
            for number in range(1, 400)
        )
    )
    together = threading.Barrier(4)

    def run() -> None:
        together.wait()
        sealed(ledger, AFTER_MS + 9 * HOUR_MS)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    roots = list(ledger.roots())
    entries = list(ledger.entries(0, AFTER_MS * 2))
    assert held(roots, entries) == Counter({entry.key: 1 for entry in entries})
    assert sum(root.count for root in roots) == len(entries) == 399
    before = None
    for root in roots:
        if before is None or before.tenant != root.tenant:
            assert (root.sequence, root.previous) == (1, NO_ROOT)
        else:
            assert (root.sequence, root.previous) == (before.sequence + 1, digest(before))
        before = root


@given(st.lists(st.integers(1, 60), unique=True))
def test_numbers_know_what_was_seen_and_what_is_missing(numbers: list[int]) -> None:
    seen = Numbers()
    for number in numbers:
        seen.add(number, 0)
        seen.add(number, 0)
    missing = {number for first, last, _ in seen.gaps() for number in range(first, last + 1)}
    assert missing == set(range(1, max(numbers, default=0))) - set(numbers)
    assert {number for number in range(70) if number in seen} == set(numbers)
    assert seen.first_missing(1, 61) == min(set(range(1, 62)) - set(numbers))


@pytest.mark.parametrize("others", [{}, {2: "acme"}])
def test_a_range_ends_before_a_number_that_may_still_be_the_tenants(others: Any) -> None:
    assert ranges_of({"w": [3, 1]}, {"w": others}, "acme") == (("w", 1, 1), ("w", 3, 3))


# An entry and the hash of its leaf as they were sealed before answers were cached.
SEALED = (
    b'{"writer":"writer-a","number":2,"function":"classify","request_id":"request-2",'
    b'"at_ms":1795348800002,"tenant":"acme","kind":"answer","task":"classify",'
    b'"model":"product-classifier","plan":"gold@0a1b2c3d","lease":"lease-1",'
    b'"usage":{"prompt_tokens":23,"truncated":0,"busy_ns":3141592,"init_ns":0,"memory_mb":1024,'
    b'"vcpu_milli":579,"disk_mb":512,"cold":false,"cache":"hit"},'
    b'"tariff":{"platform":"lambda","region":"us-east-1","arch":"x86_64","book":"2026-11-21"}}'
)
SEALED_LEAF = "408ad0a68a758bf1a8be093c8ab9d3b7129812580eef7be0df01533dc7c9ff7d"


def test_what_entries_learn_later_changes_no_leaf_that_was_sealed_before() -> None:
    found = msgspec.json.decode(SEALED, type=Entry)
    assert found.usage.cached_tokens == 0
    assert msgspec.json.encode(found) == SEALED
    assert leaf_hash(msgspec.json.encode(found)).hex() == SEALED_LEAF
