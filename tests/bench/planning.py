"""How long a quotation takes: a month of 10,000 calls a day, simulated call by call."""

from __future__ import annotations

import time

from farthing.billing.prices import read_price_book
from farthing.planning.assumptions import read_assumptions
from farthing.planning.quote import quote
from farthing.planning.simulation import Elastic, simulate
from farthing.planning.traffic import traffic_of
from farthing.planning.work import scenario
from tests.bench.results import Result, at_most, p50

QUOTE_S_MAX = 5.0
SHOP_USD_MAX = 10.0


def run(rounds: int) -> list[Result]:
    """One fleet, then the whole quotation of the shop, and what it says."""
    shop = scenario("shop")
    book, assumptions = read_price_book(planning=True), read_assumptions()
    calls_month = round(shop.calls_per_day * 365 / 12)
    fleets, quotes, usd = [], [], 0.0
    for _ in range(rounds):
        begun = time.perf_counter()
        traffic = traffic_of(calls_month)
        simulate(traffic, 4_500, Elastic(100_000, 400_000, 300_000_000))
        fleets.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        quotation = quote(shop.work, traffic_of(calls_month), book, assumptions, "us-east-1", shop)
        quotes.append(time.perf_counter() - begun)
        usd = float(quotation.options[0].usd_year)
    return [
        Result(f"{calls_month:,} calls through one fleet", p50(fleets), unit="s"),
        at_most(
            f"quotation of shop, {len(quotation.options)} options", p50(quotes), QUOTE_S_MAX, "s"
        ),
        at_most("shop on the cheapest", usd, SHOP_USD_MAX, "USD a year"),
    ]
