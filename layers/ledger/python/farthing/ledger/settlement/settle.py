"""Settlement as a function of entries and records: it changes neither, and can be done again.

The price that an answer told is the price invoiced. What the provider billed otherwise is booked
to the house, in lines of these rules:

- `settlement.duration`: the difference between what was measured and what was recorded;
- `settlement.unrecorded`: recorded attempts that never wrote an entry (killed, out of memory);
- `settlement.idle`: what Knative's pods held while no entry says what for;
- those of the month: free tiers, volume tiers, rounding (`farthing.billing.month`).

So the tenants' and the house's cost add up to the provider's bill.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.billing.meter import Line, line_of
from farthing.ledger.settlement.account import Account
from farthing.ledger.settlement.adjust import Meters, Sums, add
from farthing.ledger.settlement.knative_records import POD
from farthing.ledger.settlement.match import WINDOW_MS, attempts
from farthing.money import EXACT, ZERO, plain, total
from farthing.usage import NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from farthing.billing.ledger import Ledger, Record

PPM = 1_000_000
ONE = Decimal(1)


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """One function's settlement; dollars at the first tier's rates.

    `measured` and `settled` are of matched attempts; `cost` is what all entries measured, `bill`
    what the provider bills for the function. `drift_ppm` is settled over measured, less 1;
    `overhead_us` the median time that was recorded beside what handlers measured.
    """

    function: str
    entries: int
    records: int
    matched: int
    pending: int
    unreported: int
    unrecorded: int
    unpriced: int
    measured: Decimal
    settled: Decimal
    cost: Decimal
    bill: Decimal
    drift_ppm: int
    call_drift_ppm: dict[str, int]
    overhead_us: int
    house: tuple[Line, ...]
    flags: tuple[str, ...]

    @property
    def matched_ppm(self) -> int:
        """The share of records that found their entry."""
        return self.matched * PPM // self.records if self.records else PPM

    def as_json(self) -> dict[str, Any]:
        plains = {
            name: plain(getattr(self, name)) for name in ("measured", "settled", "cost", "bill")
        }
        lines = {"house": [line.as_json() for line in self.house]}
        share = {"matched_ppm": self.matched_ppm}
        return msgspec.structs.asdict(self) | plains | lines | share


class Settlement(msgspec.Struct, frozen=True):
    """All functions' settlements; `accounts` hold the quantities that they come from."""

    functions: tuple[Settled, ...]
    accounts: dict[str, Account]

    @property
    def house(self) -> tuple[Line, ...]:
        return tuple(line for function in self.functions for line in function.house)

    @property
    def cost(self) -> Decimal:
        """What entries measured, over tenants and house."""
        return total(function.cost for function in self.functions)

    @property
    def bill(self) -> Decimal:
        """What the provider bills before what only a month knows: `cost` and the house's lines."""
        return total(function.bill for function in self.functions)

    def sums(self) -> Sums:
        """The quantities of the bill by tariff, as `farthing.billing.month` takes them."""
        sums: Sums = {}
        for account in self.accounts.values():
            for tariff, quantities in account.provider_sums().items():
                add(sums, tariff, quantities)
        return sums

    @property
    def drift_ppm(self) -> int:
        """Settled over measured of all matched attempts, less 1."""
        return drift_of(
            total(one.measured for one in self.functions),
            total(one.settled for one in self.functions),
        )


def settle(ledger: Ledger, *, since_ms: int, until_ms: int, now_ms: int) -> Settlement:
    """The settlement of attempts with `since_ms <= at_ms < until_ms`, in one pass.

    Raises `PriceMissing` where a book lacks a row, `StoreUnavailable`.
    """
    meters = Meters()
    accounts: dict[str, Account] = {}
    first_ms, last_ms = max(0, since_ms - WINDOW_MS), until_ms + WINDOW_MS
    records = _clipped(ledger.records(first_ms, last_ms), since_ms, until_ms)
    for attempt in attempts(ledger.entries(first_ms, last_ms), records):
        if since_ms <= attempt.at_ms < until_ms:
            one = attempt.entry or attempt.record
            function = one.function if one else ""
            if function not in accounts:
                accounts[function] = Account(function, meters, now_ms)
            accounts[function].take(attempt)
    for account in accounts.values():
        account.finish()
    found = tuple(_settled(accounts[name], meters) for name in sorted(accounts))
    return Settlement(found, accounts)


def _clipped(records: Iterable[Record], since_ms: int, until_ms: int) -> Iterator[Record]:
    """The records; of a pod's life the part within the time, dated inside it."""
    for record in records:
        if record.status != POD:
            yield record
            continue
        began_ms = record.at_ms - record.duration_ns // NS_PER_MS
        outside_ms = max(0, since_ms - began_ms) + max(0, record.at_ms - until_ms)
        left_ns = record.duration_ns - outside_ms * NS_PER_MS
        if left_ns > 0:
            at_ms = min(record.at_ms, until_ms - 1)
            yield msgspec.structs.replace(record, duration_ns=left_ns, at_ms=at_ms)


def _settled(account: Account, meters: Meters) -> Settled:
    measured, settled = meters.cost(account.matched_measured), meters.cost(account.matched_settled)
    unrecorded, idle = meters.cost(account.unrecorded_sums), meters.cost(account.idle_sums())
    lines = {
        "settlement.duration": EXACT.subtract(settled, measured),
        "settlement.unrecorded": unrecorded,
        "settlement.idle": idle,
    }
    return Settled(
        function=account.function,
        entries=account.entries,
        records=account.records,
        matched=account.matched,
        pending=account.pending,
        unreported=account.unreported,
        unrecorded=account.unrecorded,
        unpriced=account.unpriced,
        measured=measured,
        settled=settled,
        cost=meters.cost(account.measured),
        bill=meters.cost(account.provider_sums()),
        drift_ppm=drift_of(measured, settled),
        call_drift_ppm=account.drift.percentiles_ppm(),
        overhead_us=account.drift.overhead_us(),
        house=tuple(line_of(rule, usd, "USD", ONE) for rule, usd in lines.items() if usd),
        flags=tuple(_flags(account, idle)),
    )


def _flags(account: Account, idle: Decimal) -> Iterator[str]:
    """What a person should look at."""
    if account.unreported:
        yield f"{account.unreported} entries have no record of the provider's"
    if account.unrecorded:
        yield f"{account.unrecorded} records have no entry; their cost is the house's"
    if account.unpriced:
        yield f"{account.unpriced} records cannot be priced: no entry tells the function's terms"
    if idle < ZERO:
        yield "entries measured more than the pods lived; some pods' records are missing"


def drift_of(measured: Decimal, settled: Decimal) -> int:
    """How much more was settled than measured, in parts per million of what was measured."""
    return int((settled - measured) * PPM / measured) if measured else 0
