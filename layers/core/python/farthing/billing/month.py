"""The provider's bill of one UTC month, from what its attempts and standing items add up to.

    tally = Tally()
    tally.add(tariff, meter.quantities(usage))          # of each attempt, or .times(calls)
    bill = provider_bill(tally.months, [provisioned_concurrency(...)])
    bill.total == bill.measured + bill.house

`usage` are the attempts at the first tier's rates: the sum of their measured costs, exactly.
`standing` is what is paid whether anybody calls. `differences` is what only a month knows
(free tiers, volume tiers, shares of instances that are paid whole, rounding to cents). The last two
are the house's. The rules are those of the providers' price pages,
https://aws.amazon.com/lambda/pricing and
https://www.alibabacloud.com/help/en/functioncompute/fc-3-0/product-overview/pay-as-you-go-billing-method-1
"""

from __future__ import annotations

from collections import defaultdict
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

import msgspec

from farthing.billing.meter import PER_UNIT, Line, Meter, line_of
from farthing.billing.prices import read_price_book
from farthing.billing.quantities import NOTHING, Quantities
from farthing.errors import PriceMissing
from farthing.money import EXACT, multiply, ratio, split, total

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from farthing.billing.prices import Price, PriceBook
    from farthing.billing.standing import Standing
    from farthing.billing.tariff import Tariff

    # Whose bill a line is on, which region's prices it has, and the line.
    Placed = tuple[str, str, Line]

ONE = Decimal(1)
CENT = Decimal("0.01")
# AWS gives nothing free to functions that something is kept ready for.
FREE_KINDS = ("on-demand", "snap-start")


class MonthBill(msgspec.Struct, frozen=True):
    """The lines of a month's bill, in US dollars; negative amounts are credits."""

    usage: tuple[Line, ...]
    standing: tuple[Line, ...]
    differences: tuple[Line, ...]

    @property
    def lines(self) -> tuple[Line, ...]:
        return self.usage + self.standing + self.differences

    @property
    def measured(self) -> Decimal:
        """What the attempts were costed, all together."""
        return total(line.amount for line in self.usage)

    @property
    def house(self) -> Decimal:
        """What no attempt was costed: the rest of the bill."""
        return total(line.amount for line in self.standing + self.differences)

    @property
    def total(self) -> Decimal:
        return total(line.amount for line in self.lines)


class Tally:
    """Sums attempts by tariff, in memory that does not grow with their number."""

    def __init__(self) -> None:
        self.months: dict[Tariff, Quantities] = {}

    def add(self, tariff: Tariff, quantities: Quantities) -> None:
        self.months[tariff] = self.months.get(tariff, NOTHING).plus(quantities)


def provider_bill(
    months: Mapping[Tariff, Quantities],
    standing: Iterable[Standing] = (),
    *,
    book: PriceBook | None = None,
    free_tier: bool = True,
    in_cents: bool = True,
) -> MonthBill:
    """The bill of one month of one account at each provider.

    Attempts are costed by the book their tariff names, all else by `book` (the current one). Leave
    `free_tier` out where others use it up, and `in_cents` for what is no invoice: a comparison.
    Raises `PriceMissing` for a row that is not there or has no price in US dollars.
    """
    book = book or read_price_book(planning=True)
    items = list(standing)
    usage = list(_usage(months))
    free = _free_parts(months, book) if free_tier else {}
    kept = list(_kept(items, book))
    differences = [
        *_free_lines(free, book),
        *_tier_lines(usage, free, book),
        *_shared_lines(items, usage, book),
    ]
    if in_cents:
        differences += _rounding_lines([*usage, *kept, *differences])
    return MonthBill(*(tuple(line for _, _, line in part) for part in (usage, kept, differences)))


def _usage(months: Mapping[Tariff, Quantities]) -> Iterator[Placed]:
    """One line for each rule, region and rate."""
    books: dict[str, PriceBook] = {}
    summed: dict[tuple[str, str, str, str, Decimal], list[Decimal]] = defaultdict(list)
    for tariff, quantities in months.items():
        book = books.setdefault(tariff.book, read_price_book(tariff.book))
        provider = "alibaba" if tariff.platform == "fc" else "aws"
        for line in Meter(book, tariff, "settled").lines(quantities):
            key = (provider, tariff.region, line.rule, line.unit, line.rate)
            summed[key].append(line.quantity)
    for (provider, region, rule, unit, rate), parts in summed.items():
        yield provider, region, line_of(rule, total(parts), unit, rate)


def _kept(items: Iterable[Standing], book: PriceBook) -> Iterator[Placed]:
    summed: dict[tuple[str, str], list[Decimal]] = defaultdict(list)
    for item in items:
        summed[item.rule, item.region].append(item.quantity)
    for (rule, region), parts in summed.items():
        price = book.price(rule, region)
        if price.currency != "USD":
            raise PriceMissing(
                f"Price book {book.version} has {rule} in {price.currency}; a bill is in US "
                "dollars. Choose a row that has a price in them."
            )
        for quantity, rate in in_tiers(price, total(parts)):
            yield price.provider, region, line_of(rule, quantity, price.unit, rate)


def _free_parts(
    months: Mapping[Tariff, Quantities], book: PriceBook
) -> dict[tuple[str, str], tuple[str, int]]:
    """What AWS bills at 0, of each rule and region: the quantity's name, and how much of it.

    One allowance for all regions and architectures, here divided in proportion to their use.
    """
    used: dict[str, dict[tuple[str, str], int]] = {"requests": {}, "memory_mb_ns": {}}
    for tariff, quantities in months.items():
        if tariff.platform == "lambda" and tariff.initialization in FREE_KINDS:
            rules = {"requests": "lambda.requests", "memory_mb_ns": _duration(tariff)}
            for field, rule in rules.items():
                place = rule, tariff.region
                so_far = used[field].get(place, 0)
                used[field][place] = so_far + getattr(quantities, field)
    allowed = {"requests": "lambda.free.requests", "memory_mb_ns": "lambda.free.duration"}
    parts: dict[tuple[str, str], tuple[str, int]] = {}
    for field, places in used.items():
        allowance = int(book.price(allowed[field], "global").rate) * PER_UNIT[field]
        amounts = list(places.values())
        if any(amounts):
            shares = split(min(allowance, sum(amounts)), amounts)
            parts |= {place: (field, part) for place, part in zip(places, shares, strict=True)}
    return parts


def _free_lines(
    free: Mapping[tuple[str, str], tuple[str, int]], book: PriceBook
) -> Iterator[Placed]:
    for (rule, region), (field, part) in free.items():
        price = book.price(rule, region)
        quantity = ratio(part, PER_UNIT[field])
        yield (
            "aws",
            region,
            line_of(f"{rule}.free_tier", quantity, price.unit, EXACT.minus(price.rate)),
        )


def _tier_lines(
    usage: Iterable[Placed],
    free: Mapping[tuple[str, str], tuple[str, int]],
    book: PriceBook,
) -> Iterator[Placed]:
    """Volume tiers: Lambda's for each region and architecture, Function Compute's over all CU.

    What is free does not count towards a tier.
    """
    counted: dict[tuple[str, str, str], list[Decimal]] = defaultdict(list)
    for provider, region, line in usage:
        if line.rule.startswith("lambda.duration."):
            counted[provider, region, line.rule].append(line.quantity)
        elif provider == "alibaba":
            factor = book.price(line.rule.replace("fc.", "fc.factor.", 1), region).rate
            counted[provider, region, "fc.cu"].append(multiply(line.quantity, factor))
    for (provider, region, rule), parts in counted.items():
        price = book.price(rule, region)
        field, part = free.get((rule, region), ("requests", 0))
        billed = EXACT.subtract(total(parts), ratio(part, PER_UNIT[field]))
        for quantity, rate in list(in_tiers(price, billed))[1:]:
            difference = EXACT.subtract(rate, price.rate)
            yield provider, region, line_of(f"{rule}.tier", quantity, price.unit, difference)


def in_tiers(price: Price, quantity: Decimal) -> Iterator[tuple[Decimal, Decimal]]:
    """The parts of a month's quantity that fall into each tier, with their rates."""
    below = Decimal(0)
    for tier in price.tiers:
        top = quantity if tier.up_to is None else min(quantity, Decimal(tier.up_to))
        if top > below:
            yield EXACT.subtract(top, below), tier.rate
            below = top


def _shared_lines(
    items: Iterable[Standing], usage: Iterable[Placed], book: PriceBook
) -> Iterator[Placed]:
    """Takes off what attempts were costed already as their shares of an item."""
    costed = list(usage)
    for item in items:
        if item.includes:
            shares = total(
                line.amount
                for _, region, line in costed
                if region == item.region and line.rule in item.includes
            )
            provider = book.price(item.rule, item.region).provider
            yield (
                provider,
                item.region,
                line_of(f"{item.rule}.shared", ONE, "month", EXACT.minus(shares)),
            )


def _rounding_lines(placed: Iterable[Placed]) -> Iterator[Placed]:
    amounts: dict[str, list[Decimal]] = defaultdict(list)
    for provider, _, line in placed:
        amounts[provider].append(line.amount)
    for provider, parts in amounts.items():
        exact = total(parts)
        rest = EXACT.subtract(exact.quantize(CENT, rounding=ROUND_HALF_UP), exact)
        if rest:
            yield provider, "", line_of(f"{provider}.rounding", ONE, "month", rest)


def _duration(tariff: Tariff) -> str:
    return f"lambda.duration.{tariff.arch}"
