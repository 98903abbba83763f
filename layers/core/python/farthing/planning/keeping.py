"""What it costs to keep an index: on disks, in a bucket, and its cold part in the archive."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

# Resolved at run time by msgspec, which reads the annotations.
from farthing.billing.meter import Line
from farthing.money import EXACT, plain, total

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farthing.planning.assumptions import Assumptions
    from farthing.planning.rates import Rates

MONTHS = 12
ASSUMED = ("index.hot-share", "index.large-gb", "index.versions", "index.moves")
LEFT_OUT = (
    "OSS, Standard against Cold Archive",
    "the price book has no row for OSS, since no source for its prices was found",
)
BUCKET = "all in the bucket (S3 Standard)"
TIERS = "hot in the bucket, cold in the archive"
# One of each month's versions is there from that month on: 12 months of the first, 1 of the last.
VERSION_MONTHS = sum(range(1, MONTHS + 1))


class Keeping(msgspec.Struct, frozen=True):
    """One way to keep `gb` gigabytes for a year. `usd_restore` is for bringing back, once and in
    bulk, what it has in the archive."""

    name: str
    gb: Decimal
    lines: tuple[Line, ...]
    restore: tuple[Line, ...] = ()

    @property
    def usd_year(self) -> Decimal:
        return total(line.amount for line in self.lines)

    @property
    def usd_restore(self) -> Decimal:
        return total(line.amount for line in self.restore)

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "gb": plain(self.gb),
            "usd_year": plain(self.usd_year),
            "usd_restore": plain(self.usd_restore),
            "lines": [line.as_json() for line in (*self.lines, *self.restore)],
        }


def keepings(rates: Rates, assumptions: Assumptions, gb: Decimal) -> tuple[Keeping, ...]:
    """Dearest first. Raises `PriceMissing` naming the row that the region has not."""
    hot = EXACT.multiply(gb, assumptions.number("index.hot-share"))
    cold = EXACT.subtract(gb, hot)

    def year(rule: str, held_gb: Decimal) -> Line:
        return rates.line(rule, EXACT.multiply(held_gb, Decimal(MONTHS)))

    def versions(rule: str) -> Line:
        return rates.line(rule, EXACT.multiply(gb, Decimal(VERSION_MONTHS)))

    def bulk(held_gb: Decimal) -> Line:
        return rates.line("s3.deep_archive.retrieve_bulk", held_gb)

    ways = (
        Keeping("a managed vector store (Pinecone)", gb, (year("pinecone.storage", gb),)),
        Keeping("all on a disk (EBS)", gb, (year("ebs.gp3", gb),)),
        Keeping(
            "hot on a disk, all in the bucket",
            gb,
            (year("ebs.gp3", hot), year("s3.standard", gb)),
        ),
        Keeping(BUCKET, gb, (year("s3.standard", gb),)),
        Keeping(
            TIERS,
            gb,
            (year("s3.standard", hot), year("s3.deep_archive", cold)),
            (bulk(cold),),
        ),
        Keeping("12 monthly versions, in the bucket", gb, (versions("s3.standard"),)),
        Keeping(
            "12 monthly versions, in the archive",
            gb,
            (versions("s3.deep_archive"),),
            (bulk(gb),),
        ),
    )
    return tuple(sorted(ways, key=lambda way: -way.usd_year))


def saved(ways: Iterable[Keeping]) -> float:
    """The share of the bucket's price that the archive of cold parts saves, 0 to 1."""
    usd = {way.name: way.usd_year for way in ways}
    return 1 - float(usd[TIERS]) / float(usd[BUCKET])
