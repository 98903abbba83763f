"""Plans: what a tenant pays for what it used, told on the answer and summed into its invoice."""

from __future__ import annotations

from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from farthing.billing.meter import line_of
from farthing.errors import SettingsError
from farthing.money import EXACT, ZERO, multiply, ratio, total

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farthing.billing.meter import Charge, Line
    from farthing.usage import Usage

ONE = Decimal(1)
HALF = Decimal("0.5")
TENTH = Decimal("0.1")
TOKENS_PER_MILLION = 1_000_000
ID_HEX = 8
# What 60 digits hold with a month's usage beside it; nobody asks for more by intention.
TERM_MAX = 1_000_000
TERM_DECIMALS_MAX = 9
COUNT_MAX = 10**15
Count = Annotated[int, msgspec.Meta(ge=0, le=COUNT_MAX)]


class Volume(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From this many tokens of a month on, tokens beyond are discounted by this share of 1."""

    over_tokens: Count
    discount: Decimal


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """At cost by default: the provider's lines times `markup`.

    With `usd_per_call` or `usd_per_million_tokens` the plan has prices of its own, which no
    neighbour and no slow machine can change, and `markup` must stay 1. What depends on the month
    (`free_calls`, `free_tokens`, `volumes`) is no part of an answer's price: the invoice credits
    it. Only tokens that have a price can be free or discounted.

    Tokens that the cache answered (`Usage.cached_tokens`) are sold at `cached` of a token's price;
    where tokens have none, an answer's cost is its price as ever. They count in the month as any
    token does, and are credited at what they were sold for. To answers without them the term means
    nothing, so older plans have it too, under their old ids.

    A call that may wait (`"priority": "low"`) is sold under `low()`: at `low_priority` of the price
    that it would have at once, whatever the plan, at cost too: what its cost is beyond that, the
    house bears, for a machine that has something to do between other calls. Set it to 1 to give
    nothing off. Such calls and tokens count in the same month as the others, and are credited at
    what they were sold for.

    Raises `SettingsError` naming the plan and the field that cannot be meant.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}\Z")] = "at-cost"
    markup: Decimal = ONE
    usd_per_call: Decimal = ZERO
    usd_per_million_tokens: Decimal = ZERO
    free_calls: Count = 0
    free_tokens: Count = 0
    volumes: tuple[Volume, ...] = ()
    cached: Decimal = TENTH
    low_priority: Decimal = HALF
    is_low: bool = False

    def __post_init__(self) -> None:
        for field in ("markup", "usd_per_call", "usd_per_million_tokens"):
            self._check(field, getattr(self, field), TERM_MAX)
        for field in ("cached", "low_priority"):
            self._check(field, getattr(self, field), 1)
        if not self.low_priority:
            self._refuse("low_priority", "is 0, which would give away what is asked to wait")
        for volume in self.volumes:
            self._check("volumes.discount", volume.discount, 1)
        over = [volume.over_tokens for volume in self.volumes]
        if over != sorted(set(over)):
            self._refuse("volumes.over_tokens", "does not rise from one volume to the next")
        if self.has_own_prices and self.markup != ONE:
            self._refuse("markup", "is beside prices of the plan's own; it must be 1 there")
        about_tokens = {
            "free_tokens": self.free_tokens,
            "volumes": self.volumes,
            "cached": self.cached != TENTH,
        }
        for field, is_set in about_tokens.items():
            if is_set and not self.usd_per_million_tokens:
                self._refuse(field, "is about tokens, which usd_per_million_tokens gives no price")

    @property
    def has_own_prices(self) -> bool:
        return bool(self.usd_per_call or self.usd_per_million_tokens)

    @property
    def usd_per_million_cached(self) -> Decimal:
        """The price of a million tokens that the cache answers at once."""
        return multiply(self.usd_per_million_tokens, self.cached)

    def sold(self, rate: Decimal) -> Decimal:
        """What a price comes to, which is what is given back for what is free."""
        return multiply(rate, self.low_priority) if self.is_low else rate

    @property
    def cap_rule(self) -> str:
        """Why an answer of this plan may be sold for less than its lines come to."""
        return "quote.cap" if self.is_low else "budget.cap"

    def low(self) -> Plan:
        """The terms of calls that may wait."""
        return msgspec.structs.replace(self, is_low=True)

    def price(self, cost: Charge, usage: Usage) -> Charge:
        """The tenant's price of one answer, before what its month may credit."""
        lines = self.lines(cost.lines, 1, usage.prompt_tokens, usage.cached_tokens)
        if lines is cost.lines:
            return cost
        summed = total(line.amount for line in lines)
        return msgspec.structs.replace(cost, lines=lines, total=summed)

    def lines(
        self, cost: tuple[Line, ...], calls: int, tokens: int, cached_tokens: int = 0
    ) -> tuple[Line, ...]:
        """The price of so many answers that cost so much: that of a sum is the sum of prices.

        `cached_tokens` are those of the `tokens` that the cache answered.
        """
        lines = self._lines(cost, calls, tokens, cached_tokens)
        if not self.is_low:
            return lines
        at_once = total(line.amount for line in lines)
        off = EXACT.subtract(self.low_priority, ONE)
        return (*lines, line_of("plan.low_priority", at_once, "USD", off))

    def _lines(
        self, cost: tuple[Line, ...], calls: int, tokens: int, cached_tokens: int
    ) -> tuple[Line, ...]:
        """The price of answers that are given at once."""
        if not self.has_own_prices:
            if self.markup == ONE:
                return cost
            margin = EXACT.subtract(self.markup, ONE)
            costed = total(line.amount for line in cost)
            return (*cost, line_of("plan.markup", costed, "USD", margin))
        lines = []
        if self.usd_per_call:
            lines.append(line_of("plan.calls", Decimal(calls), "call", self.usd_per_call))
        rate = self.usd_per_million_tokens
        if rate and (tokens > cached_tokens or not cached_tokens):
            lines.append(token_line("plan.tokens", tokens - cached_tokens, rate))
        if rate and cached_tokens:
            cached_rate = self.usd_per_million_cached
            lines.append(token_line("plan.cached_tokens", cached_tokens, cached_rate))
        return tuple(lines)

    def _check(self, field: str, term: Decimal, most: int) -> None:
        if not term.is_finite() or not 0 <= term <= most:
            self._refuse(field, f"is not between 0 and {most}")
        if int(term.as_tuple().exponent) < -TERM_DECIMALS_MAX:
            self._refuse(field, f"has more than {TERM_DECIMALS_MAX} decimals")

    def _refuse(self, field: str, why: str) -> None:
        raise SettingsError(f"Plan {self.name}: {field} {why}. Correct it in FARTHING_PLANS.")


AT_COST = Plan()


def token_line(rule: str, tokens: int, usd_per_million: Decimal) -> Line:
    """A line about so many tokens."""
    return line_of(rule, ratio(tokens, TOKENS_PER_MILLION), "million tokens", usd_per_million)


def plan_id(plan: Plan) -> str:
    """`name@` and 8 hex digits of its terms' SHA-256: what entries keep, so that a changed plan
    does not change what was sold under the old one.

    At cost it is "", and `name.low@…` are the terms of calls that may wait. Terms at their default
    are left out: a term that plans learn later changes no older id.
    """
    if plan == AT_COST:
        return ""
    terms = {
        field.name: getattr(plan, field.name)
        for field in msgspec.structs.fields(plan)
        if getattr(plan, field.name) != field.default
    }
    canonical = msgspec.json.encode(terms, order="sorted")
    name = f"{plan.name}.low" if plan.is_low else plan.name
    return f"{name}@{sha256(canonical).hexdigest()[:ID_HEX]}"


def known_plans(plans: Mapping[str, Plan]) -> dict[str, Plan]:
    """Every id that an entry may name: at cost, the plans that were read, and those of calls that
    may wait.
    """
    normal = {"": AT_COST, **plans}
    return normal | {plan_id(plan.low()): plan.low() for plan in normal.values()}


def read_plans(text_or_path: str) -> dict[str, Plan]:
    """Plans by id, in the order they are written: a JSON array, or the path of a file with one.

    A name may come again with other terms: the last of a name is current, all are known.
    Raises `SettingsError` where it is no such array.
    """
    if not text_or_path.strip():
        return {}
    if text_or_path.lstrip().startswith(("[", "{")):
        raw = text_or_path.encode()
    else:
        try:
            raw = Path(text_or_path).expanduser().read_bytes()
        except OSError as error:
            raise SettingsError(
                f"FARTHING_PLANS names a file that cannot be read ({error.strerror}). Give the "
                "path of a JSON file, or the JSON array itself."
            ) from None
    try:
        plans = [_read(one) for one in msgspec.json.decode(raw, type=list[msgspec.Raw])]
    except msgspec.DecodeError as error:
        raise SettingsError(
            f"FARTHING_PLANS is no JSON array of plans: {error}. Correct it there."
        ) from None
    return {plan_id(plan): plan for plan in plans}


def _read(raw: msgspec.Raw) -> Plan:
    try:
        plan = msgspec.json.decode(raw, type=Plan)
    except msgspec.ValidationError as error:
        said = msgspec.json.decode(raw)
        name = said.get("name", AT_COST.name) if isinstance(said, dict) else "?"
        raise SettingsError(f"Plan {name}: {error}. Correct it in FARTHING_PLANS.") from None
    if plan.is_low:
        raise SettingsError(
            f"Plan {plan.name}: is_low is what Farthing sets itself. Leave it out of "
            "FARTHING_PLANS, and set low_priority to the share of 1 that such a call pays."
        )
    return plan


def current_plan(plans: Mapping[str, Plan], name: str) -> Plan:
    """The plan of that name as it is sold now. Raises `SettingsError` where there is none."""
    for plan in reversed(list(plans.values())):
        if plan.name == name:
            return plan
    if name == AT_COST.name:
        return AT_COST
    known = ", ".join(sorted({plan.name for plan in plans.values()} | {AT_COST.name}))
    raise SettingsError(
        f"There is no plan {name!r}; there are {known}. Name one of those, or add it to "
        "FARTHING_PLANS."
    )
