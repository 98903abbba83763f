"""One answer's charge, told stage by stage: what each part of the work took and cost."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from farthing.money import EXACT, plain, split, total
from farthing.usage import NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from farthing.billing.meter import Charge
    from farthing.usage import Usage

# What is paid for being called at all, whatever the call then does.
REQUEST = "request"
# Reading, pricing, the runtime around it, rounding up to whole milliseconds; a start, where billed.
OTHER = "other"
CALL_RULES = frozenset({"lambda.requests", "fc.invocation", "plan.calls"})
# Lines on the sum of all others, which are no stage's own.
ADJUSTING_RULES = frozenset({"plan.markup", "plan.low_priority", "budget.cap", "quote.cap"})
# Amounts are split in femtodollars where the charge itself is coarser.
DECIMALS_MIN = 15


class Stage(msgspec.Struct, frozen=True):
    """A part of the work: `amount` in US dollars; the amounts of all add up to the charge."""

    name: str
    busy_ns: int
    amount: Decimal

    def as_json(self) -> dict[str, object]:
        return {
            "stage": self.name,
            "busy_ms": self.busy_ns / NS_PER_MS,
            "amount": plain(self.amount),
        }


def stages_of(
    price: Charge, usage: Usage, billed_ns: int, stages_ns: Mapping[str, int], elapsed_ns: int
) -> tuple[Stage, ...]:
    """`request`, each stage in its order, and `other`; nothing of time or money is left over.

    `stages_ns` are by the clock on the wall, of `elapsed_ns` in all; where calls shared the
    instance they shrink to this one's part of it. What is paid per call is `request`'s. The rest is
    by time: a stage has its part of the `billed_ns` that the provider bills, and `other` what
    remains of them. A mark-up, or a budget's end, weighs on all alike. Parts are made whole by
    largest remainders.
    """
    taken = list(stages_ns.values())
    around_ns = max(elapsed_ns, usage.busy_ns) - sum(taken)
    busy_ns = _split(usage.busy_ns, [*taken, around_ns])
    own_ns = sum(busy_ns[:-1])
    decimals = max([DECIMALS_MIN, *(_decimals(line.amount) for line in price.lines)])
    fee, rest = _fee_and_rest(price, decimals)
    by_time = _split(rest, [*busy_ns[:-1], max(0, billed_ns - own_ns)])
    return tuple(_named((REQUEST, *stages_ns, OTHER), (0, *busy_ns), (fee, *by_time), decimals))


def _fee_and_rest(price: Charge, decimals: int) -> tuple[int, int]:
    """The charge's total as whole units of so many decimals, in two parts."""
    own = [line for line in price.lines if line.rule not in ADJUSTING_RULES]
    fees = total(line.amount for line in own if line.rule in CALL_RULES)
    others = total(line.amount for line in own if line.rule not in CALL_RULES)
    weights = [int(EXACT.scaleb(amount, decimals)) for amount in (fees, others)]
    whole = int(EXACT.scaleb(price.total, decimals))
    fee, rest = _split(whole, weights)
    return fee, rest


def _split(quantity: int, weights: list[int]) -> list[int]:
    """Parts by largest remainders; where nothing weighs anything, the last has all."""
    return split(quantity, weights if any(weights) else [*weights[:-1], 1])


def _named(
    names: Sequence[str], busy_ns: Sequence[int], units: Sequence[int], decimals: int
) -> Iterator[Stage]:
    for name, taken_ns, amount in zip(names, busy_ns, units, strict=True):
        yield Stage(name, taken_ns, EXACT.scaleb(Decimal(amount), -decimals))


def _decimals(amount: Decimal) -> int:
    return -int(amount.as_tuple().exponent)
