"""The account of one function over a time: what was measured, what the provider recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.billing.quantities import NOTHING, billed_ms
from farthing.ledger.settlement.adjust import Meters, Sums, add, bills_attempts
from farthing.ledger.settlement.drift import Drift
from farthing.ledger.settlement.knative_records import POD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.billing.ledger import Entry, Record
    from farthing.ledger.settlement.match import Attempt

HOUR_MS = 3_600_000
# Until then a record may still be on its way, and its entry is not said to lack it.
REPORT_GRACE_MS = 15 * 60_000


class Account:
    """Sums of integer quantities by tariff; money is derived from them at the end.

    `provider` is by hour what the provider bills: recorded where there is a record, measured where
    there is none. `matched_measured` and `matched_settled` are the same attempts, seen twice.
    """

    def __init__(self, function: str, meters: Meters, now_ms: int) -> None:
        self.function = function
        self.entries = self.records = self.matched = 0
        self.pending = self.unreported = self.unrecorded = self.unpriced = 0
        self.measured: Sums = {}
        self.matched_measured: Sums = {}
        self.matched_settled: Sums = {}
        self.unrecorded_sums: Sums = {}
        self.unreported_sums: Sums = {}
        self.held: Sums = {}
        self.instances: Sums = {}
        self.provider: dict[int, Sums] = {}
        self.drift = Drift()
        self._meters = meters
        self._now_ms = now_ms
        self._like: Entry | None = None
        self._waiting: list[Record] = []

    def take(self, attempt: Attempt) -> None:
        """Counts one attempt of this function."""
        entry, record = attempt.entry, attempt.record
        self.entries += (entry is not None) + len(attempt.also)
        self.records += record is not None
        if entry is not None and entry.kind != "idle":
            self._like = entry
            self._price_waiting()
        if entry is not None and record is not None:
            self._match((entry, *attempt.also), record)
        elif entry is not None:
            self._measure(entry)
        elif record is not None and self._like is None:
            self._waiting.append(record)
        elif record is not None:
            self._record(record)

    def finish(self) -> None:
        """What no entry of the function tells the terms of cannot be priced."""
        self._price_waiting()
        self.unpriced = len(self._waiting)

    def _price_waiting(self) -> None:
        if self._like is not None:
            for record in self._waiting:
                self._record(record)
            self._waiting = []

    def _match(self, entries: Sequence[Entry], record: Record) -> None:
        """What one attempt did, and what the provider recorded of it."""
        self.matched += 1
        first = entries[0]
        summed = NOTHING
        for entry in entries:
            measured = self._meters.measured(entry)
            add(self.measured, entry.tariff, measured)
            summed = summed.plus(measured)
        bills = bills_attempts(first.tariff)
        settled = self._meters.recorded(first, record) if bills else summed
        add(self.matched_measured, first.tariff, summed)
        add(self.matched_settled, first.tariff, settled)
        add(self.provider.setdefault(first.at_ms // HOUR_MS, {}), first.tariff, settled)
        told_ms = sum(billed_ms(entry.tariff, entry.usage) for entry in entries)
        self.drift.add(told_ms, record.billed_ms)
        busy_ns = sum(entry.usage.busy_ns + entry.usage.init_ns for entry in entries)
        self.drift.add_overhead(record.duration_ns + record.init_ns - busy_ns)

    def _measure(self, entry: Entry) -> None:
        """What was measured and nobody recorded."""
        measured = self._meters.measured(entry)
        add(self.measured, entry.tariff, measured)
        if entry.tariff.platform == "knative":
            add(self.instances, entry.tariff, measured)
        elif entry.kind != "idle":
            self._lacks_record(entry)
            add(self.unreported_sums, entry.tariff, measured)
        add(self.provider.setdefault(entry.at_ms // HOUR_MS, {}), entry.tariff, measured)

    def _lacks_record(self, entry: Entry) -> None:
        if self._now_ms - entry.at_ms < REPORT_GRACE_MS:
            self.pending += 1
        else:
            self.unreported += 1

    def _record(self, record: Record) -> None:
        like = self._like
        if like is None:
            return
        if record.status == POD:
            held = self._meters.held(like, record.memory_mb, record.duration_ns)
            add(self.held, like.tariff, held)
            return
        self.unrecorded += 1
        if bills_attempts(like.tariff):
            billed = self._meters.recorded(like, record)
            add(self.unrecorded_sums, like.tariff, billed)
            add(self.provider.setdefault(record.at_ms // HOUR_MS, {}), like.tariff, billed)

    def provider_sums(self) -> Sums:
        """What the provider bills of the function, over all hours."""
        sums: Sums = {}
        for hour in self.provider.values():
            for tariff, quantities in hour.items():
                add(sums, tariff, quantities)
        for tariff, quantities in self.idle_sums().items():
            add(sums, tariff, quantities)
        return sums

    def idle_sums(self) -> Sums:
        """What pods held beyond what their entries measured; negative where pods are missing."""
        sums = dict(self.held)
        if sums:
            for tariff, quantities in self.instances.items():
                add(sums, tariff, quantities.times(-1))
        return sums
