"""What the ledger says of a month, in the items that providers' exports bill."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from farthing.billing.prices import read_price_book
from farthing.ledger.chains import hour_name
from farthing.ledger.reconciliation.alibaba import ITEM
from farthing.ledger.settlement.account import HOUR_MS
from farthing.ledger.settlement.adjust import Meters
from farthing.money import EXACT, ZERO

if TYPE_CHECKING:
    from farthing.billing.meter import Line
    from farthing.billing.prices import PriceBook
    from farthing.billing.tariff import Tariff
    from farthing.ledger.settlement.settle import Settlement

# https://aws.amazon.com/lambda/pricing; usage types as the price list names them (2026-09).
ITEMS = {
    "lambda.requests": "Request",
    "lambda.duration": "Lambda-GB-Second",
    "lambda.provisioned_duration": "Lambda-Provisioned-GB-Second",
    "lambda.storage": "Lambda-Storage-GB-Second",
    "lambda.snapstart.restore": "Lambda-SnapStart-Restore",
}
ARM = "-ARM"


class Ours(msgspec.Struct):
    """One function's use of one item: at `rate` each, or at one of `rates` in a higher tier."""

    rate: Decimal
    rates: tuple[Decimal, ...]
    quantity: Decimal = ZERO
    usd: Decimal = ZERO
    hours: set[str] = msgspec.field(default_factory=set)


def ours_of(settlement: Settlement) -> dict[tuple[str, str], Ours]:
    """By (function, item). Function Compute's are of the account, under no function's name.

    Pods and Managed Instances are not in it: what they hold is billed as instances.
    """
    meters = Meters()
    book = cache(read_price_book)
    found: dict[tuple[str, str], Ours] = {}
    for function, account in settlement.accounts.items():
        for hour, sums in account.provider.items():
            for tariff, quantities in sums.items():
                for line in meters.of(tariff).lines(quantities):
                    _add(
                        found, function, tariff, line, hour_name(hour * HOUR_MS), book(tariff.book)
                    )
    return found


def _add(
    found: dict[tuple[str, str], Ours],
    function: str,
    tariff: Tariff,
    line: Line,
    hour: str,
    book: PriceBook,
) -> None:
    if tariff.platform == "fc":
        row = book.price("fc.cu", tariff.region)
        key, quantity = ("", ITEM), EXACT.divide(line.amount, row.rate)
    else:
        item = _item(tariff, line.rule)
        if not item:
            return
        row = book.price(line.rule, tariff.region)
        key, quantity = (function, item), line.quantity
    ours = found.setdefault(key, Ours(row.rate, tuple(tier.rate for tier in row.tiers)))
    ours.quantity = EXACT.add(ours.quantity, quantity)
    ours.usd = EXACT.add(ours.usd, line.amount)
    ours.hours.add(hour)


def _item(tariff: Tariff, rule: str) -> str:
    """The usage type that a rule is billed under; "" for what no such export tells."""
    if tariff.platform != "lambda" or tariff.initialization == "lambda-managed-instances":
        return ""
    item = ITEMS.get(rule.removesuffix(f".{tariff.arch}"), "")
    return item + ARM if item and tariff.arch == "arm64" else item
