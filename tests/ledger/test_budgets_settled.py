"""Leases that nobody returned, and calls answered without one, against the memory store."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from farthing.billing.tenants import PICO_PER_USD, Budget, Lease, Tenant
from farthing.billing.valuation import Valuer
from farthing.ledger.budgets import ABANDONED_MS, GRACE_MS, charge_unleased, settle_expired_leases
from farthing.ledger.sealing import seal
from tests.ledger.attempts import HOUR_MS, SIGNER, START_MS, a_ledger, a_usage, an_entry

NOW_MS = START_MS + 2 * HOUR_MS
# Ten milliseconds of 1 GB at $0.0000166667 a GB-second, and a request at $0.0000002.
PRICE_PICO = 200_000 + 166_667
LIMIT_PICO = PICO_PER_USD
VALUER = Valuer({})


def a_budget(ledger: Any, limit_pico: int = LIMIT_PICO) -> Any:
    ledger.put_tenant(Tenant(name="acme", budgets=(Budget("day", limit_pico),)))
    return ledger


def lease(ledger: Any, amount_pico: int, lease_id: str = "l1") -> Lease:
    given = ledger.lease("acme", lease_id=lease_id, want_pico=amount_pico, least_pico=amount_pico,
                         now_ms=START_MS, ttl_ms=300_000)  # fmt: skip
    assert isinstance(given, Lease)
    return given


def free(ledger: Any) -> tuple[int, int, int]:
    (window,) = ledger.free("acme", NOW_MS).values()
    return window


def test_a_lease_that_nobody_returned_is_settled_with_what_its_entries_name() -> None:
    ledger = a_budget(a_ledger(
        an_entry(1, lease="l1"), an_entry(2, lease="l1"), an_entry(3, lease="other"),
        an_entry(4, lease="l1", kind="refusal", tenant="house"),
    ))  # fmt: skip
    held = lease(ledger, 10 * PRICE_PICO)
    assert settle_expired_leases(ledger, VALUER, held.expires_ms + GRACE_MS - 1) == 0
    assert settle_expired_leases(ledger, VALUER, held.expires_ms + GRACE_MS) == 1
    assert free(ledger) == (LIMIT_PICO - 2 * PRICE_PICO, 0, LIMIT_PICO)
    assert settle_expired_leases(ledger, VALUER, NOW_MS) == 0


def test_no_more_is_spent_of_a_lease_than_it_was() -> None:
    ledger = a_budget(a_ledger(an_entry(1, lease="l1"), an_entry(2, lease="l1")))
    lease(ledger, PRICE_PICO + 1)
    settle_expired_leases(ledger, VALUER, NOW_MS)
    assert free(ledger) == (LIMIT_PICO - PRICE_PICO - 1, 0, LIMIT_PICO)


def test_a_price_below_a_pico_is_rounded_up() -> None:
    odd = an_entry(1, lease="l1", usage=a_usage(busy_ns=1, memory_mb=129))
    exact = VALUER.value(odd).price.total * PICO_PER_USD
    assert exact != int(exact)
    ledger = a_budget(a_ledger(odd))
    lease(ledger, PRICE_PICO)
    settle_expired_leases(ledger, VALUER, NOW_MS)
    assert free(ledger)[0] == LIMIT_PICO - int(exact) - 1


def unleased_ledger(limit_pico: int = LIMIT_PICO, calls: int = 5) -> Any:
    entries = [an_entry(number, unleased=number != 2) for number in range(1, calls + 2)]
    return a_budget(a_ledger(*entries, an_entry(99, tenant="bolt", unleased=True)), limit_pico)


def sealed(ledger: Any) -> list[Any]:
    return list(seal(ledger, SIGNER, NOW_MS))


def test_calls_without_a_lease_are_charged_once_sealed_and_once_only() -> None:
    ledger = unleased_ledger()
    assert charge_unleased(ledger, VALUER, NOW_MS) == 0
    roots = sealed(ledger)
    charge_unleased(ledger, VALUER, NOW_MS, sealed=roots)
    for later_ms in (NOW_MS, NOW_MS + 2 * ABANDONED_MS):
        assert charge_unleased(ledger, VALUER, later_ms) == 0
    assert free(ledger) == (LIMIT_PICO - 5 * PRICE_PICO, 0, LIMIT_PICO)


def test_what_a_sealer_did_not_live_to_charge_another_does_after_a_while() -> None:
    ledger = unleased_ledger()
    sealed(ledger)
    assert charge_unleased(ledger, VALUER, NOW_MS + ABANDONED_MS - 1) == 0
    assert charge_unleased(ledger, VALUER, NOW_MS + ABANDONED_MS) == 6 * PRICE_PICO
    assert free(ledger) == (LIMIT_PICO - 5 * PRICE_PICO, 0, LIMIT_PICO)


class Killed(Exception):
    pass


@pytest.mark.parametrize("limit_pico", [LIMIT_PICO, 3 * PRICE_PICO])
@pytest.mark.parametrize("after", ["lease", "set_mark", "settle_lease"])
def test_a_crash_between_any_two_steps_neither_repeats_nor_loses_the_charge(
    limit_pico: int, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = unleased_ledger(limit_pico)
    roots = [one for one in sealed(ledger) if one.root.tenant == "acme"]
    real = getattr(ledger, after)

    def crash(*arguments: Any, **named: Any) -> Any:
        real(*arguments, **named)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(ledger, after, crash)
        with pytest.raises(Killed):
            charge_unleased(ledger, VALUER, NOW_MS, sealed=roots)
    # Leases that expired meanwhile are settled first, and must leave this one alone.
    much_later_ms = NOW_MS + 48 * HOUR_MS
    settle_expired_leases(ledger, VALUER, much_later_ms)
    charge_unleased(ledger, VALUER, much_later_ms)
    charge_unleased(ledger, VALUER, much_later_ms)
    lost = after == "settle_lease" and limit_pico < 5 * PRICE_PICO
    charged = 3 * PRICE_PICO if lost else 5 * PRICE_PICO
    assert free(ledger) == (limit_pico - charged, 0, limit_pico)


def test_what_the_budget_no_longer_has_is_charged_beyond_it() -> None:
    for limit_pico in (3 * PRICE_PICO, 0):
        ledger = unleased_ledger(limit_pico)
        charge_unleased(ledger, VALUER, NOW_MS, sealed=sealed(ledger))
        assert free(ledger) == (limit_pico - 5 * PRICE_PICO, 0, limit_pico)


def test_the_price_is_that_of_the_price_page() -> None:
    assert VALUER.value(an_entry(1)).price.total == Decimal(PRICE_PICO) / PICO_PER_USD
