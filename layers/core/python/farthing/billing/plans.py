"""Plans: what a tenant pays for what it used, told on the answer and summed into its invoice."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import msgspec

from farthing.billing.meter import line_of
from farthing.money import ZERO, ratio, total

if TYPE_CHECKING:
    from farthing.billing.meter import Charge
    from farthing.usage import Usage

ONE = Decimal(1)
TOKENS_PER_MILLION = 1_000_000
Money = Annotated[Decimal, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class Volume(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From this many tokens of a month on, tokens beyond are discounted by this share of 1."""

    over_tokens: Count
    discount: Annotated[Decimal, msgspec.Meta(ge=0, le=1)]


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """At cost by default: the provider's lines times `markup`.

    With `usd_per_call` or `usd_per_million_tokens` the plan has prices of its own, which no
    neighbour and no slow machine can change, and `markup` must stay 1. What depends on the month
    (`free_calls`, `free_tokens`, `volumes`) is no part of an answer's price: the invoice credits
    it.
    """

    name: str = "at-cost"
    markup: Money = ONE
    usd_per_call: Money = ZERO
    usd_per_million_tokens: Money = ZERO
    free_calls: Count = 0
    free_tokens: Count = 0
    volumes: tuple[Volume, ...] = ()

    @property
    def has_own_prices(self) -> bool:
        return bool(self.usd_per_call or self.usd_per_million_tokens)

    def price(self, cost: Charge, usage: Usage) -> Charge:
        """The tenant's price of one answer, before what its month may credit."""
        if self.has_own_prices:
            lines = [
                line_of("plan.calls", ONE, "call", self.usd_per_call),
                line_of(
                    "plan.tokens",
                    ratio(usage.prompt_tokens, TOKENS_PER_MILLION),
                    "million tokens",
                    self.usd_per_million_tokens,
                ),
            ]
        elif self.markup == ONE:
            return cost
        else:
            margin = line_of("plan.markup", cost.total, "USD", self.markup - ONE)
            lines = [*cost.lines, margin]
        return msgspec.structs.replace(
            cost, lines=tuple(lines), total=total(line.amount for line in lines)
        )


AT_COST = Plan()
