"""How an answer tells what it used and costs: in its body, and in its headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from farthing.billing.caps import capped
from farthing.billing.stages import stages_of
from farthing.money import plain
from farthing.usage import NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farthing.billing.leases import Hold
    from farthing.billing.meter import Charge
    from farthing.billing.plans import Plan
    from farthing.serving.envelope import Accepted, Envelope
    from farthing.usage import CacheState, Usage


def bounded(
    price: Charge, plan: Plan, accepted: Accepted | None, hold: Hold | None
) -> tuple[Charge, int | None]:
    """The price, at most what was quoted and what the budget covers; and that bound, in pico-USD,
    where it took something off.
    """
    full, bounds = price, []
    if accepted is not None and accepted.price_max_pico is not None:
        bounds.append(accepted.price_max_pico)
        price = capped(full, bounds[0], plan.cap_rule)
    covered_pico = None if hold is None else hold.settle(price.total)
    if covered_pico is not None:
        bounds.append(covered_pico)
    if not bounds:
        return full, None
    price = capped(full, min(bounds), plan.cap_rule)
    return price, None if price is full else min(bounds)


def price_headers(envelope: Envelope, price: Charge, tokens: int) -> dict[str, str]:
    """The price in our own dialect and in the one that LiteLLM reads from any upstream."""
    amount = plain(price.total)
    return {
        "X-Request-Id": envelope.request_id,
        "X-Farthing-Cost-USD": amount,
        "X-Litellm-Response-Cost": amount,
        "X-Litellm-Total-Tokens": str(tokens),
    }


def told_stages(
    price: Charge, usage: Usage, billed_ns: int, stages_ns: Mapping[str, int], elapsed_ns: int
) -> list[dict[str, object]]:
    """The `stages` of a charge; see `farthing.billing.stages`."""
    stages = stages_of(price, usage, billed_ns, stages_ns, elapsed_ns)
    return [stage.as_json() for stage in stages]


def server_timing(
    prepare_ns: int, compute_ns: int, stages_ns: Mapping[str, int] | None, cache: CacheState
) -> str:
    """The value of `Server-Timing`: milliseconds of each part; stages are parts of computing.

    Where there is a cache, whether it answered all is told beside them.
    """
    parts_ns = {"prepare": prepare_ns, "compute": compute_ns, **(stages_ns or {})}
    timings = [f"{name};dur={ns / NS_PER_MS:.3f}" for name, ns in parts_ns.items()]
    if cache != "off":
        timings.append(f"cache;desc={cache}")
    return ", ".join(timings)


def in_headers(usage: dict[str, object], charge: dict[str, object]) -> dict[str, str]:
    """Usage and charge as JSON in headers, for an answer whose shape has no room for them."""
    return {
        "X-Farthing-Usage": msgspec.json.encode(usage).decode(),
        "X-Farthing-Charge": msgspec.json.encode(charge).decode(),
    }
