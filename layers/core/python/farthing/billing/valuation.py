"""What an entry cost and what it is sold for: both follow from its integers, at any later time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from farthing.billing.caps import capped
from farthing.billing.meter import Charge, Meter
from farthing.billing.plans import known_plans
from farthing.billing.prices import read_price_book
from farthing.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farthing.billing.ledger import Entry
    from farthing.billing.plans import Plan
    from farthing.billing.prices import PriceBook
    from farthing.billing.quantities import Quantities
    from farthing.billing.tariff import Tariff


class Valued(msgspec.Struct, frozen=True):
    """`cost` is booked to the entry's tenant, `price` is what its answer told."""

    cost: Charge
    price: Charge


class Valuer:
    """Values entries by the plans that are known, by id; "" is at cost.

    The terms of calls that may wait follow from them.
    """

    def __init__(self, plans: Mapping[str, Plan]) -> None:
        self._plans = known_plans(plans)
        self._books: dict[str, PriceBook] = {}
        self._meters: dict[Tariff, Meter] = {}

    def value(self, entry: Entry) -> Valued:
        """The cost of any attempt, and the price of an answer; all else is sold for 0.

        An attempt that is redelivered by the platform is told its price again; that it is sold
        once is the invoice's to see to. Raises `LedgerError` for a plan that is not known and
        `PriceMissing` for a tariff that its price book does not have.
        """
        meter = self.meter(entry.tariff)
        if entry.kind == "idle":
            return Valued(meter.idle_cost(entry.usage), meter.nothing())
        cost = meter.cost(entry.usage)
        if entry.kind != "answer":
            return Valued(cost, meter.nothing())
        plan = self.plan(entry.plan)
        price = plan.price(cost, entry.usage)
        if entry.price_max_pico is not None:
            price = capped(price, entry.price_max_pico, plan.cap_rule)
        return Valued(cost, price)

    def quantities(self, entry: Entry) -> Quantities:
        """What the entry adds to the provider's bill of its month."""
        meter = self.meter(entry.tariff)
        if entry.kind == "idle":
            return meter.idle_quantities(entry.usage)
        return meter.quantities(entry.usage)

    def plan(self, plan_id: str) -> Plan:
        """The terms of that id. Raises `LedgerError` where they are not known."""
        try:
            return self._plans[plan_id]
        except KeyError:
            raise LedgerError(
                f"The ledger names the plan {plan_id}, whose terms are not known here. Keep the "
                "terms of old plans in FARTHING_PLANS beside the new ones of the same name."
            ) from None

    def meter(self, tariff: Tariff) -> Meter:
        """The meter of that tariff. Raises `PriceMissing`."""
        if tariff not in self._meters:
            if tariff.book not in self._books:
                self._books[tariff.book] = read_price_book(tariff.book)
            self._meters[tariff] = Meter(self._books[tariff.book], tariff, "measured")
        return self._meters[tariff]
