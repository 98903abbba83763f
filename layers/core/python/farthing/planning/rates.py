"""The price book's rows as lines of a quotation."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from farthing.billing.meter import line_of
from farthing.billing.month import in_tiers

if TYPE_CHECKING:
    from farthing.billing.meter import Line
    from farthing.billing.prices import Price, PriceBook

GLOBAL = "global"


class Rates:
    """Prices in one region; remembers the rows that were used, so that a quotation names them."""

    def __init__(self, book: PriceBook, region: str) -> None:
        self.book = book
        self.region = region
        self.used: dict[str, Price] = {}

    def row(self, rule: str, region: str | None = None) -> Price:
        """Raises `PriceMissing` naming the row that the book has not."""
        row = self.book.price(rule, region or self.region)
        self.used[f"{rule} {region or self.region}"] = row
        return row

    def line(self, rule: str, quantity: Decimal | int, region: str | None = None) -> Line:
        """The quantity at the first tier's rate."""
        row = self.row(rule, region)
        return line_of(rule, Decimal(quantity), row.unit, row.rate)

    def lines(self, rule: str, quantity: Decimal | int, region: str | None = None) -> list[Line]:
        """The quantity of a month at the rate of each tier that it reaches; none for 0."""
        row = self.row(rule, region)
        return [
            line_of(rule, part, row.unit, rate) for part, rate in in_tiers(row, Decimal(quantity))
        ]
