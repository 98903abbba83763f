"""An invoice as one HTML page: for a screen, for paper, and without anything from elsewhere."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from farthing.ledger.statements.sections import sections_of
from farthing.ledger.statements.terms import terms_of
from farthing.money import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.billing.invoices import Statement
    from farthing.billing.ledger import Root
    from farthing.billing.valuation import Valuer

CENT = Decimal("0.01")
SHOWN = Decimal("0.000000001")


def invoice_page(statement: Statement, valuer: Valuer, roots: Sequence[Root] = ()) -> str:
    """The page. `roots` are the tenant's signed roots of the month, for who wants to verify it.

    Raises `LedgerError` for a plan whose terms are not known.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"usd": _shown, "cents": _cents, "number": _number, "plain": plain}
    return environment.get_template("invoice.html.j2").render(
        statement=statement,
        sections=list(sections_of(statement.lines)),
        calls=sum(day.calls for day in statement.days),
        tokens=sum(day.prompt_tokens for day in statement.days),
        cached_tokens=sum(day.cached_tokens for day in statement.days),
        plans={plan: terms_of(valuer.plan(plan)) for plan in statement.plans or ("",)},
        roots=roots,
    )


def _cents(amount: Decimal) -> str:
    return f"{amount.quantize(CENT, rounding=ROUND_HALF_UP):,.2f}"


def _shown(amount: Decimal) -> str:
    """To a billionth of a dollar, which is less than any call costs."""
    return f"{amount.quantize(SHOWN, rounding=ROUND_HALF_UP):,f}"


def _number(quantity: Decimal | int) -> str:
    """With thousands apart and at most six decimals."""
    rounded = Decimal(quantity).quantize(Decimal("0.000001"), rounding=ROUND_HALF_UP)
    whole, _, rest = plain(rounded).partition(".")
    return f"{int(whole):,}" + (f".{rest}" if rest else "")
