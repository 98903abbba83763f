"""Leases under anything: several processes, crashes, outages, lost answers and odd clocks.

The model knows only what entries would say: which price was settled under which lease.
"""

from __future__ import annotations

import math
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from farthing.billing import leases as module
from farthing.billing.leases import Hold, Leases
from farthing.billing.stores.memory import MemoryStore
from farthing.billing.tenants import Budget, Lease, Tenant
from farthing.errors import BudgetSpent, BudgetUnknown, StoreUnavailable

DAY_MS = 86_400_000
START_MS = 20_779 * DAY_MS + DAY_MS // 2
# Calls end within this; settlement waits longer before it settles a lease that expired.
CALL_MAX_MS = 30_000
GRACE_MS = 60_000
PICO = 10**12
PRICES = st.integers(0, 40).map(lambda tenths: Decimal(tenths).scaleb(-13))
# Of the largest, slices hold many calls; of the smallest, one.
LIMITS = st.sampled_from([(60, 150), (1_500, 2_000), (5_000, 9_000)])


class FlakyStore(MemoryStore):
    """Fails before or after it has done what it was asked, and remembers the leases it gave."""

    def __init__(self) -> None:
        super().__init__()
        self.trouble = "none"
        self.given: dict[str, Lease] = {}

    def lease(self, tenant: str, /, **asked: Any) -> Any:
        self._fail_if("down")
        answer = super().lease(tenant, **asked)
        if isinstance(answer, Lease):
            self.given[answer.id] = answer
        self._fail_if("deaf")
        return answer

    def settle_lease(self, lease_id: str, spent_pico: int, /) -> bool:
        self._fail_if("down")
        closed = super().settle_lease(lease_id, spent_pico)
        self._fail_if("deaf")
        return closed

    def _fail_if(self, trouble: str) -> None:
        if self.trouble == trouble:
            raise StoreUnavailable("trouble")


class Processes(RuleBasedStateMachine):
    """Any order of calls, endings, crashes, outages and settlements by two processes.

    Clocks are right when a process starts, as those of clouds are, and set to anything later.
    """

    def __init__(self) -> None:
        super().__init__()
        module.PAUSES_S = ()
        self.store = FlakyStore()
        self.limits: dict[str, int] = {}
        self.now_ms = START_MS
        self.skew_ms = 0
        self.spent: dict[str, Fraction] = defaultdict(Fraction)
        self.processes = [self._process(), self._process()]
        self.holds: list[tuple[int, Hold, int]] = []

    def _process(self) -> Leases:
        return Leases(
            self.store,
            clock_ms=lambda: self.now_ms + self.skew_ms,
            clock_s=lambda: self.now_ms / 1000,
        )

    @initialize(limits=LIMITS)
    def give(self, limits: tuple[int, int]) -> None:
        self.limits = {"day": limits[0], "month": limits[1]}
        budgets = (Budget("day", limits[0]), Budget("month", limits[1]))
        self.store.put_tenant(Tenant(name="shop", budgets=budgets))

    @rule(process=st.integers(0, 1), price=PRICES, calls=st.sampled_from([1, 30, 400]))
    def call(self, process: int, price: Decimal, calls: int) -> None:
        for _ in range(calls):
            before = len(self.holds)
            self.admit(process, price)
            if len(self.holds) == before:
                break
            self._end(self.holds.pop()[1], price)

    @rule(process=st.integers(0, 1), price=PRICES)
    def admit(self, process: int, price: Decimal) -> None:
        try:
            hold = self.processes[process].admit("shop", price)
        except (BudgetSpent, BudgetUnknown):
            return
        assert hold.lease_id
        assert not hold.unleased
        self.holds.append((process, hold, self.now_ms))

    @precondition(lambda self: self.holds)
    @rule(data=st.data(), price=PRICES)
    def settle(self, data: st.DataObject, price: Decimal) -> None:
        self._end(self.holds.pop(data.draw(st.integers(0, len(self.holds) - 1)))[1], price)

    def _end(self, hold: Hold, price: Decimal) -> None:
        cap_pico = hold.settle(price)
        paid_pico = Fraction(price) * PICO
        if cap_pico is not None:
            assert cap_pico < paid_pico
            paid_pico = Fraction(cap_pico)
        self.spent[hold.lease_id] += paid_pico

    @precondition(lambda self: self.holds)
    @rule()
    def release(self) -> None:
        self.holds.pop()[1].release()

    @rule(process=st.integers(0, 1))
    def crash(self, process: int) -> None:
        self.holds = [held for held in self.holds if held[0] != process]
        self.skew_ms = max(0, self.skew_ms)
        self.processes[process] = self._process()

    @rule(process=st.integers(0, 1))
    def close(self, process: int) -> None:
        self.processes[process].close()

    @rule(trouble=st.sampled_from(["none", "none", "down", "deaf"]))
    def trouble(self, trouble: str) -> None:
        self.store.trouble = trouble

    @rule(passed_ms=st.sampled_from([500, 20_000, 100_000, 400_000, DAY_MS // 3]))
    def time_passes(self, passed_ms: int) -> None:
        self.now_ms += passed_ms
        late = [held for held in self.holds if self.now_ms - held[2] > CALL_MAX_MS]
        self.holds = [held for held in self.holds if held not in late]

    @rule(skew_ms=st.sampled_from([0, -3_600_000, -DAY_MS, 3_600_000]))
    def clock_is_set(self, skew_ms: int) -> None:
        self.skew_ms = skew_ms

    @rule()
    def settle_expired(self) -> None:
        for lease in self.store.expired(self.now_ms - GRACE_MS):
            held = any(hold.lease_id == lease.id for _, hold, _ in self.holds)
            if not held:
                spent_pico = math.ceil(self.spent[lease.id])
                MemoryStore.settle_lease(self.store, lease.id, spent_pico)

    @invariant()
    def no_lease_is_overspent(self) -> None:
        for lease_id, spent_pico in self.spent.items():
            assert spent_pico <= self.store.given[lease_id].amount_pico

    @invariant()
    def no_budget_is_overspent(self) -> None:
        for window, spent_pico in self._by_window().items():
            assert spent_pico <= self.limits["day" if len(window) > 7 else "month"]

    def teardown(self) -> None:
        """In the end all that was not spent is there again, to the pico-dollar per lease."""
        self.store.trouble = "none"
        for _, hold, _ in self.holds:
            hold.release()
        self.holds = []
        for process in self.processes:
            process.close()
        for lease in self.store.expired(self.now_ms + 10 * DAY_MS):
            MemoryStore.settle_lease(self.store, lease.id, math.ceil(self.spent[lease.id]))
        spent_up: dict[str, int] = defaultdict(int)
        for lease_id, spent_pico in self.spent.items():
            for window in self.store.given[lease_id].windows:
                spent_up[window] += math.ceil(spent_pico)
        for window, counter in self.store._counters.get("shop", {}).items():
            assert counter.leased_pico == 0
            assert counter.free_pico == counter.limit_pico - spent_up[window]

    def _by_window(self) -> dict[str, Fraction]:
        found: dict[str, Fraction] = defaultdict(Fraction)
        for lease_id, spent_pico in self.spent.items():
            for window in self.store.given[lease_id].windows:
                found[window] += spent_pico
        return found


@pytest.fixture(autouse=True)
def pauses_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSES_S", module.PAUSES_S)


TestProcesses = Processes.TestCase
TestProcesses.settings = settings(
    max_examples=200,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
