"""From usage to money: what the provider bills for one attempt and what its tenant pays.

The rules are the providers' own:

- Lambda bills each request, the GB-seconds of init and duration together rounded up to 1 ms, and
  ephemeral storage above 512 MB. Under provisioned concurrency init belongs to the standing
  price, so no invocation carries it; under SnapStart the first one carries its restore. On Managed
  Instances an invocation has its share of the instance: the vCPU-seconds that one process gets.
- Function Compute 3.0 converts invocations, vCPU-seconds, GB-seconds and disk above 512 MB into
  compute units (CU). Alone on its instance, an invocation is billed in whole milliseconds.
- Knative is a node's price: vCPU-seconds and GB-seconds of what the pod requests.

`measured` charges use the first tier and no free tier; a later settlement adds the difference.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Literal

import msgspec

from farthing.billing.tariff import tariff_of
from farthing.money import ZERO, multiply, plain, ratio, total
from farthing.usage import NS_PER_MS, Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from farthing.billing.prices import Price, PriceBook
    from farthing.billing.tariff import Tariff
    from farthing.settings import Settings

HOUSE = "house"
FREE_DISK_MB = 512
MB_PER_GB = 1024
MS_PER_S = 1000
NS_PER_S = 1_000_000_000

Basis = Literal["measured", "settled", "quoted", "simulated"]
ONE = Decimal(1)


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


class Meter:
    """Prices usage by one platform's rule; rates are looked up once, at start.

    Raises `PriceMissing` where the book lacks a rate that the tariff needs.
    """

    def __init__(self, book: PriceBook, tariff: Tariff, basis: Basis) -> None:
        self._basis = basis
        self._book = book.version
        rules = {"lambda": _lambda_rule, "fc": _fc_rule, "knative": _knative_rule}
        self._rule = rules[tariff.platform](book, tariff)

    def cost(self, usage: Usage) -> Charge:
        """What the provider bills for an attempt of this usage."""
        billed_ms, lines = self._rule(usage)
        amount = total(line.amount for line in lines)
        return Charge(tuple(lines), amount, self._basis, self._book, billed_ms)

    def nothing(self) -> Charge:
        """The price of a refusal: no lines, 0."""
        return Charge((), ZERO, self._basis, self._book, 0)


def meter_of(book: PriceBook, settings: Settings) -> Meter:
    """The meter of a process with these settings."""
    return Meter(book, tariff_of(settings), settings.basis)


if TYPE_CHECKING:
    Rule = Callable[[Usage], tuple[int, list[Line]]]


def _lambda_rule(book: PriceBook, tariff: Tariff) -> Rule:
    if tariff.initialization == "lambda-managed-instances":
        return _managed_rule(book, tariff)
    provisioned = tariff.initialization == "provisioned-concurrency"
    variant = "provisioned_duration" if provisioned else "duration"
    duration = book.price(f"lambda.{variant}.{tariff.arch}", tariff.region)
    request = book.price("lambda.requests", tariff.region)
    storage = book.price("lambda.storage", tariff.region)
    request_line = _priced(request, ONE)
    restore = (
        book.price("lambda.snapstart.restore", tariff.region)
        if tariff.initialization == "snap-start"
        else None
    )

    def rule(usage: Usage) -> tuple[int, list[Line]]:
        billed_ms = -(-(usage.busy_ns + usage.init_ns) // NS_PER_MS)
        gb_s = ratio(billed_ms * usage.memory_mb, MB_PER_GB * MS_PER_S)
        lines = [request_line, _priced(duration, gb_s)]
        if usage.disk_mb > FREE_DISK_MB:
            extra_mb = usage.disk_mb - FREE_DISK_MB
            lines.append(_priced(storage, ratio(billed_ms * extra_mb, MB_PER_GB * MS_PER_S)))
        if restore is not None and usage.restored:
            lines.append(_priced(restore, ratio(usage.memory_mb, MB_PER_GB)))
        return billed_ms, lines

    return rule


def _managed_rule(book: PriceBook, tariff: Tariff) -> Rule:
    request_line = _priced(book.price("lambda.requests", tariff.region), ONE)
    vcpu = book.price(f"lambda.managed_vcpu.{tariff.node}", tariff.region)

    def rule(usage: Usage) -> tuple[int, list[Line]]:
        vcpu_s = ratio(usage.busy_ns * usage.vcpu_milli, NS_PER_S * 1000)
        return -(-usage.busy_ns // NS_PER_MS), [request_line, _priced(vcpu, vcpu_s)]

    return rule


def _fc_rule(book: PriceBook, tariff: Tariff) -> Rule:
    unit_rate = book.price("fc.cu", tariff.region).rate

    def in_usd(name: str) -> tuple[str, str, Decimal]:
        factor = book.price(f"fc.factor.{name}", tariff.region)
        unit = factor.unit.removeprefix("CU per ")
        return f"fc.{name}", unit, multiply(factor.rate, unit_rate)

    invocation, vcpu, memory, disk = map(in_usd, ("invocation", "vcpu_active", "memory", "disk"))
    whole_ms = tariff.singly

    def rule(usage: Usage) -> tuple[int, list[Line]]:
        billed_ms = -(-usage.busy_ns // NS_PER_MS)
        billed_ns = billed_ms * NS_PER_MS if whole_ms else usage.busy_ns
        lines = [
            line_of(invocation[0], ONE, invocation[1], invocation[2]),
            line_of(vcpu[0], ratio(billed_ns * usage.vcpu_milli, NS_PER_S * 1000), *vcpu[1:]),
            line_of(
                memory[0], ratio(billed_ns * usage.memory_mb, NS_PER_S * MB_PER_GB), *memory[1:]
            ),
        ]
        if usage.disk_mb > FREE_DISK_MB:
            extra_mb = usage.disk_mb - FREE_DISK_MB
            lines.append(
                line_of(disk[0], ratio(billed_ns * extra_mb, NS_PER_S * MB_PER_GB), *disk[1:])
            )
        return billed_ms, lines

    return rule


def _knative_rule(book: PriceBook, tariff: Tariff) -> Rule:
    vcpu = book.price(f"knative.vcpu.{tariff.node}", tariff.region)
    memory = book.price(f"knative.memory.{tariff.node}", tariff.region)

    def rule(usage: Usage) -> tuple[int, list[Line]]:
        return -(-usage.busy_ns // NS_PER_MS), [
            _priced(vcpu, ratio(usage.busy_ns * usage.vcpu_milli, NS_PER_S * 1000)),
            _priced(memory, ratio(usage.busy_ns * usage.memory_mb, NS_PER_S * MB_PER_GB)),
        ]

    return rule


def _priced(price: Price, quantity: Decimal) -> Line:
    return line_of(price.rule, quantity, price.unit, price.rate)


def line_of(rule: str, quantity: Decimal, unit: str, rate: Decimal) -> Line:
    """A line with its amount."""
    return Line(rule, quantity, unit, rate, multiply(quantity, rate))
