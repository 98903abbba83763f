"""What keeping an index costs, against sums by hand of the book's rows."""

from __future__ import annotations

from decimal import Decimal

import pytest

from farthing.billing.prices import read_price_book
from farthing.errors import PriceMissing
from farthing.planning.assumptions import read_assumptions
from farthing.planning.keeping import keepings, saved
from farthing.planning.quote import quote
from farthing.planning.rates import Rates
from farthing.planning.traffic import traffic_of
from farthing.planning.work import known_work, scenario

BOOK = read_price_book(planning=True)
ASSUMPTIONS = read_assumptions()


def test_a_terabyte_costs_what_its_rows_say_a_year() -> None:
    rates = Rates(BOOK, "us-east-1")
    ways = keepings(rates, ASSUMPTIONS, Decimal(1000))
    usd = {way.name: way.usd_year for way in ways}
    assert usd == {
        "a managed vector store (Pinecone)": Decimal("0.33") * 12_000,
        "all on a disk (EBS)": Decimal("0.08") * 12_000,
        "hot on a disk, all in the bucket": Decimal("0.08") * 1200 + Decimal("0.023") * 12_000,
        "all in the bucket (S3 Standard)": Decimal("0.023") * 12_000,
        "hot in the bucket, cold in the archive": (
            Decimal("0.023") * 1200 + Decimal("0.00099") * 10_800
        ),
        "12 monthly versions, in the bucket": Decimal("0.023") * 78_000,
        "12 monthly versions, in the archive": Decimal("0.00099") * 78_000,
    }
    assert [way.usd_year for way in ways] == sorted(usd.values(), reverse=True)
    restored = {way.name: way.usd_restore for way in ways if way.restore}
    assert restored == {
        "hot in the bucket, cold in the archive": Decimal("0.0025") * 900,
        "12 monthly versions, in the archive": Decimal("0.0025") * 1000,
    }
    assert saved(ways) == pytest.approx(0.8613, abs=0.0001)


def test_every_price_is_a_row_that_the_quotation_names() -> None:
    work = scenario("shop").work
    quotation = quote(work, traffic_of(5000), BOOK, ASSUMPTIONS, "us-east-1")
    assert {way.gb for way in quotation.keeping} == {
        Decimal(str(work.index_mb)) / 1000,
        Decimal(1000),
    }
    cited = {name.split(" ")[0] for name in quotation.rows}
    assert {line.rule for way in quotation.keeping for line in way.lines} <= cited
    told = {each["name"] for each in quotation.assumptions}
    assert {"index.hot-share", "index.large-gb", "index.versions", "index.moves"} <= told
    assert "OSS, Standard against Cold Archive" in dict(quotation.left_out)
    shown = quotation.as_json()["keeping"]
    assert isinstance(shown, list)
    for way in shown:
        usd = sum(
            Decimal(line["amount"]) for line in way["lines"] if "retrieve" not in line["rule"]
        )
        assert Decimal(way["usd_year"]) == usd


def test_a_region_without_a_row_leaves_keeping_out_and_names_it() -> None:
    with pytest.raises(PriceMissing):
        keepings(Rates(BOOK, "af-south-1"), ASSUMPTIONS, Decimal(1))
    quotation = quote(scenario("shop").work, traffic_of(100), BOOK, ASSUMPTIONS, "af-south-1")
    assert quotation.keeping == ()
    assert "in region af-south-1" in dict(quotation.left_out)["keeping the index"]


def test_work_without_an_index_keeps_none() -> None:
    work = known_work("product-classifier")
    quotation = quote(work, traffic_of(100), BOOK, ASSUMPTIONS, "us-east-1")
    assert quotation.keeping == ()
    assert not {told["name"] for told in quotation.assumptions} & {"index.hot-share"}
