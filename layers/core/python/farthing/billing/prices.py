"""The price book: dated, sourced list prices, shipped as data.

What prices one call is in a file of its own, since every start reads it. The file of the same date
in `books/planning` has the rest: what is free each month, commitments, and what else could be used.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Literal

import msgspec

from farthing.errors import PriceMissing

BOOKS = Path(__file__).parent / "books"
CURRENT = "2026-11-21"


class Tier(msgspec.Struct, frozen=True):
    """A rate that holds up to this cumulative monthly quantity; None is without bound."""

    up_to: int | None
    rate: Decimal


class Price(msgspec.Struct, frozen=True):
    """One row: what a unit costs, where, and who says so.

    In the currencies `CU` and `quantity` a rate is no money: how many compute units a unit is
    worth, or how many units (or which share) a rule is about.
    """

    rule: str
    provider: str
    regions: tuple[str, ...]
    unit: str
    tiers: tuple[Tier, ...]
    currency: Literal["USD", "CNY", "CU", "quantity"]
    source: str
    as_of: str
    confidence: Literal["high", "medium", "low"]
    note: str = ""

    @property
    def rate(self) -> Decimal:
        """The first tier's rate: what one call costs before any volume discount."""
        return self.tiers[0].rate


class PriceBook(msgspec.Struct, frozen=True):
    """All rows of one date."""

    version: str
    rows: tuple[Price, ...]

    def price(self, rule: str, region: str) -> Price:
        """The row of this rule in this region.

        Raises `PriceMissing` where the book has none: a call is never billed at a guess.
        """
        for row in self.rows:
            if row.rule == rule and region in row.regions:
                return row
        known = sorted({name for row in self.rows if row.rule == rule for name in row.regions})
        raise PriceMissing(
            f"Price book {self.version} has no {rule} in region {region}; "
            + (f"it has {', '.join(known)}. " if known else "no region has that rule. ")
            + "Set FARTHING_REGION to a region whose list prices should apply."
        )


def read_price_book(version: str = CURRENT, *, planning: bool = False) -> PriceBook:
    """The shipped book of that date; with `planning` also the rows that no single call needs."""
    try:
        book = _read(BOOKS / f"{version}.json")
        if not planning:
            return book
        return PriceBook(version, book.rows + _read(BOOKS / "planning" / f"{version}.json").rows)
    except OSError:
        known = ", ".join(sorted(book.stem for book in BOOKS.glob("*.json")))
        raise PriceMissing(
            f"There is no price book {version}; shipped are {known}. Choose one of those."
        ) from None


def _read(file: Path) -> PriceBook:
    return msgspec.json.decode(file.read_bytes(), type=PriceBook)
