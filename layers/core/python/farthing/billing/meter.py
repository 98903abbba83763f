"""From usage to money: what the provider bills for one attempt and what its tenant pays.

The rules are the providers' own:

- Lambda bills each request, the GB-seconds of init and duration together rounded up to 1 ms, and
  ephemeral storage above 512 MB. Under provisioned concurrency init belongs to the standing
  price, so no invocation carries it; under SnapStart the first one carries its restore. On Managed
  Instances an invocation has its share of the instance: the vCPU-seconds that one process gets.
- Function Compute 3.0 converts invocations, vCPU-seconds, GB-seconds and disk above 512 MB into
  compute units (CU). Alone on its instance, an invocation is billed in whole milliseconds. While a
  minimum instance idles, its vCPU counts for nothing, its memory and disk as ever.
- Knative is a node's price: vCPU-seconds and GB-seconds of what the pod requests, idle or not.

`measured` charges use the first tier and no free tier; a later settlement adds the difference.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Literal

import msgspec

from farthing.billing.quantities import (
    MB_NS_PER_GB_S,
    MB_PER_GB,
    VCPU_MILLI_NS_PER_VCPU_S,
    billed_ms,
    count_idle,
    counter_of,
)
from farthing.billing.tariff import tariff_of
from farthing.money import ZERO, multiply, plain, ratio, total

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.billing.prices import PriceBook
    from farthing.billing.quantities import Quantities
    from farthing.billing.tariff import Tariff
    from farthing.settings import Settings
    from farthing.usage import Usage

HOUSE = "house"

Basis = Literal["measured", "settled", "quoted", "simulated"]

# How many of a quantity's whole numbers make one of the unit that a rate is for.
PER_UNIT = {
    "requests": 1,
    "vcpu_milli_ns": VCPU_MILLI_NS_PER_VCPU_S,
    "vcpu_idle_milli_ns": VCPU_MILLI_NS_PER_VCPU_S,
    "memory_mb_ns": MB_NS_PER_GB_S,
    "disk_mb_ns": MB_NS_PER_GB_S,
    "restored_mb": MB_PER_GB,
}


class Line(msgspec.Struct, frozen=True):
    """`amount` is `quantity` times `rate`, exactly."""

    rule: str
    quantity: Decimal
    unit: str
    rate: Decimal
    amount: Decimal

    def as_json(self) -> dict[str, str]:
        return {
            "rule": self.rule,
            "quantity": plain(self.quantity),
            "unit": self.unit,
            "rate": plain(self.rate),
            "amount": plain(self.amount),
        }


class Charge(msgspec.Struct, frozen=True):
    """The lines of one invocation and their sum, in US dollars."""

    lines: tuple[Line, ...]
    total: Decimal
    basis: Basis
    price_book: str
    billed_ms: int

    def as_json(self) -> dict[str, object]:
        """The `charge` object of an answer; all money is plain decimal strings."""
        return {
            "total": plain(self.total),
            "currency": "USD",
            "basis": self.basis,
            "price_book": self.price_book,
            "lines": [line.as_json() for line in self.lines],
        }


class Rate(msgspec.Struct, frozen=True):
    """What a unit of one of the `Quantities` costs, in US dollars."""

    field: str
    rule: str
    unit: str
    usd: Decimal


class Meter:
    """Prices usage by one platform's rule; rates are looked up once, at start.

    Raises `PriceMissing` where the book lacks a rate that the tariff needs.
    """

    def __init__(self, book: PriceBook, tariff: Tariff, basis: Basis) -> None:
        self._basis = basis
        self._book = book.version
        self._tariff = tariff
        self._count = counter_of(tariff)
        self._rates = tuple(
            (rate.field, PER_UNIT[rate.field], rate.rule, rate.unit, rate.usd)
            for rate in _rates(book, tariff)
        )

    def cost(self, usage: Usage) -> Charge:
        """What the provider bills for an attempt of this usage."""
        return self._charge(self._count(usage), billed_ms(self._tariff, usage))

    def idle_cost(self, usage: Usage) -> Charge:
        """What the provider bills for an instance that served nobody for `busy_ns`."""
        return self._charge(count_idle(self._tariff, usage), 0)

    def quantities(self, usage: Usage) -> Quantities:
        """What `cost` multiplies by rates: add them up, and `lines` costs the sum."""
        return self._count(usage)

    def idle_quantities(self, usage: Usage) -> Quantities:
        """What `idle_cost` multiplies by rates."""
        return count_idle(self._tariff, usage)

    def billed_ns(self, usage: Usage) -> int:
        """The nanoseconds that an attempt's lines by time are about, rounded as they are."""
        found = self._count(usage)
        by_memory = found.memory_mb_ns // usage.memory_mb
        return by_memory or found.vcpu_milli_ns // usage.vcpu_milli

    def lines(self, quantities: Quantities) -> list[Line]:
        """A line for each quantity that is not 0."""
        return [
            line_of(rule, ratio(amount, per), unit, usd)
            for field, per, rule, unit, usd in self._rates
            if (amount := getattr(quantities, field))
        ]

    def nothing(self) -> Charge:
        """The price of a refusal: no lines, 0."""
        return Charge((), ZERO, self._basis, self._book, 0)

    def _charge(self, quantities: Quantities, billed_ms: int) -> Charge:
        lines = tuple(self.lines(quantities))
        amount = total(line.amount for line in lines)
        return Charge(lines, amount, self._basis, self._book, billed_ms)


def meter_of(book: PriceBook, settings: Settings) -> Meter:
    """The meter of a process with these settings."""
    return Meter(book, tariff_of(settings), settings.basis)


def line_of(rule: str, quantity: Decimal, unit: str, rate: Decimal) -> Line:
    """A line with its amount."""
    return Line(rule, quantity, unit, rate, multiply(quantity, rate))


def _rates(book: PriceBook, tariff: Tariff) -> Iterator[Rate]:
    if tariff.platform == "fc":
        yield from _fc_rates(book, tariff)
        return
    for field, rule in _rules(tariff).items():
        row = book.price(rule, tariff.region)
        yield Rate(field, rule, row.unit, row.rate)


def _rules(tariff: Tariff) -> dict[str, str]:
    """Which row of the book prices which quantity, on platforms that bill in dollars."""
    if tariff.platform == "knative":
        return {
            "vcpu_milli_ns": f"knative.vcpu.{tariff.node}",
            "memory_mb_ns": f"knative.memory.{tariff.node}",
        }
    rules = {"requests": "lambda.requests"}
    if tariff.initialization == "lambda-managed-instances":
        return rules | {"vcpu_milli_ns": f"lambda.managed_vcpu.{tariff.node}"}
    is_provisioned = tariff.initialization == "provisioned-concurrency"
    variant = "provisioned_duration" if is_provisioned else "duration"
    rules |= {
        "memory_mb_ns": f"lambda.{variant}.{tariff.arch}",
        "disk_mb_ns": "lambda.storage",
    }
    if tariff.initialization == "snap-start":
        rules["restored_mb"] = "lambda.snapstart.restore"
    return rules


def _fc_rates(book: PriceBook, tariff: Tariff) -> Iterator[Rate]:
    """Compute units per unit, times the price of a compute unit."""
    unit_usd = book.price("fc.cu", tariff.region).rate
    factors = {
        "requests": "invocation",
        "vcpu_milli_ns": "vcpu_active",
        "vcpu_idle_milli_ns": "vcpu_idle",
        "memory_mb_ns": "memory",
        "disk_mb_ns": "disk",
    }
    for field, name in factors.items():
        factor = book.price(f"fc.factor.{name}", tariff.region)
        unit = factor.unit.removeprefix("CU per ")
        yield Rate(field, f"fc.{name}", unit, multiply(factor.rate, unit_usd))
