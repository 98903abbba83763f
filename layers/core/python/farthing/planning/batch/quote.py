"""A batch run's quotation: every way that can be priced, the cheapest in time first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from farthing.errors import PriceMissing
from farthing.planning.batch.offers import offers
from farthing.planning.batch.run import Run
from farthing.planning.batch.ways import Setting, Way
from farthing.planning.errors import Unfit
from farthing.planning.rates import Rates

if TYPE_CHECKING:
    from farthing.billing.prices import PriceBook
    from farthing.planning.assumptions import Assumptions


class BatchQuote(msgspec.Struct, frozen=True, kw_only=True):
    """`ways`: those in time by price, then those too late by price. `left_out` says why."""

    run: Run
    ways: tuple[Way, ...]
    left_out: tuple[tuple[str, str], ...]
    assumptions: tuple[dict[str, str], ...]
    price_book: str
    region: str

    @property
    def cheapest(self) -> Way | None:
        """The cheapest that is in time; None where nothing is."""
        return next((way for way in self.ways if way.in_time), None)

    def as_json(self) -> dict[str, object]:
        """The object that `farthing batch cost --json` prints."""
        best = self.cheapest
        return {
            "rows": self.run.rows,
            "shard_rows": self.run.shard_rows,
            "deadline_s": self.run.deadline_s,
            "work": msgspec.structs.asdict(self.run.work),
            "currency": "USD",
            "basis": "quoted",
            "price_book": self.price_book,
            "region": self.region,
            "cheapest": None if best is None else f"{best.platform}, {best.profile}",
            "ways": [way.as_json(self.run.rows) for way in self.ways],
            "left_out": [{"way": name, "reason": why} for name, why in self.left_out],
            "assumptions": list(self.assumptions),
        }


def quote_batch(run: Run, book: PriceBook, assumptions: Assumptions, region: str) -> BatchQuote:
    """What the run costs wherever it can be priced.

    Raises `PriceMissing` for a region in which no row holds: a price is never guessed.
    """
    rates = Rates(book, region)
    if not any(region in row.regions for row in book.rows):
        rates.row("lambda.requests")
    ways: list[Way] = []
    left_out: list[tuple[str, str]] = []
    for name, price in offers(Setting(run, rates, assumptions)):
        try:
            ways.append(price())
        except PriceMissing as error:
            left_out.append((name, str(error).partition(". ")[0].partition("; ")[0]))
        except Unfit as error:
            left_out.append((name, str(error)))
    ways.sort(key=lambda way: (not way.in_time, way.usd, way.hours))
    used = dict.fromkeys(name for way in ways for name in way.assumptions)
    told = ({"name": name, **_words(assumptions, name)} for name in used)
    return BatchQuote(
        run=run,
        ways=tuple(ways),
        left_out=tuple(left_out),
        assumptions=tuple(told),
        price_book=book.version,
        region=region,
    )


def _words(assumptions: Assumptions, name: str) -> dict[str, str]:
    one = assumptions[name]
    return {"says": one.says, "source": one.source}
