"""Prices: the template's mapping, which its alarm on spend multiplies with, is the price book's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.deployment.aws.parameters import number
from farthing.deployment.aws.wanted import missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from farthing.billing.prices import PriceBook
    from farthing.deployment.findings import Finding


def check_prices(template: dict[str, Any], book: PriceBook) -> Iterator[Finding]:
    """The mapping has the book's first tier for every region, and no region that the book lacks."""
    rules = {"Request": "lambda.requests", "GbSecond": "lambda.duration.x86_64"}
    regions = {
        key: {region: row.rate for row in book.rows if row.rule == rule for region in row.regions}
        for key, rule in rules.items()
    }
    priced = set.intersection(*(set(rates) for rates in regions.values()))
    mapping = template.get("Mappings", {}).get("Prices", {})
    for region in sorted(priced | set(mapping)):
        at = f"Mappings.Prices.{region}"
        if region not in priced:
            yield missing(
                at, f"Price book {book.version} has no price in {region}.", "Take the region out."
            )
            continue
        for key in rules:
            found = mapping.get(region, {}).get(key)
            rate = regions[key][region]
            if not isinstance(found, str) or number(found) != float(rate):
                yield missing(
                    f"{at}.{key}",
                    f"It is {found}, but price book {book.version} says {rate:f}.",
                    f"Make it '{rate:f}'.",
                )
