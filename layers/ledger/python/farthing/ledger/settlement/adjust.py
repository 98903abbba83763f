"""What an attempt comes to by the provider's record, in the quantities that rates multiply."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from farthing.billing.meter import Meter
from farthing.billing.prices import read_price_book
from farthing.billing.quantities import NOTHING, Quantities
from farthing.money import ZERO, total
from farthing.usage import NS_PER_MS

if TYPE_CHECKING:
    from decimal import Decimal

    from farthing.billing.ledger import Entry, Record
    from farthing.billing.meter import Line
    from farthing.billing.tariff import Tariff

Sums = dict["Tariff", Quantities]


class Meters:
    """A meter for each tariff that occurs. May raise `PriceMissing`."""

    def __init__(self) -> None:
        self._meters: dict[Tariff, Meter] = {}
        self._bare: dict[Tariff, Tariff] = {}

    def of(self, tariff: Tariff) -> Meter:
        meter = self._meters.get(tariff)
        if meter is None:
            meter = Meter(read_price_book(tariff.book), tariff, "settled")
            self._meters[tariff] = meter
        return meter

    def measured(self, entry: Entry) -> Quantities:
        """What the instance measured."""
        meter = self.of(entry.tariff)
        if entry.kind == "idle":
            return meter.idle_quantities(entry.usage)
        return meter.quantities(entry.usage)

    def recorded(self, like: Entry, record: Record) -> Quantities:
        """What a record is billed under the terms of another attempt of its function."""
        usage = msgspec.structs.replace(
            like.usage,
            busy_ns=record.billed_ms * NS_PER_MS,
            init_ns=0,
            memory_mb=record.memory_mb,
            restored=record.restore_ns is not None,
        )
        # What is recorded has the runtime's own time in it already.
        bare = self._bare.get(like.tariff)
        if bare is None:
            bare = msgspec.structs.replace(like.tariff, overhead_ns=0)
            self._bare[like.tariff] = bare
        return self.of(bare).quantities(usage)

    def held(self, like: Entry, memory_mb: int, idle_ns: int) -> Quantities:
        """What an instance costs while nobody is served, under the terms of an attempt."""
        usage = msgspec.structs.replace(like.usage, busy_ns=idle_ns, init_ns=0, memory_mb=memory_mb)
        return self.of(like.tariff).idle_quantities(usage)

    def lines(self, sums: Sums) -> list[Line]:
        """The lines of the sums, tariff by tariff."""
        return [line for tariff, sum_ in sums.items() for line in self.of(tariff).lines(sum_)]

    def cost(self, sums: Sums) -> Decimal:
        """What the sums cost at the first tier's rates."""
        return total(line.amount for line in self.lines(sums)) if sums else ZERO


def bills_attempts(tariff: Tariff) -> bool:
    """Whether the provider bills each attempt by itself, rather than an instance that several
    share: then no record says what one of them is billed, and what was measured stands."""
    if tariff.platform == "lambda":
        return tariff.initialization != "lambda-managed-instances"
    return tariff.platform == "fc" and tariff.singly


def add(sums: Sums, tariff: Tariff, quantities: Quantities) -> None:
    """Adds to one tariff's sum."""
    sums[tariff] = sums.get(tariff, NOTHING).plus(quantities)
