"""What an invocation owes to billing beside its price: leave to begin, and an entry at the end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from farthing.billing.meter import HOUSE
from farthing.billing.plans import (
    AT_COST,
    Plan,
    current_plan,
    known_plans,
    plan_id,
    read_plans,
)
from farthing.billing.rates import RateLimits
from farthing.billing.recorders import open_recorder
from farthing.billing.tariff import tariff_of
from farthing.billing.tenants import PICO_PER_USD, resets_at
from farthing.errors import BudgetSpent, BudgetUnknown, Forbidden, Refusal
from farthing.money import plain, ratio
from farthing.serving.claims import revoked
from farthing.usage import Usage

if TYPE_CHECKING:
    from decimal import Decimal

    from farthing.billing.leases import Hold, Leases
    from farthing.billing.ledger import Kind
    from farthing.billing.meter import Meter
    from farthing.billing.stores import LazyStore
    from farthing.serving.envelope import Envelope
    from farthing.settings import Settings

RETRY_AFTER_S = "5"
FIRST_NS = 1_000_000_000
FIRST_TOKENS = 512
WARNING = "X-Farthing-Budget-Warning"


class Terms(msgspec.Struct, frozen=True):
    """A plan and its id, which entries keep."""

    plan: Plan
    id: str


class Accounts:
    """One process's account of itself: plans, leases, rates and the recorder.

    Without a ledger there are no budgets; entries go where the settings say all the same.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tariff = tariff_of(settings)
        self.store: LazyStore | None = None
        self.leases: Leases | None = None
        if settings.ledger:
            # A start without budgets does not owe these imports.
            from farthing.billing.leases import Leases
            from farthing.billing.stores import LazyStore

            self.store = LazyStore(settings.ledger)
            self.leases = Leases(self.store, outage=settings.budget_outage)
        self.recorder = open_recorder(settings, self.store)
        self._rates = RateLimits()
        at_cost = Terms(AT_COST, "")
        # The last plan of a name is the one that is sold.
        self.plans = read_plans(settings.plans)
        self._by_name = {AT_COST.name: at_cost} | {
            plan.name: Terms(plan, id_) for id_, plan in self.plans.items()
        }
        self._own = at_cost
        if settings.plan:
            self._own = self._by_name[current_plan(self.plans, settings.plan).name]

    def enter(self, envelope: Envelope, scope: str) -> Terms:
        """The terms of an invocation that may begin; a job keeps those that it was accepted under.

        Raises `Forbidden` outside the key's scope or for a plan that is not sold here,
        `Unauthorized` for a key that is known to be revoked, `RateExceeded`, and `BudgetUnknown`
        where entries cannot be kept any more.
        """
        if self.recorder.is_full:
            raise BudgetUnknown(
                "Answers cannot be accounted for just now, so none is given. Try again later.",
                retry_after=RETRY_AFTER_S,
            )
        if envelope.accepted is not None:
            return self._terms_by_id(envelope.accepted.plan)
        caller = envelope.caller
        if caller is None:
            return self._own
        caller.require(scope)
        if self.leases is not None and self.leases.is_known_revoked(caller.sub, caller.jti):
            raise revoked()
        if caller.rpm is not None:
            self._rates.check(caller.jti, caller.rpm)
        return self._terms_of(caller.plan) if caller.plan else self._own

    def low(self, terms: Terms) -> Terms:
        """The same terms for a call that may wait."""
        plan = terms.plan.low()
        return Terms(plan, plan_id(plan))

    @property
    def has_budgets(self) -> bool:
        return self.leases is not None

    def may_wait(self, tenant: str) -> bool:
        """Whether admitting the tenant's next call may wait for the store of budgets."""
        return self.leases is not None and not self.leases.is_ready(tenant)

    def admit(self, envelope: Envelope, price: Decimal) -> Hold | None:
        """So much of the tenant's budget, held; None where no budgets are kept.

        Asking for it tells which keys are revoked, too, so a first call waits for one answer only.
        Raises `BudgetSpent`, `BudgetUnknown`, and `Unauthorized` for a revoked key.
        """
        if self.leases is None:
            return None
        try:
            hold = self.leases.admit(envelope.tenant, price)
        except BudgetSpent:
            # A revoked key is not told of budgets either.
            self.refuse_revoked(envelope)
            raise
        try:
            self.refuse_revoked(envelope)
        except Refusal:
            hold.release()
            raise
        return hold

    def refuse_revoked(self, envelope: Envelope) -> None:
        """Raises `Unauthorized` for a revoked key, and `BudgetUnknown` where nobody can tell."""
        caller = envelope.caller
        if self.leases is None or caller is None:
            return
        if self.leases.is_revoked(caller.sub, caller.jti):
            raise revoked()

    def record(
        self,
        envelope: Envelope,
        usage: Usage,
        kind: Kind,
        *,
        status: int,
        task: str = "",
        model: str = "",
        plan: str = "",
        hold: Hold | None = None,
        price_max_pico: int | None = None,
    ) -> None:
        """Keeps the attempt's entry: an answer is its tenant's, all else the house's."""
        recorder = self.recorder if envelope.accepted is None else envelope.accepted.recorder
        recorder.record(
            function=self._settings.function,
            request_id=envelope.request_id,
            at_ms=time.time_ns() // 1_000_000,
            tenant=envelope.tenant if kind == "answer" else HOUSE,
            kind=kind,
            task=task,
            model=model,
            status=status,
            plan=plan,
            lease="" if hold is None else hold.lease_id,
            unleased=hold is not None and hold.unleased,
            price_max_pico=price_max_pico,
            usage=usage,
            tariff=self._tariff,
        )

    def prefetch(self, meter: Meter) -> None:
        """Takes the only tenant's first lease while the models load, or gets ready to.

        Not where a snapshot will be taken, whose copies would all spend the same lease.
        """
        settings = self._settings
        if self.leases is None or settings.initialization == "snap-start":
            return
        if settings.access == "keys":
            self.leases.warm()
        else:
            self.leases.prefetch(settings.tenant, self._cold_price(meter))

    def _cold_price(self, meter: Meter) -> Decimal:
        """What a first call may come to: a second of it, with its init."""
        settings = self._settings
        usage = Usage(
            prompt_tokens=FIRST_TOKENS,
            truncated=0,
            busy_ns=0,
            init_ns=FIRST_NS,
            memory_mb=settings.memory_mb,
            vcpu_milli=settings.vcpu_milli,
            disk_mb=settings.disk_mb,
            cold=True,
        )
        return self._own.plan.price(meter.cost(usage), usage).total

    def close(self) -> None:
        """Returns what is not spent and sends what is not sent; a server calls it as it stops."""
        if self.leases is not None:
            self.leases.close()
        self.recorder.close()
        if self.store is not None:
            self.store.close()

    def _terms_of(self, name: str) -> Terms:
        if name not in self._by_name:
            raise Forbidden(
                f"The key is for the plan {name}, which this service does not have. Ask whoever "
                "gave you the key for another one."
            )
        return self._by_name[name]

    def _terms_by_id(self, id_: str) -> Terms:
        known = known_plans(self.plans)
        if id_ not in known:
            raise Forbidden(
                f"The job was accepted under the terms {id_}, which are not known any more. Keep "
                "old terms in FARTHING_PLANS beside the new ones of the same name."
            )
        return Terms(known[id_], id_)


def warning_of(hold: Hold | None) -> dict[str, str]:
    """The header that tells a caller that its budget runs out, or that nobody could ask for it."""
    if hold is None or not (hold.unleased or hold.warning):
        return {}
    if hold.warning is None:
        return {WARNING: "unchecked: budgets cannot be asked just now; this call counts later"}
    near = hold.warning
    left_usd = plain(ratio(near.left_pico, PICO_PER_USD))
    return {
        WARNING: f"{near.spent_share:.0%} of the budget of {near.window} is spent; "
        f"{left_usd} USD are left until {resets_at(near.window):%Y-%m-%dT%H:%M:%SZ}"
    }
