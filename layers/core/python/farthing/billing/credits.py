"""What a plan gives back at the month's end: free calls, free tokens, discounts on volume."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from farthing.billing.caps import MINUS_ONE
from farthing.billing.meter import line_of
from farthing.billing.plans import ONE, token_line
from farthing.money import EXACT, ZERO, multiply

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
    Tokens that the cache answered are counted alike, after those of their answer that were
    computed, and each gives back what it was sold for: free tokens are worth less where the cache
    answered them, and no month is dearer with a cache than without.
    An answer that the budget capped takes part in the counting alone: its price is reduced
    already. A plan that changed within the month goes on counting where its name stood.
    """

    def __init__(self, valuer: Valuer) -> None:
        self._valuer = valuer
        self._calls: dict[str, int] = defaultdict(int)
        self._tokens: dict[str, int] = defaultdict(int)
        self._given_tokens: dict[str, int] = defaultdict(int)
        self._free_usd: dict[str, Decimal] = defaultdict(lambda: ZERO)
        # By the plan's id and whether the cache answered them; volumes by their index, too.
        self._free_tokens: dict[tuple[str, bool], int] = defaultdict(int)
        self._volume_tokens: dict[tuple[str, bool, int], int] = defaultdict(int)

    def add(self, entry: Entry) -> None:
        plan = self._valuer.plan(entry.plan)
        if not (plan.free_calls or plan.free_tokens or plan.volumes):
            return
        self._calls[plan.name] += 1
        usage, before = entry.usage, self._tokens[plan.name]
        self._tokens[plan.name] += usage.prompt_tokens
        if self._calls[plan.name] <= plan.free_calls:
            price = self._valuer.value(entry).price
            self._free_usd[entry.plan] = EXACT.add(self._free_usd[entry.plan], price.total)
        elif entry.price_max_pico is None:
            computed = usage.prompt_tokens - usage.cached_tokens
            self._add_tokens(entry.plan, plan, before, computed, is_cached=False)
            before += computed
            self._add_tokens(entry.plan, plan, before, usage.cached_tokens, is_cached=True)

    def _add_tokens(
        self, plan_id: str, plan: Plan, before: int, tokens: int, *, is_cached: bool
    ) -> None:
        free = min(tokens, max(0, plan.free_tokens - self._given_tokens[plan.name]))
        if free:
            self._given_tokens[plan.name] += free
            self._free_tokens[plan_id, is_cached] += free
        paid_from, paid_to = before + free, before + tokens
        bounds = [volume.over_tokens for volume in plan.volumes]
        for index, low in enumerate(bounds):
            high = bounds[index + 1] if index + 1 < len(bounds) else paid_to
            within = min(paid_to, high) - max(paid_from, low)
            if within > 0:
                self._volume_tokens[plan_id, is_cached, index] += within

    def lines(self) -> Iterator[tuple[str, Line]]:
        """The plan's id and the credit, a line with a negative amount."""
        for plan_id, usd in self._free_usd.items():
            yield plan_id, line_of("plan.free_calls", usd, "USD", MINUS_ONE)
        for (plan_id, is_cached), tokens in self._free_tokens.items():
            rate = self._rate(plan_id, ONE, is_cached=is_cached)
            yield plan_id, token_line("plan.free_tokens", tokens, rate)
        for (plan_id, is_cached, index), tokens in self._volume_tokens.items():
            discount = self._valuer.plan(plan_id).volumes[index].discount
            rate = self._rate(plan_id, discount, is_cached=is_cached)
            yield plan_id, token_line("plan.volume", tokens, rate)

    def _rate(self, plan_id: str, share: Decimal, *, is_cached: bool) -> Decimal:
        """What gives back this share of the price at which a million such tokens were sold."""
        plan = self._valuer.plan(plan_id)
        rate = plan.usd_per_million_cached if is_cached else plan.usd_per_million_tokens
        return EXACT.minus(multiply(plan.sold(rate), share))
