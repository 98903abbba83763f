"""An invoice on paper and in a spreadsheet says what the statement says."""

import csv
import io
import re
from decimal import Decimal
from html.parser import HTMLParser

import pytest

from farthing.billing.invoices import Statement, statement_of, usage_of
from farthing.billing.ledger import Root
from farthing.billing.plans import Plan, Volume, plan_id
from farthing.billing.valuation import Valuer
from farthing.ledger.statements.page import invoice_page
from farthing.ledger.statements.spreadsheet import lines_csv, usage_csv
from farthing.ledger.statements.terms import terms_of
from farthing.money import plain
from tests.core.entries import MONTH, entry

GOLD = Plan(name="gold", markup=Decimal("1.25"), free_calls=1)
VALUER = Valuer({plan_id(GOLD): GOLD})
ROOT = Root(
    tenant="acme",
    hour="2026-11-22T05",
    sequence=7,
    count=3,
    covers=(),
    root="ab" * 32,
    previous="0" * 64,
    key_id="00112233445566ff",
    signed_at_ms=0,
    signature="",
)


def statement(**values: object) -> Statement:
    entries = [entry(number, plan=plan_id(GOLD), **values) for number in range(3)]
    return statement_of("acme", entries, VALUER, MONTH)


class Page(HTMLParser):
    """Its words, and whatever it would fetch."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def test_the_page_tells_total_lines_terms_and_how_to_verify() -> None:
    made = statement()
    page = Page(invoice_page(made, VALUER, [ROOT]))
    for told in (
        "acme",
        "2026-11-01 to 2026-11-30",
        plain(made.total),
        "lambda.duration.x86_64",
        "0.0000166667",
        "plan.markup",
        "plan.free_calls",
        plan_id(GOLD),
        "times 1.25",
        "Answers that are free in each month: 1.",
        "product-classifier",
        ROOT.root,
        ROOT.key_id,
        "farthing bill verify --receipt FILE",
    ):
        assert told in page.text


def test_the_page_stands_alone() -> None:
    html = invoice_page(statement(), VALUER)
    page = Page(html)
    assert page.fetched == []
    assert not {"script", "img", "link", "iframe"} & set(page.tags)
    assert "url(" not in html
    assert "http://" not in html
    assert "https://" not in html
    assert "No signed root covers this period yet." in page.text


def test_what_comes_from_outside_is_escaped() -> None:
    html = invoice_page(statement(model="<script>alert(1)</script>"), VALUER)
    assert "<script>" not in html
    assert "<script>alert(1)</script>" in Page(html).text


def test_a_month_without_use_is_an_empty_invoice() -> None:
    page = Page(invoice_page(statement_of("acme", [], VALUER, MONTH), VALUER))
    assert "Nothing was used." in page.text
    assert "0.00 USD" in page.text
    assert "Answers are sold at cost" in page.text


def test_the_csv_adds_up_to_the_total_exactly() -> None:
    made = statement(busy_ns=1_234_567)
    rows = list(csv.DictReader(io.StringIO(lines_csv(made))))
    assert len(rows) == len(made.lines)
    for row in rows:
        assert Decimal(row["quantity"]) * Decimal(row["rate"]) == Decimal(row["amount"])
        assert row["tenant"] == "acme"
    assert sum(Decimal(row["amount"]) for row in rows) == made.total


def test_usage_as_csv_has_a_row_a_day_and_tenant() -> None:
    entries = [entry(1), entry(2, tenant="globex")]
    rows = csv.DictReader(io.StringIO(usage_csv(usage_of(entries, VALUER, MONTH))))
    assert [(row["tenant"], row["name"], row["price"]) for row in rows] == [
        ("acme", "2026-11-01", "0.0000002166667"),
        ("globex", "2026-11-01", "0.0000002166667"),
    ]
    assert usage_csv({}) == "tenant\n"


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (Plan(), ["at cost"]),
        (Plan(markup=Decimal("0.8")), ["times 0.8"]),
        (
            Plan(usd_per_call=Decimal("0.001"), usd_per_million_tokens=Decimal("0.02")),
            [
                "Each answer is 0.001 USD.",
                "A million tokens are 0.02 USD. Tokens that the cache answers are 10 % of that.",
            ],
        ),
        (
            Plan(
                usd_per_million_tokens=Decimal(1),
                free_calls=5,
                free_tokens=1000,
                volumes=(Volume(10**6, Decimal("0.125")),),
            ),
            [
                "month: 5.",
                "month, those of free answers not counted: 1,000.",
                "beyond 1,000,000 in a month are 12.5 % cheaper",
            ],
        ),
    ],
)
def test_terms_are_sentences(plan: Plan, said: list[str]) -> None:
    terms = " ".join(terms_of(plan))
    for sentence in said:
        assert sentence in terms
