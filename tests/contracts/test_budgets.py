"""Budgets hold, whatever counts them: nothing is given twice, nothing is lost."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import random
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from farthing.billing.stores import open_store
from farthing.billing.stores.memory import MemoryStore
from farthing.billing.tenants import Budget, Lease, Shortage, Tenant, Unlimited
from farthing.errors import LedgerError
from tests.functions.server import ROOT
from tests.ledger.facts import DAY_MS, NOON_MS
from tests.ledger.storm import CALL_PICO, SLICES

if TYPE_CHECKING:
    from collections.abc import Callable

    from farthing.billing.ledger import Store

TODAY, MONTH = "2026-11-22", "2026-11"
TTL_MS = 60_000
STORM_S_MAX = 600
_numbers = itertools.count(1)


def ask(
    store: Store,
    lease_id: str,
    want_pico: int,
    least_pico: int = 1,
    now_ms: int = NOON_MS,
    tenant: str = "acme",
) -> Lease | Shortage | Unlimited:
    return store.lease(
        tenant,
        lease_id=lease_id,
        want_pico=want_pico,
        least_pico=least_pico,
        now_ms=now_ms,
        ttl_ms=TTL_MS,
    )


def budgets(day: int | None = None, month: int | None = None) -> tuple[Budget, ...]:
    found = []
    if day is not None:
        found.append(Budget("day", day))
    if month is not None:
        found.append(Budget("month", month))
    return tuple(found)


def put(store: Store, day: int | None = None, month: int | None = None, **more: Any) -> None:
    store.put_tenant(Tenant(name="acme", budgets=budgets(day, month), **more))


def test_a_tenant_comes_back_as_it_was(store: Store) -> None:
    first = Tenant(name="acme", plan="gold", budgets=budgets(5, 100), revoked=("k1", "k2"))
    store.put_tenant(first)
    store.put_tenant(Tenant(name="acm"))
    assert store.tenant("acme") == first
    assert store.tenant("nobody") is None
    store.put_tenant(Tenant(name="acme"))
    assert list(store.tenants()) == [Tenant(name="acm"), Tenant(name="acme")]


def test_who_has_no_budget_is_unlimited_but_its_revoked_keys_are_known(store: Store) -> None:
    put(store, revoked=("k1",))
    assert ask(store, "one", 10) == Unlimited(tenant="acme", revoked=("k1",))
    assert ask(store, "two", 10, tenant="nobody") == Unlimited(tenant="nobody")
    assert store.free("acme", NOON_MS) == {} == store.free("nobody", NOON_MS)
    store.charge("acme", 5, NOON_MS)
    store.charge("nobody", 5, NOON_MS)


def test_a_lease_says_what_it_left(store: Store) -> None:
    put(store, day=100, month=150, revoked=("k1",))
    assert ask(store, "one", 60) == Lease(
        id="one",
        tenant="acme",
        windows=(MONTH, TODAY),
        amount_pico=60,
        expires_ms=NOON_MS + TTL_MS,
        free_pico=40,
        limit_pico=100,
        window=TODAY,
        revoked=("k1",),
    )
    assert store.free("acme", NOON_MS) == {TODAY: (40, 60, 100), MONTH: (90, 60, 150)}


def test_at_the_end_less_is_given_and_then_nothing(store: Store) -> None:
    put(store, day=100)
    ask(store, "one", 70)
    last = ask(store, "two", 70, 30)
    assert isinstance(last, Lease)
    assert last.amount_pico == 30
    assert ask(store, "three", 70) == Shortage(
        tenant="acme", window=TODAY, free_pico=0, leased_pico=100, limit_pico=100
    )


def test_less_than_the_least_is_not_given(store: Store) -> None:
    put(store, day=100)
    ask(store, "one", 70)
    short = ask(store, "two", 70, 31)
    assert isinstance(short, Shortage)
    assert (short.free_pico, short.leased_pico) == (30, 70)
    assert store.free("acme", NOON_MS) == {TODAY: (30, 70, 100)}


def test_a_budget_of_nothing_refuses_and_the_scarcer_of_two_decides(store: Store) -> None:
    put(store, day=0, month=1_000)
    short = ask(store, "one", 5)
    assert isinstance(short, Shortage)
    assert short.window == TODAY
    put(store, day=1_000, month=3)
    assert isinstance(found := ask(store, "two", 5), Lease)
    assert (found.amount_pico, found.window) == (3, MONTH)


def test_the_same_lease_can_be_asked_for_again_while_it_is_open(store: Store) -> None:
    put(store, day=100)
    first = ask(store, "one", 60)
    assert ask(store, "one", 60) == first
    assert ask(store, "one", 90, 80, now_ms=NOON_MS + 5) == first
    assert store.free("acme", NOON_MS) == {TODAY: (40, 60, 100)}


def test_a_lease_is_settled_once(store: Store) -> None:
    put(store, day=100, month=150)
    ask(store, "one", 60)
    assert store.settle_lease("one", 25)
    assert not store.settle_lease("one", 25)
    assert not store.settle_lease("one", 0)
    assert not store.settle_lease("unknown", 0)
    assert store.free("acme", NOON_MS) == {TODAY: (75, 0, 100), MONTH: (125, 0, 150)}


@pytest.mark.parametrize("spent_pico", [-1, 61, 2**62])
def test_a_settlement_makes_no_money(store: Store, spent_pico: int) -> None:
    put(store, day=100)
    ask(store, "one", 60)
    with pytest.raises(LedgerError, match="does not hold"):
        store.settle_lease("one", spent_pico)
    assert store.free("acme", NOON_MS) == {TODAY: (40, 60, 100)}
    assert store.settle_lease("one", 60)


def test_amounts_out_of_order_are_refused(store: Store) -> None:
    put(store, day=100)
    for want_pico, least_pico in ((5, 6), (-5, -6), (5, -1)):
        with pytest.raises(LedgerError, match="out of order"):
            ask(store, "one", want_pico, least_pico)
    with pytest.raises(LedgerError, match="below 0"):
        store.charge("acme", -1, NOON_MS)
    assert store.free("acme", NOON_MS) == {TODAY: (100, 0, 100)}


def test_a_lease_of_yesterday_returns_to_yesterday(store: Store) -> None:
    put(store, day=100, month=500)
    ask(store, "one", 60)
    tomorrow_ms = NOON_MS + DAY_MS
    assert store.free("acme", tomorrow_ms) == {"2026-11-23": (100, 0, 100), MONTH: (440, 60, 500)}
    assert store.settle_lease("one", 10)
    assert store.free("acme", tomorrow_ms) == {"2026-11-23": (100, 0, 100), MONTH: (490, 0, 500)}
    assert store.free("acme", NOON_MS) == {TODAY: (90, 0, 100), MONTH: (490, 0, 500)}


def test_a_clock_that_goes_back_finds_what_was_spent(store: Store) -> None:
    put(store, day=100)
    ask(store, "one", 100)
    assert isinstance(ask(store, "two", 100, now_ms=NOON_MS + DAY_MS), Lease)
    assert isinstance(ask(store, "three", 1), Shortage)


def test_expired_leases_are_listed_until_they_are_settled(store: Store) -> None:
    put(store, day=100)
    one = ask(store, "one", 10)
    two = ask(store, "two", 10, now_ms=NOON_MS - 5)
    assert store.expired(NOON_MS + TTL_MS - 6) == []
    assert store.expired(NOON_MS + TTL_MS - 1) == [two]
    assert store.expired(NOON_MS + TTL_MS) == [two, one]
    assert store.settle_lease("two", 10)
    assert store.expired(NOON_MS + TTL_MS) == [one]


def test_a_changed_limit_keeps_what_was_spent(store: Store) -> None:
    put(store, day=100, month=1_000)
    ask(store, "one", 60)
    assert store.settle_lease("one", 50)
    put(store, day=120, month=40)
    assert store.free("acme", NOON_MS) == {TODAY: (70, 0, 120), MONTH: (-10, 0, 40)}
    short = ask(store, "two", 1)
    assert isinstance(short, Shortage)
    assert (short.window, short.free_pico) == (MONTH, -10)
    put(store, day=120, month=60)
    found = ask(store, "three", 100)
    assert isinstance(found, Lease)
    assert found.amount_pico == 10
    put(store, day=10)
    store.charge("acme", 3, NOON_MS)
    assert store.free("acme", NOON_MS) == {TODAY: (-53, 10, 10)}
    assert store.settle_lease("three", 0)
    put(store, day=10, month=60)
    assert store.free("acme", NOON_MS) == {TODAY: (-43, 0, 10), MONTH: (10, 0, 60)}


def test_of_two_budgets_of_a_period_the_smaller_counts(store: Store) -> None:
    store.put_tenant(Tenant(name="acme", budgets=(Budget("day", 10), Budget("day", 7))))
    assert store.free("acme", NOON_MS) == {TODAY: (7, 0, 7)}


def test_what_was_answered_without_a_lease_may_go_below_nothing(store: Store) -> None:
    put(store, day=100)
    store.charge("acme", 70, NOON_MS)
    store.charge("acme", 70, NOON_MS)
    assert store.free("acme", NOON_MS) == {TODAY: (-40, 0, 100)}
    assert isinstance(ask(store, "one", 1), Shortage)


def test_the_largest_budget_fits(store: Store) -> None:
    largest = 10**18
    put(store, month=largest)
    assert isinstance(ask(store, "one", largest), Lease)
    assert store.settle_lease("one", largest)
    store.charge("acme", largest, NOON_MS)
    assert store.free("acme", NOON_MS) == {MONTH: (-largest, 0, largest)}


def test_random_histories_add_up(store: Store) -> None:
    machine = type("Machine", (Budgets,), {"store": store})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=200 if isinstance(store, MemoryStore) else 25,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


class Budgets(RuleBasedStateMachine):
    """A store beside integers: of every window limit = free + open leases + spent."""

    store: Store
    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.name = f"tenant-{next(_numbers)}"
        self.now_ms = NOON_MS
        self.limits: dict[str, int] = {}
        self.spent: dict[str, int] = {}
        self.open: dict[str, Lease] = {}

    def windows(self) -> dict[str, int]:
        moment = dt.datetime.fromtimestamp(self.now_ms / 1000, dt.UTC).date().isoformat()
        return {moment[: 10 if period == "day" else 7]: n for period, n in self.limits.items()}

    def leased(self, window: str) -> int:
        return sum(lease.amount_pico for lease in self.open.values() if window in lease.windows)

    def free(self) -> dict[str, int]:
        return {
            window: limit - self.spent.get(window, 0) - self.leased(window)
            for window, limit in self.windows().items()
        }

    @rule(day=st.none() | st.integers(0, 300), month=st.none() | st.integers(0, 900))
    def put(self, day: int | None, month: int | None) -> None:
        self.store.put_tenant(Tenant(name=self.name, budgets=budgets(day, month)))
        limits = {"day": day, "month": month}
        self.limits = {period: limit for period, limit in limits.items() if limit is not None}

    @rule(days=st.sampled_from([-31, -1, 0, 0, 1, 9]), ms=st.integers(-TTL_MS, TTL_MS))
    def pass_time(self, days: int, ms: int) -> None:
        self.now_ms += days * DAY_MS + ms

    @rule(target=leases, want=st.integers(0, 200), less=st.integers(0, 200))
    def lease(self, want: int, less: int) -> Any:
        least, name = max(0, want - less), f"{self.name}/{next(_numbers)}"
        found = ask(self.store, name, want, least, self.now_ms, self.name)
        free = self.free()
        if not free:
            assert found == Unlimited(tenant=self.name)
            return multiple()
        left = min(free.values())
        amount = min(want, left)
        if amount < least:
            assert isinstance(found, Shortage)
            assert (found.free_pico, free[found.window]) == (left, left)
            assert found.leased_pico == self.leased(found.window)
            return multiple()
        assert isinstance(found, Lease)
        assert (found.amount_pico, found.free_pico) == (amount, left - amount)
        assert free[found.window] == left
        assert set(found.windows) == set(free)
        assert found.expires_ms == self.now_ms + TTL_MS
        self.open[name] = found
        return name

    @rule(name=leases, want=st.integers(0, 200))
    def ask_again(self, name: str, want: int) -> None:
        if name in self.open:
            again = ask(self.store, name, want, 0, self.now_ms, self.name)
            assert again == self.open[name]

    @rule(name=consumes(leases), part=st.integers(0, 100))
    def settle(self, name: str, part: int) -> None:
        lease = self.open.pop(name)
        spent = lease.amount_pico * part // 100
        assert self.store.settle_lease(name, spent)
        assert not self.store.settle_lease(name, spent)
        for window in lease.windows:
            self.spent[window] = self.spent.get(window, 0) + spent

    @rule(amount=st.integers(0, 100))
    def charge(self, amount: int) -> None:
        self.store.charge(self.name, amount, self.now_ms)
        for window in self.windows():
            self.spent[window] = self.spent.get(window, 0) + amount

    @rule()
    def list_expired(self) -> None:
        listed = [one for one in self.store.expired(self.now_ms) if one.tenant == self.name]
        late = [one for one in self.open.values() if one.expires_ms <= self.now_ms]
        assert sorted(listed, key=lambda one: one.id) == sorted(late, key=lambda one: one.id)

    @invariant()
    def adds_up(self) -> None:
        expected = {
            window: (free, self.leased(window), self.windows()[window])
            for window, free in self.free().items()
        }
        assert self.store.free(self.name, self.now_ms) == expected


def storm(
    url: str, mode: str, processes: int, threads: int, meanwhile: Callable[[], object] | None = None
) -> list[dict[str, Any]]:
    """What each of several processes was given that lease from one budget at once."""
    arguments = [url, "acme", str(threads), mode]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.ledger.storm", *arguments, str(seed)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in range(processes)
    ]
    while meanwhile is not None and any(one.poll() is None for one in running):
        meanwhile()
    said = [one.communicate(timeout=STORM_S_MAX) for one in running]
    # What one said last before it died is worth more than that its answer is no JSON.
    died = [(one.returncode, why) for one, (_, why) in zip(running, said, strict=True) if why]
    assert not died
    assert [one.returncode for one in running] == [0] * processes
    told: list[dict[str, Any]] = [json.loads(answer) for answer, _ in said]
    assert not [error for one in told for error in one["errors"]]
    return told


def test_two_hundred_callers_in_four_processes_get_a_hundred_calls(shared_url: str) -> None:
    store = open_store(shared_url)
    put(store, day=100 * CALL_PICO + 7, month=1_000 * CALL_PICO)
    told = storm(shared_url, "calls", processes=4, threads=50)
    assert sum(one["given"] for one in told) == 100
    free_pico, _, _ = store.free("acme", NOON_MS)[TODAY]
    assert free_pico == 7
    for lease in store.expired(NOON_MS + TTL_MS):
        assert store.settle_lease(lease.id, 0)
    counted = store.free("acme", NOON_MS)[TODAY]
    assert counted[0] % CALL_PICO == 7
    assert counted[1] == 0
    store.close()


def test_a_storm_of_leases_and_settlements_adds_up_while_limits_change(shared_url: str) -> None:
    store = open_store(shared_url)
    limit = 4_000 * CALL_PICO
    put(store, day=limit, month=2 * limit)
    chance, charged = random.Random(5), []

    def meddle() -> None:
        put(store, day=chance.randrange(limit // 2, limit), month=chance.randrange(limit))
        store.charge("acme", 11, NOON_MS)
        charged.append(11)
        time.sleep(0.01)

    told = storm(shared_url, "slices", processes=3, threads=12, meanwhile=meddle)
    put(store, day=limit, month=2 * limit)
    assert sum(one["given"] for one in told) == 3 * 12 * SLICES
    held = sum(lease.amount_pico for lease in store.expired(NOON_MS + TTL_MS))
    left = -held - sum(one["spent"] for one in told) - sum(charged)
    assert store.free("acme", NOON_MS) == {
        TODAY: (limit + left, held, limit),
        MONTH: (2 * limit + left, held, 2 * limit),
    }
    store.close()
