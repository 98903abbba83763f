"""`farthing keys init|create|budget|revoke`: what changes keys and tenants."""

from __future__ import annotations

import json
import os
import sys
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from farthing.cli.keys.show import day, existing, usd
from farthing.cli.options import AsJson, Ledger, open_ledger
from farthing.errors import SettingsError

if TYPE_CHECKING:
    from farthing.billing.tenants import Budget, Tenant
    from farthing.serving.claims import Claims

DAY_S = 86_400
LIFETIME_DAYS = 365


class EachPeriod(StrEnum):
    DAY = "day"
    MONTH = "month"


TenantName = Annotated[str, typer.Option("--tenant", help="Who is billed.")]
BudgetUsd = Annotated[
    str | None,
    typer.Option(
        show_default=False, help="At most this much in each period, in US dollars; 0 stops it."
    ),
]
OfPeriod = Annotated[EachPeriod, typer.Option("--period", help="UTC day or month.")]


def init() -> None:
    """Print a fresh secret that signs keys, as a setting: it belongs into a secret store.

    To rotate, put the new pair ahead of the old one, make new keys, and drop the old pair when
    its keys are no longer used.
    """
    from farthing.serving.keys import new_entry

    sys.stdout.write(f"FARTHING_KEYS={new_entry()}\n")


def create(
    tenant: TenantName,
    budget_usd: BudgetUsd = None,
    period: OfPeriod = EachPeriod.MONTH,
    plan: Annotated[str, typer.Option(help="Plan of FARTHING_PLANS; empty is at cost.")] = "",
    scope: Annotated[
        list[str] | None,
        typer.Option(
            show_default=False,
            help=r"classify, embed, search, rerank, index or usage; repeatable. "
            r"\[default: everything]",
        ),
    ] = None,
    calls_per_minute: Annotated[
        int | None,
        typer.Option(min=1, show_default=False, help="Most calls a minute, on each instance."),
    ] = None,
    expires_days: Annotated[int, typer.Option(min=1, max=3650, help="The key's life.")] = (
        LIFETIME_DAYS
    ),
    ledger: Ledger = None,
    as_json: AsJson = False,
) -> None:
    """Make a key, and its tenant where that is new. The key is shown this once and kept nowhere.

    Signs with the first secret of FARTHING_KEYS; without one a fresh secret is made and shown.
    """
    import msgspec

    from farthing.billing.tenants import KeyFacts
    from farthing.serving.keys import KeyRing, new_claims, new_entry

    claims = new_claims(
        tenant,
        expires_days * DAY_S,
        scope=" ".join(_known_scopes(scope or ["*"])),
        plan=_known_plan(plan),
        rpm=calls_per_minute,
    )
    budget = _budget(budget_usd, period)
    entries = [entry for entry in os.environ.get("FARTHING_KEYS", "").split(",") if entry]
    made = [] if entries else [new_entry()]
    key = KeyRing(entries or made).sign(claims)
    store = open_ledger(ledger, must_exist=False)
    known = store.tenant(tenant) or _new_tenant(tenant)
    budgets = {each.period: each for each in known.budgets}
    if budget is not None:
        budgets[budget.period] = budget
    facts = KeyFacts(id=claims.jti, scope=claims.scope, expires_s=claims.exp, created_s=claims.iat)
    changed = msgspec.structs.replace(
        known,
        plan=plan or known.plan,
        budgets=tuple(budgets.values()),
        keys=(*known.keys, facts),
    )
    store.put_tenant(changed)
    store.close()
    _show_key(key, claims, changed, made, as_json=as_json)


def budget(
    tenant: TenantName,
    budget_usd: BudgetUsd = None,
    period: OfPeriod = EachPeriod.MONTH,
    remove: Annotated[bool, typer.Option(help="Take this period's budget away.")] = False,
    ledger: Ledger = None,
) -> None:
    """Set, change or remove a budget; what is spent already counts."""
    import msgspec

    wanted = _budget(budget_usd, period)
    if (wanted is None) == (not remove):
        raise SettingsError("budget needs either --budget-usd or --remove. Give one of them.")
    store = open_ledger(ledger, must_exist=False)
    known = store.tenant(tenant) or _checked_tenant(tenant)
    kept = tuple(each for each in known.budgets if each.period != period.value)
    store.put_tenant(
        msgspec.structs.replace(known, budgets=kept if wanted is None else (*kept, wanted))
    )
    store.close()


def revoke(
    tenant: TenantName,
    key_id: Annotated[str, typer.Argument(help="The key's id; `farthing keys list` shows it.")],
    ledger: Ledger = None,
) -> None:
    """Refuse a key from now on; instances that hold a budget hear of it within a minute.

    Where no ledger is configured, put the id into FARTHING_REVOKED instead.
    """
    import msgspec

    store = open_ledger(ledger)
    known = existing(store, tenant)
    if key_id not in {facts.id for facts in known.keys}:
        raise SettingsError(
            f"{tenant} has no key of that id. `farthing keys list --tenant {tenant}` shows them."
        )
    if key_id not in known.revoked:
        store.put_tenant(msgspec.structs.replace(known, revoked=(*known.revoked, key_id)))
    store.close()
    sys.stdout.write(f"revoked  {key_id}\n")


def _known_scopes(scopes: list[str]) -> list[str]:
    from farthing.serving.claims import ALL_SCOPES
    from farthing.serving.registry import scopes as served

    known = {ALL_SCOPES, *served()}
    for scope in scopes:
        if scope not in known:
            raise SettingsError(f"There is no scope {scope!r}. Use {', '.join(sorted(known))}.")
    return scopes


def _known_plan(name: str) -> str:
    """Raises `SettingsError` for a plan that FARTHING_PLANS has not."""
    from farthing.billing.plans import current_plan, read_plans

    if name:
        current_plan(read_plans(os.environ.get("FARTHING_PLANS", "")), name)
    return name


def _budget(budget_usd: str | None, period: EachPeriod) -> Budget | None:
    from farthing.billing.tenants import BUDGET_MAX_PICO, PICO_PER_USD, Budget

    if budget_usd is None:
        return None
    try:
        pico = Decimal(budget_usd) * PICO_PER_USD
        whole = pico.is_finite() and pico == pico.to_integral_value()
    except InvalidOperation:
        whole = False
    if not whole or not 0 <= pico <= BUDGET_MAX_PICO:
        raise SettingsError(
            f"--budget-usd is {budget_usd!r}; a budget is 0 to {BUDGET_MAX_PICO // PICO_PER_USD} "
            "US dollars, with at most 12 decimals. Correct it."
        )
    return Budget(period.value, int(pico))


def _new_tenant(name: str) -> Tenant:
    from farthing.billing.tenants import Tenant

    return Tenant(name=name)


def _checked_tenant(name: str) -> Tenant:
    from farthing.serving.keys import new_claims

    return _new_tenant(new_claims(name, DAY_S).sub)


def _show_key(key: str, claims: Claims, tenant: Tenant, made: list[str], *, as_json: bool) -> None:
    facts = {
        "key": key,
        "id": claims.jti,
        "tenant": tenant.name,
        "scope": claims.scope,
        "expires": day(claims.exp),
        "budgets": {each.period: usd(each.limit_pico) for each in tenant.budgets},
    } | ({"setting": f"FARTHING_KEYS={made[0]}"} if made else {})
    if as_json:
        sys.stdout.write(json.dumps(facts, indent=2) + "\n")
        return
    for name, value in facts.items():
        text = value
        if isinstance(value, dict):
            text = ", ".join(f"{most} USD a {period}" for period, most in value.items()) or "none"
        sys.stdout.write(f"{name:<8} {text}\n")
