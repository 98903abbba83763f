"""What a plan gives back at the month's end: free calls, free tokens, discounts on volume."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from farthing.billing.meter import line_of
from farthing.billing.plans import MINUS_ONE, TOKENS_PER_MILLION
from farthing.money import EXACT, ZERO, multiply, ratio

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from farthing.billing.ledger import Entry
    from farthing.billing.meter import Line
    from farthing.billing.plans import Plan
    from farthing.billing.valuation import Valuer


class Credits:
    """One tenant's credits of one month; add its sold answers in the ledger's order.

    The first `free_calls` cost nothing. Of the others the first `free_tokens` cost no tokens; the
    month's tokens are counted with all of them, and those beyond a volume's bound are discounted.
    An answer that the budget capped takes part in the counting alone: its price is reduced
    already. A plan that changed within the month goes on counting where its name stood.
    """

    def __init__(self, valuer: Valuer) -> None:
        self._valuer = valuer
        self._calls: dict[str, int] = defaultdict(int)
        self._tokens: dict[str, int] = defaultdict(int)
        self._given_tokens: dict[str, int] = defaultdict(int)
        self._free_usd: dict[str, Decimal] = defaultdict(lambda: ZERO)
        self._free_tokens: dict[str, int] = defaultdict(int)
        self._volume_tokens: dict[tuple[str, int], int] = defaultdict(int)

    def add(self, entry: Entry) -> None:
        plan = self._valuer.plan(entry.plan)
        if not (plan.free_calls or plan.free_tokens or plan.volumes):
            return
        self._calls[plan.name] += 1
        before = self._tokens[plan.name]
        tokens = entry.usage.prompt_tokens
        self._tokens[plan.name] += tokens
        if self._calls[plan.name] <= plan.free_calls:
            price = self._valuer.value(entry).price
            self._free_usd[entry.plan] = EXACT.add(self._free_usd[entry.plan], price.total)
        elif entry.price_max_pico is None:
            self._add_tokens(entry.plan, plan, before, tokens)

    def _add_tokens(self, plan_id: str, plan: Plan, before: int, tokens: int) -> None:
        free = min(tokens, max(0, plan.free_tokens - self._given_tokens[plan.name]))
        if free:
            self._given_tokens[plan.name] += free
            self._free_tokens[plan_id] += free
        paid_from, paid_to = before + free, before + tokens
        bounds = [volume.over_tokens for volume in plan.volumes]
        for index, low in enumerate(bounds):
            high = bounds[index + 1] if index + 1 < len(bounds) else paid_to
            within = min(paid_to, high) - max(paid_from, low)
            if within > 0:
                self._volume_tokens[plan_id, index] += within

    def lines(self) -> Iterator[tuple[str, Line]]:
        """The plan's id and the credit, a line with a negative amount."""
        for plan_id, usd in self._free_usd.items():
            yield plan_id, line_of("plan.free_calls", usd, "USD", MINUS_ONE)
        for plan_id, tokens in self._free_tokens.items():
            yield plan_id, self._line("plan.free_tokens", plan_id, tokens, MINUS_ONE)
        for (plan_id, index), tokens in self._volume_tokens.items():
            discount = self._valuer.plan(plan_id).volumes[index].discount
            yield plan_id, self._line("plan.volume", plan_id, tokens, EXACT.minus(discount))

    def _line(self, rule: str, plan_id: str, tokens: int, share: Decimal) -> Line:
        rate = multiply(self._valuer.plan(plan_id).usd_per_million_tokens, share)
        return line_of(rule, ratio(tokens, TOKENS_PER_MILLION), "million tokens", rate)
