"""Leases: what is admitted is held before the work and never more than a budget has."""

from __future__ import annotations

import datetime as dt
import logging
import os
import threading
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from farthing.billing.leases import Hold, Leases
from farthing.billing.stores.memory import MemoryStore
from farthing.billing.tenants import PICO_PER_USD, Budget, Tenant
from farthing.errors import BudgetSpent, BudgetUnknown, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

CALL = Decimal("0.000000234")
CALL_PICO = 234_000
NOON_MS = int(dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC).timestamp()) * 1000
MIDNIGHT_MS = int(dt.datetime(2026, 11, 23, tzinfo=dt.UTC).timestamp()) * 1000
S = 1000
WAIT_S = 60


class Clock:
    """A wall clock and a steady one, both moved by hand."""

    def __init__(self, now_ms: int = NOON_MS) -> None:
        self.wall_ms = now_ms
        self.steady_s = 5.0

    def pass_ms(self, passed_ms: int) -> None:
        self.wall_ms += passed_ms
        self.steady_s += passed_ms / 1000


class CountedStore(MemoryStore):
    """The real store, whose questions are counted and which can be taken off the network."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.is_down = False
        self.loses_answers = False

    def lease(self, tenant: str, /, **asked: Any) -> Any:
        return self._answer("lease", lambda: super(CountedStore, self).lease(tenant, **asked))

    def settle_lease(self, lease_id: str, spent_pico: int, /) -> bool:
        return self._answer(
            "settle", lambda: super(CountedStore, self).settle_lease(lease_id, spent_pico)
        )

    def tenant(self, name: str, /) -> Any:
        return self._answer("tenant", lambda: super(CountedStore, self).tenant(name))

    def _answer(self, question: str, answer: Callable[[], Any]) -> Any:
        self.asked.append(question)
        if self.is_down:
            raise StoreUnavailable("down")
        found = answer()
        if self.loses_answers:
            raise StoreUnavailable("no answer came back")
        return found


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> CountedStore:
    return CountedStore()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farthing.billing.leases.PAUSES_S", (0.0, 0.0))


def leases_of(store: CountedStore, clock: Clock, **options: Any) -> Leases:
    return Leases(store, clock_ms=lambda: clock.wall_ms, clock_s=lambda: clock.steady_s, **options)


def give(store: CountedStore, calls: float, *, period: Any = "month", name: str = "shop") -> None:
    store.put_tenant(Tenant(name=name, budgets=(Budget(period, int(calls * CALL_PICO)),)))


def free_pico(store: CountedStore, clock: Clock, window: str = "2026-11") -> tuple[int, int]:
    free, leased, _ = store.free("shop", clock.wall_ms)[window]
    return free, leased


def test_exactly_as_many_calls_are_admitted_as_the_budget_pays_for(
    store: CountedStore, clock: Clock
) -> None:
    give(store, 100.5)
    leases = leases_of(store, clock)
    for _ in range(100):
        assert leases.admit("shop", CALL).settle(CALL) is None
    with pytest.raises(BudgetSpent):
        leases.admit("shop", CALL)
    assert free_pico(store, clock) == (CALL_PICO // 2, 0)


def test_a_refusal_says_what_is_left_and_when_the_budget_resets(
    store: CountedStore, clock: Clock
) -> None:
    give(store, 0.5, period="day")
    with pytest.raises(BudgetSpent) as refused:
        leases_of(store, clock).admit("shop", CALL)
    assert "0.000000117 USD are left" in refused.value.detail
    assert "2026-11-23T00:00:00Z" in refused.value.detail
    assert refused.value.headers == {
        "retry-after": str(12 * 3600),
        "x-farthing-budget-left-usd": "0.000000117",
        "x-farthing-budget-resets": "2026-11-23T00:00:00Z",
    }


def test_a_budget_of_nothing_admits_nothing(store: CountedStore, clock: Clock) -> None:
    give(store, 0)
    for price in (CALL, Decimal(0)):
        with pytest.raises(BudgetSpent):
            leases_of(store, clock).admit("shop", price)


def test_a_tenant_without_a_budget_holds_nothing(store: CountedStore, clock: Clock) -> None:
    store.put_tenant(Tenant(name="shop"))
    leases = leases_of(store, clock)
    for _ in range(500):
        hold = leases.admit("shop", CALL)
        assert (hold.lease_id, hold.unleased, hold.warning) == ("", False, None)
        assert hold.settle(CALL * 9) is None
    assert len(store.asked) == 1


def test_a_budget_given_later_is_kept_within_a_minute(store: CountedStore, clock: Clock) -> None:
    store.put_tenant(Tenant(name="shop"))
    leases = leases_of(store, clock)
    leases.admit("shop", CALL).settle(CALL)
    give(store, 0)
    clock.pass_ms(61 * S)
    with pytest.raises(BudgetSpent):
        leases.admit("shop", CALL)


def test_the_store_is_asked_once_in_a_hundred_calls_and_less(
    store: CountedStore, clock: Clock
) -> None:
    give(store, 10_000_000)
    leases = leases_of(store, clock)
    for _ in range(2_000):
        leases.admit("shop", CALL).settle(CALL)
    store.asked.clear()
    for _ in range(20_000):
        assert not leases.is_revoked("shop", "k")
        leases.admit("shop", CALL).settle(CALL)
        clock.pass_ms(10)
    assert len(store.asked) <= 200


def test_slices_begin_small_grow_and_stay_a_small_part_of_what_is_free(
    store: CountedStore, clock: Clock
) -> None:
    give(store, 6_400)
    leases = leases_of(store, clock)
    leased_calls = []
    for _ in range(400):
        leases.admit("shop", CALL).settle(CALL)
        leased_calls.append(free_pico(store, clock)[1] // CALL_PICO)
    assert leased_calls[:6] == [4, 4, 4, 4, 16, 16]
    assert max(leased_calls) <= 100


def test_near_the_end_nothing_is_kept_while_no_call_needs_it(
    store: CountedStore, clock: Clock
) -> None:
    give(store, 64)
    leases = leases_of(store, clock)
    hold = leases.admit("shop", CALL)
    assert free_pico(store, clock) == (60 * CALL_PICO, 4 * CALL_PICO)
    hold.settle(CALL / 2)
    assert free_pico(store, clock) == (63 * CALL_PICO + CALL_PICO // 2, 0)


def test_a_price_below_the_hold_is_refunded_and_a_higher_one_is_taken_from_the_lease(
    store: CountedStore, clock: Clock
) -> None:
    give(store, 1_000)
    leases = leases_of(store, clock)
    leases.admit("shop", CALL).settle(CALL)
    first = leases.admit("shop", CALL)
    assert first.settle(CALL * 2) is None
    second = leases.admit("shop", CALL)
    assert second.settle(CALL / 4) is None
    assert second.lease_id == first.lease_id
    leases.close()
    assert free_pico(store, clock) == (1_000 * CALL_PICO - CALL_PICO * 13 // 4, 0)


def test_a_price_beyond_its_lease_moves_whole_to_a_new_one(
    store: CountedStore, clock: Clock
) -> None:
    give(store, 1_000)
    leases = leases_of(store, clock)
    hold = leases.admit("shop", CALL)
    before = hold.lease_id
    assert hold.settle(CALL * 7) is None
    assert hold.lease_id != before
    leases.close()
    assert free_pico(store, clock) == (993 * CALL_PICO, 0)


def test_a_price_that_nothing_covers_is_capped_at_what_was_held(
    store: CountedStore, clock: Clock
) -> None:
    give(store, 2.5)
    leases = leases_of(store, clock)
    leases.admit("shop", CALL).settle(CALL)
    hold = leases.admit("shop", CALL + Decimal("0.0000000000005"))
    assert hold.settle(CALL * 3) == CALL_PICO + 1
    assert free_pico(store, clock) == (CALL_PICO // 2 - 1, 0)


def test_fractions_of_a_millionth_of_a_millionth_are_not_rounded_call_by_call(
    store: CountedStore, clock: Clock
) -> None:
    give(store, 100_000)
    leases = leases_of(store, clock)
    price = Decimal("0.00000000000010001")
    for _ in range(10_000):
        leases.admit("shop", price).settle(price)
    leases.close()
    spent = 100_000 * CALL_PICO - free_pico(store, clock)[0]
    assert 1_001 <= spent <= 1_001 + store.asked.count("settle")


def test_a_released_or_forgotten_ending_counts_once(store: CountedStore, clock: Clock) -> None:
    give(store, 10)
    leases = leases_of(store, clock)
    hold = leases.admit("shop", CALL)
    hold.release()
    hold.release()
    assert hold.settle(CALL) is None
    assert free_pico(store, clock) == (10 * CALL_PICO, 0)


def test_a_caller_is_warned_from_eighty_percent_on(store: CountedStore, clock: Clock) -> None:
    give(store, 100)
    leases = leases_of(store, clock)
    warned = []
    for _ in range(100):
        hold = leases.admit("shop", CALL)
        warned.append(hold.warning)
        hold.settle(CALL)
    assert [bool(warning) for warning in warned] == [False] * 79 + [True] * 21
    last = warned[99]
    assert last is not None
    assert (last.left_pico, last.window, last.spent_share) == (0, "2026-11", 1.0)


def test_an_expired_lease_is_not_spent_any_more(store: CountedStore, clock: Clock) -> None:
    give(store, 1_000)
    leases = leases_of(store, clock)
    for _ in range(2):
        before = leases.admit("shop", CALL)
        before.settle(CALL)
    clock.pass_ms(291 * S)
    assert not store.expired(clock.wall_ms)
    after = leases.admit("shop", CALL)
    assert after.lease_id != before.lease_id
    after.settle(CALL)
    assert len(store.expired(NOON_MS + 10**9)) == 1


@pytest.mark.parametrize("which", ["wall", "steady"])
def test_either_clock_ends_a_lease_after_a_sleep(
    store: CountedStore, clock: Clock, which: str
) -> None:
    give(store, 1_000)
    leases = leases_of(store, clock)
    for _ in range(2):
        before = leases.admit("shop", CALL)
        before.settle(CALL)
    if which == "wall":
        clock.wall_ms += 3_600 * S
    else:
        clock.steady_s += 3_600
    assert leases.admit("shop", CALL).lease_id != before.lease_id


def test_a_new_day_begins_with_a_new_lease_and_a_clock_set_back_reopens_no_old_one(
    store: CountedStore, clock: Clock
) -> None:
    give(store, 100, period="day")
    clock.wall_ms = MIDNIGHT_MS - 1
    leases = leases_of(store, clock)
    leases.admit("shop", CALL).settle(CALL)
    clock.pass_ms(1)
    leases.admit("shop", CALL).settle(CALL)
    clock.pass_ms(-2 * S)
    for _ in range(3):
        leases.admit("shop", CALL).settle(CALL)
    leases.close()
    assert free_pico(store, Clock(NOON_MS), "2026-11-22") == (99 * CALL_PICO, 0)
    assert free_pico(store, Clock(MIDNIGHT_MS), "2026-11-23") == (96 * CALL_PICO, 0)


def test_a_call_over_midnight_is_paid_from_the_day_it_was_admitted_in(
    store: CountedStore, clock: Clock
) -> None:
    give(store, 100, period="day")
    clock.wall_ms = MIDNIGHT_MS - 1
    leases = leases_of(store, clock)
    hold = leases.admit("shop", CALL)
    clock.pass_ms(5 * S)
    hold.settle(CALL)
    leases.close()
    assert free_pico(store, Clock(NOON_MS), "2026-11-22") == (99 * CALL_PICO, 0)


def test_while_the_store_is_down_calls_go_on_as_long_as_the_lease_lasts(
    store: CountedStore, clock: Clock
) -> None:
    give(store, 10_000)
    leases = leases_of(store, clock)
    for _ in range(2):
        leases.admit("shop", CALL).settle(CALL)
    store.is_down = True
    for _ in range(2):
        leases.admit("shop", CALL).settle(CALL)
    with pytest.raises(BudgetUnknown) as refused:
        leases.admit("shop", CALL)
    assert refused.value.headers["retry-after"] == "1"
    asked = len(store.asked)
    with pytest.raises(BudgetUnknown):
        leases.admit("shop", CALL)
    assert len(store.asked) == asked, "a store that is down was asked again at once"
    store.is_down = False
    clock.pass_ms(1 * S)
    leases.admit("shop", CALL).settle(CALL)
    leases.close()
    assert free_pico(store, clock) == (9_995 * CALL_PICO, 0)


def test_failing_open_admits_unleased_and_says_so_once(
    store: CountedStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    give(store, 10)
    leases = leases_of(store, clock, outage="open")
    store.is_down = True
    with caplog.at_level(logging.WARNING, "farthing"):
        for _ in range(20):
            hold = leases.admit("shop", CALL)
            assert hold.unleased
            assert hold.settle(CALL) is None
            clock.pass_ms(1 * S)
    assert len(caplog.records) == 1
    store.is_down = False
    clock.pass_ms(10 * S)
    assert not leases.admit("shop", CALL).unleased


def test_failing_open_a_price_beyond_its_lease_becomes_unleased_whole(
    store: CountedStore, clock: Clock
) -> None:
    give(store, 10)
    leases = leases_of(store, clock, outage="open")
    hold = leases.admit("shop", CALL)
    store.is_down = True
    assert hold.settle(CALL * 5) is None
    assert (hold.lease_id, hold.unleased) == ("", True)
    store.is_down = False
    clock.pass_ms(10 * S)
    leases.close()
    leases.admit("shop", CALL).release()
    assert free_pico(store, clock) == (10 * CALL_PICO, 0)


def test_a_tenant_known_to_have_no_budget_outlives_a_short_outage(
    store: CountedStore, clock: Clock
) -> None:
    store.put_tenant(Tenant(name="shop"))
    leases = leases_of(store, clock)
    leases.admit("shop", CALL).settle(CALL)
    store.is_down = True
    clock.pass_ms(200 * S)
    leases.admit("shop", CALL).settle(CALL)
    clock.pass_ms(200 * S)
    with pytest.raises(BudgetUnknown):
        leases.admit("shop", CALL)


def test_a_lease_whose_answer_was_lost_is_not_taken_twice(
    store: CountedStore, clock: Clock
) -> None:
    give(store, 10)
    leases = leases_of(store, clock)
    store.loses_answers = True
    with pytest.raises(BudgetUnknown):
        leases.admit("shop", CALL)
    assert free_pico(store, clock) == (6 * CALL_PICO, 4 * CALL_PICO)
    store.loses_answers = False
    clock.pass_ms(1 * S)
    leases.admit("shop", CALL).settle(CALL)
    assert free_pico(store, clock) == (9 * CALL_PICO, 0)


def test_a_lease_of_a_lost_answer_that_is_too_small_now_is_returned(
    store: CountedStore, clock: Clock
) -> None:
    give(store, 10)
    leases = leases_of(store, clock)
    store.loses_answers = True
    with pytest.raises(BudgetUnknown):
        leases.admit("shop", CALL)
    store.loses_answers = False
    clock.pass_ms(1 * S)
    leases.admit("shop", CALL * 5).settle(CALL * 5)
    assert free_pico(store, clock) == (5 * CALL_PICO, 0)


def test_what_cannot_be_returned_is_returned_later(store: CountedStore, clock: Clock) -> None:
    give(store, 64)
    leases = leases_of(store, clock)
    hold = leases.admit("shop", CALL)
    store.is_down = True
    hold.settle(CALL)
    store.is_down = False
    assert free_pico(store, clock) == (60 * CALL_PICO, 4 * CALL_PICO)
    clock.pass_ms(1 * S)
    leases.admit("shop", CALL).settle(CALL)
    assert free_pico(store, clock) == (62 * CALL_PICO, 0)


def test_a_spent_budget_is_refused_without_asking_each_time(
    store: CountedStore, clock: Clock
) -> None:
    give(store, 1)
    leases = leases_of(store, clock)
    leases.admit("shop", CALL).settle(CALL)
    store.asked.clear()
    for _ in range(50):
        with pytest.raises(BudgetSpent):
            leases.admit("shop", CALL)
    assert len(store.asked) == 1
    give(store, 2)
    clock.pass_ms(1 * S)
    leases.admit("shop", CALL).settle(CALL)


def test_a_call_waits_a_moment_for_what_another_may_give_back(
    store: CountedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farthing.billing.leases.PAUSES_S", (WAIT_S,))
    clock = Clock()
    give(store, 1)
    leases = leases_of(store, clock)
    first = leases.admit("shop", CALL)
    changed = leases._wallet("shop")._changed
    wait, waits = changed.wait, threading.Event()

    def say_and_wait(pause_s: float) -> bool:
        # Under the lock that whoever gives back has to take: nothing comes between the two.
        waits.set()
        return wait(pause_s)

    monkeypatch.setattr(changed, "wait", say_and_wait)
    admitted: list[Hold] = []
    waiting = threading.Thread(target=lambda: admitted.append(leases.admit("shop", CALL)))
    waiting.start()
    assert waits.wait(WAIT_S)
    first.release()
    waiting.join(WAIT_S / 2)
    assert len(admitted) == 1
    with pytest.raises(BudgetSpent) as refused:
        leases_of(store, clock).admit("shop", CALL * 2)
    assert refused.value.headers["retry-after"] != "1"


def test_revoked_keys_are_known_within_a_minute(store: CountedStore, clock: Clock) -> None:
    store.put_tenant(Tenant(name="shop", revoked=("old",)))
    leases = leases_of(store, clock)
    assert leases.is_revoked("shop", "old")
    assert not leases.is_revoked("shop", "new")
    assert not leases.is_revoked("nobody", "new")
    store.put_tenant(Tenant(name="shop", revoked=("old", "new")))
    clock.pass_ms(61 * S)
    assert leases.is_revoked("shop", "new")
    store.is_down = True
    clock.pass_ms(200 * S)
    assert leases.is_revoked("shop", "new")
    clock.pass_ms(200 * S)
    with pytest.raises(BudgetUnknown):
        leases.is_revoked("shop", "new")
    assert not leases_of(store, clock, outage="open").is_revoked("shop", "new")


def test_a_lease_tells_of_revoked_keys_without_another_question(
    store: CountedStore, clock: Clock
) -> None:
    store.put_tenant(Tenant(name="shop", budgets=(Budget("day", PICO_PER_USD),), revoked=("old",)))
    leases = leases_of(store, clock)
    leases.admit("shop", CALL)
    assert leases.is_revoked("shop", "old")
    assert store.asked == ["lease"]


def test_a_prefetched_slice_serves_the_first_calls(store: CountedStore, clock: Clock) -> None:
    give(store, 1_000)
    leases = leases_of(store, clock)
    leases.prefetch("shop", Decimal("0.000001"))
    until_s = time.monotonic() + WAIT_S
    while "lease" not in store.asked:
        assert time.monotonic() < until_s
        time.sleep(0.001)
    for _ in range(4):
        leases.admit("shop", CALL).settle(CALL)
    assert store.asked == ["lease"]


def test_closing_returns_all_that_no_call_holds(store: CountedStore, clock: Clock) -> None:
    give(store, 10_000)
    leases = leases_of(store, clock)
    for _ in range(30):
        leases.admit("shop", CALL).settle(CALL)
    hold = leases.admit("shop", CALL)
    leases.close()
    assert free_pico(store, clock)[1] > 0
    hold.settle(CALL)
    assert free_pico(store, clock) == (9_969 * CALL_PICO, 0)


def test_a_fork_spends_no_lease_of_its_parent(store: CountedStore, clock: Clock) -> None:
    give(store, 10_000)
    leases = leases_of(store, clock)
    for _ in range(2):
        hold = leases.admit("shop", CALL)
        hold.settle(CALL)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, leases.admit("shop", CALL).lease_id.encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 100).decode() not in {"", hold.lease_id}
    os.close(read)
    os.close(write)


def test_threads_of_one_process_share_a_budget_exactly(store: CountedStore, clock: Clock) -> None:
    give(store, 500)
    leases = leases_of(store, clock)
    admitted: list[int] = []

    def call_often() -> None:
        for _ in range(40):
            try:
                leases.admit("shop", CALL).settle(CALL)
            except BudgetSpent:
                return
            admitted.append(1)

    threads = [threading.Thread(target=call_often) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert len(admitted) == 500
    assert free_pico(store, clock) == (0, 0)
