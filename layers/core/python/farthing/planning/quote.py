"""A quotation: every option that can be priced, cheapest first, and why the others cannot."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from farthing.billing.prices import Price
from farthing.errors import PriceMissing
from farthing.money import plain
from farthing.planning.break_even import BreakEven, break_evens, curves_of
from farthing.planning.case import Case
from farthing.planning.errors import Unfit
from farthing.planning.keeping import ASSUMED, LEFT_OUT, Keeping, keepings
from farthing.planning.offers.alibaba_fc import fc_offers
from farthing.planning.offers.aws_lambda import lambda_offers
from farthing.planning.offers.knative import knative_offers
from farthing.planning.offers.machines import machine_offers
from farthing.planning.offers.managed import managed_offers
from farthing.planning.options import Option
from farthing.planning.rates import Rates
from farthing.planning.work import Scenario

if TYPE_CHECKING:
    from farthing.billing.prices import PriceBook
    from farthing.planning.assumptions import Assumptions
    from farthing.planning.traffic import Traffic
    from farthing.planning.work import Work

MB_PER_GB = 1000
OFFERS = (lambda_offers, fc_offers, knative_offers, machine_offers, managed_offers)
LOADED = (
    "usd_month and usd_year are fully loaded: the calls, what stands without any call (machines, "
    "floors, alarms, image registry) and what watches and bills them (logs, ledger, settlement). "
    "The _marginal figures are the calls alone."
)
FIRST_YEAR = (
    "usd_year is the first year: twelve months and what is done once (indexing). List prices, "
    "volume tiers included, free tiers and taxes not."
)


class Quote(msgspec.Struct, frozen=True):
    """`options` are cheapest first; `left_out` names an option and why it is no part of them.
    `keeping` are ways to keep the work's index, and a large one, if it has any.

    `rows` are the price book's that were used, by rule and region.
    """

    name: str
    assumptions: tuple[dict[str, str], ...]
    options: tuple[Option, ...]
    left_out: tuple[tuple[str, str], ...]
    break_evens: tuple[BreakEven, ...]
    calls_month: int
    price_book: str
    region: str
    rows: dict[str, Price]
    scenario: Scenario | None = None
    keeping: tuple[Keeping, ...] = ()

    def as_json(self) -> dict[str, object]:
        """The object that `farthing quote --json` prints. Amounts of money are JSON numbers."""
        published: dict[str, object] = {"published_usd_year": None}
        if self.scenario is not None:
            published = {
                "published_usd_year": self.scenario.published_usd_year,
                "published_parts_usd_year": self.scenario.published_parts_usd_year,
                "published_says": self.scenario.published_says,
            }
        return {
            "scenario": self.name,
            "calls_month": self.calls_month,
            "currency": "USD",
            "basis": "quoted",
            "price_book": self.price_book,
            "region": self.region,
            **published,
            "assumptions": list(self.assumptions),
            "options": [option.as_json() for option in self.options],
            "left_out": [{"option": name, "reason": why} for name, why in self.left_out],
            "break_evens": [
                {**msgspec.structs.asdict(one), "sentence": one.sentence}
                for one in self.break_evens
            ],
            "keeping": [way.as_json() for way in self.keeping],
            "prices": [
                {
                    "row": name,
                    "rate": plain(row.rate),
                    "unit": row.unit,
                    "as_of": row.as_of,
                    "confidence": row.confidence,
                    "source": row.source,
                }
                for name, row in sorted(self.rows.items())
            ],
        }


def quote(
    work: Work,
    traffic: Traffic,
    book: PriceBook,
    assumptions: Assumptions,
    region: str,
    scenario: Scenario | None = None,
) -> Quote:
    """What the work costs wherever it can be priced.

    Raises `PriceMissing` for a region in which no row holds: a price is never guessed.
    """
    rates = Rates(book, region)
    # Asked first, since an unknown region would otherwise leave out one option after the other.
    if not any(region in row.regions for row in book.rows):
        rates.row("lambda.requests")
    case = Case(work, traffic, rates, assumptions)
    options: list[Option] = []
    left_out: list[tuple[str, str]] = []
    for offers in OFFERS:
        for name, price in offers(case):
            try:
                options.append(price())
            except PriceMissing as error:
                left_out.append((name, _first_words(error)))
            except Unfit as error:
                left_out.append((name, str(error)))
    options.sort(key=lambda option: (option.usd_year, option.platform, option.profile))
    used = dict.fromkeys(name for option in options for name in option.assumptions)
    keeping: tuple[Keeping, ...] = ()
    if work.index_mb:
        try:
            keeping = _keeping(work, rates, assumptions)
            used |= dict.fromkeys(ASSUMED)
            left_out.append(LEFT_OUT)
        except PriceMissing as error:
            left_out.append(("keeping the index", _first_words(error)))
    return Quote(
        scenario.name if scenario else work.name,
        (*_described(work, traffic), *(_told(assumptions, name) for name in used)),
        tuple(options),
        tuple(left_out),
        tuple(_even(options)),
        traffic.calls_month,
        book.version,
        region,
        rates.used,
        scenario,
        keeping,
    )


def _keeping(work: Work, rates: Rates, assumptions: Assumptions) -> tuple[Keeping, ...]:
    """Of the work's own index, and of one so large that it matters."""
    own_gb = Decimal(str(work.index_mb)) / MB_PER_GB
    large_gb = assumptions.number("index.large-gb")
    return (*keepings(rates, assumptions, own_gb), *keepings(rates, assumptions, large_gb))


def _first_words(error: PriceMissing) -> str:
    return str(error).partition(". ")[0].partition("; ")[0]


def _even(options: list[Option]) -> list[BreakEven]:
    """Against serverless, which is what a few calls cost least on, if it is in the comparison."""
    curves = curves_of(options)
    base = next((curve for curve in curves if curve.family == "Lambda"), curves[0])
    return break_evens(base, [curve for curve in curves if curve is not base])


def _described(work: Work, traffic: Traffic) -> list[dict[str, str]]:
    takes = (
        f"A call computes {work.busy_ms:g} ms on one full vCPU with {work.threads} "
        f"thread{'s' if work.threads > 1 else ''} and has {work.tokens} tokens; a start takes "
        f"{work.init_ms:g} ms; the process needs {work.peak_mb:,} MB and a quarter more."
    )
    told = [{"name": "work", "says": takes, "source": work.source}]
    if work.index_texts:
        says = (
            f"{work.index_texts:,} texts of {work.index_tokens} tokens are embedded once, in "
            f"{work.index_text_ms:g} ms each, where the calls are; machines do it in idle time."
        )
        told.append({"name": "index", "says": says, "source": "as the work"})
    told += [{"name": "traffic", "says": says, "source": "assumption"} for says in traffic.says]
    told += [
        {"name": "bases", "says": says, "source": "definition"} for says in (LOADED, FIRST_YEAR)
    ]
    return told


def _told(assumptions: Assumptions, name: str) -> dict[str, str]:
    one = assumptions[name]
    return {"name": name, "says": one.says, "source": one.source}
