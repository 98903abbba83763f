"""The price book is dated, sourced and consistent."""

import datetime
from decimal import Decimal

import pytest

from farthing.billing.prices import read_price_book
from farthing.errors import PriceMissing

BOOK = read_price_book(planning=True)


def test_every_row_names_its_source_its_date_and_its_confidence() -> None:
    for row in BOOK.rows:
        assert row.source
        assert datetime.date.fromisoformat(row.as_of) <= datetime.date.fromisoformat(BOOK.version)
        assert row.regions


def test_no_rule_has_two_rows_for_one_region() -> None:
    seen = [(row.rule, region) for row in BOOK.rows for region in row.regions]
    assert len(seen) == len(set(seen))


def test_tiers_rise_in_quantity_fall_in_price_and_end_without_bound() -> None:
    for row in BOOK.rows:
        bounds = [tier.up_to for tier in row.tiers]
        assert bounds[-1] is None
        finite = [bound for bound in bounds if bound is not None]
        assert finite == sorted(finite)
        assert len(finite) == len(bounds) - 1
        rates = [tier.rate for tier in row.tiers]
        assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize(
    ("rule", "region", "rates"),
    [
        ("lambda.requests", "us-east-1", ["0.0000002"]),
        ("lambda.duration.x86_64", "eu-west-1", ["0.0000166667", "0.0000150000", "0.0000133334"]),
        ("lambda.duration.arm64", "us-east-1", ["0.0000133334", "0.0000120001", "0.0000106667"]),
        ("lambda.duration.x86_64", "af-south-1", ["0.0000221"]),
        ("fc.cu", "international", ["0.000020", "0.000017", "0.000014"]),
        ("lambda.free.requests", "global", ["1000000"]),
        ("lambda.free.duration", "global", ["400000"]),
        ("ec2.g4dn.xlarge", "us-east-1", ["0.526"]),
        ("openai.embed3small", "global", ["0.00000002"]),
    ],
)
def test_rates_are_those_of_the_price_pages(rule: str, region: str, rates: list[str]) -> None:
    assert [tier.rate for tier in BOOK.price(rule, region).tiers] == [Decimal(r) for r in rates]


def test_an_unknown_book_names_those_there_are() -> None:
    with pytest.raises(PriceMissing, match="2026-11-21"):
        read_price_book("1999-01-01")


def test_a_starting_function_reads_only_what_prices_a_call() -> None:
    rows = set(read_price_book().rows)
    assert rows < set(BOOK.rows)
    with pytest.raises(PriceMissing, match=r"sagemaker\.serverless"):
        read_price_book().price("sagemaker.serverless", "us-east-1")


def test_what_is_no_money_says_so() -> None:
    for row in BOOK.rows:
        is_quantity = ".free." in row.rule or row.rule.endswith(".share")
        assert (row.currency == "quantity") is is_quantity
        assert (row.currency == "CU") is row.rule.startswith("fc.factor.")
        assert (row.currency == "CNY") is (".cny" in row.rule)
