"""A plan's terms in sentences."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from farthing.billing.plans import ONE
from farthing.money import multiply, plain

if TYPE_CHECKING:
    from farthing.billing.plans import Plan

HUNDRED = Decimal(100)


def terms_of(plan: Plan) -> list[str]:
    """What a tenant of this plan pays and what its month gives back, a sentence each."""
    return [*_prices(plan), *_waiting(plan), *_credits(plan)]


def _prices(plan: Plan) -> list[str]:
    if plan.has_own_prices:
        terms = []
        if plan.usd_per_call:
            terms.append(f"Each answer is {plain(plan.usd_per_call)} USD.")
        if plan.usd_per_million_tokens:
            percent = plain(multiply(plan.cached, HUNDRED))
            terms.append(f"A million tokens are {plain(plan.usd_per_million_tokens)} USD.")
            terms.append(f"Tokens that the cache answers are {percent} % of that.")
        return terms
    if plan.markup == ONE:
        return ["Answers are sold at cost: what the provider bills, line by line."]
    return [f"Answers are what the provider bills, line by line, times {plain(plan.markup)}."]


def _waiting(plan: Plan) -> list[str]:
    if not plan.is_low:
        return []
    percent = plain(multiply(plan.low_priority, HUNDRED))
    return [f"These answers could wait: all is {percent} % of that, and never above their quote."]


def _credits(plan: Plan) -> list[str]:
    terms = []
    if plan.free_calls:
        terms.append(f"Answers that are free in each month: {plan.free_calls:,}.")
    if plan.free_tokens:
        after = ", those of free answers not counted" if plan.free_calls else ""
        terms.append(f"Tokens that are free in each month{after}: {plan.free_tokens:,}.")
    for volume in plan.volumes:
        percent = plain(multiply(volume.discount, HUNDRED))
        terms.append(f"Tokens beyond {volume.over_tokens:,} in a month are {percent} % cheaper.")
    return terms
