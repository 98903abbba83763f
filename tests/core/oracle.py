"""What a provider bills and what tenants owe, in whole numbers, from the price pages alone.

Nothing of the package is used here. All amounts of money are integers of one UNIT:
1e-24 USD / (1024 * 1e12), so small that every rate below, every share of a GB (1024 MB), of a
second (1e9 ns) and of a vCPU (1000) and every term of a plan (9 decimals) is whole.
"""

from __future__ import annotations

from typing import Any

FEMTO_PER_USD = 10**15
TERM = 10**9
# One femtodollar (1e-15 USD) in UNITs.
FEMTO = TERM * 1024 * 10**12
USD = FEMTO_PER_USD * FEMTO
CENT = USD // 100

# Femtodollars. https://aws.amazon.com/lambda/pricing, us-east-1 and where it says so ap-east-1.
REQUEST = {"us-east-1": 200_000_000, "ap-east-1": 280_000_000}
GB_S = {
    ("x86_64", "us-east-1"): [
        (6_000_000_000, 16_666_700_000),
        (15_000_000_000, 15_000_000_000),
        (None, 13_333_400_000),
    ],
    ("arm64", "us-east-1"): [
        (7_500_000_000, 13_333_400_000),
        (18_750_000_000, 12_000_100_000),
        (None, 10_666_700_000),
    ],
    ("x86_64", "ap-east-1"): [(None, 22_920_000_000)],
}
PROVISIONED_GB_S = {"x86_64": 9_722_200_000, "arm64": 7_777_800_000}
DISK_GB_S = 30_900_000
RESTORED_GB = 139_799_800_000
MANAGED_VCPU_S = {"c7g.xlarge": 11_579_861_111, "c7i.xlarge": 14_255_208_333}
MANAGED_HOUR = {"c7g.xlarge": 166_750_000_000_000, "c7i.xlarge": 205_275_000_000_000}
FREE_REQUESTS = 1_000_000
FREE_MB_NS = 400_000 * 1024 * 10**9
# Compute units: 75 per 10,000 calls, 1 per vCPU-s, 0.15 per GB-s, 0.05 per GB-s of disk.
CU_TIERS = [
    (100_000_000, 20_000_000_000),
    (500_000_000, 17_000_000_000),
    (None, 14_000_000_000),
]
# A compute unit in parts so small that a share of each quantity is whole.
CU = 10_000 * 1024 * 10**12
# 4 vCPU and 8 GB of a node, its hour divided as Fargate's prices are.
NODE_VCPU_S = {"c7i.xlarge": 10_163_729_660, "c7g.xlarge": 8_256_250_985}
NODE_GB_S = {"c7i.xlarge": 1_116_051_836, "c7g.xlarge": 906_596_730}


def whole_ms(ns: int) -> int:
    """Rounded up to the millisecond, in nanoseconds."""
    return (ns + 999_999) // 1_000_000 * 1_000_000


def served_and_idle(started: int, ended: int, calls: list[tuple[int, int]]) -> tuple[int, int]:
    """Nanoseconds of an instance's life with somebody present, and without."""
    served, until = 0, started
    for begin, end in sorted(calls):
        if end > until:
            served += end - max(begin, until)
            until = end
    return served, ended - started - served


def monthly_bill(instances: list[dict[str, Any]], months: int, hours: dict[str, int]) -> int:
    """UNITs on the providers' bills when this happened so many times in one month.

    `hours` are the Managed Instances that were rented, by kind.
    """
    return _rounded(_lambda(instances, months, hours)) + _rounded(_fc(instances, months))


def measured(instances: list[dict[str, Any]]) -> int:
    """UNITs that the same costs in the first tier, with nothing free and nothing rented whole."""
    amount = 0
    for one in instances:
        amount += _others(one)
        if one["kind"] == "fc":
            amount += _cu(one) * CU_TIERS[0][1] * (FEMTO // CU)
        if one["kind"] in ("on-demand", "snap-start"):
            rate = GB_S[one["arch"], one["region"]][0][1]
            amount += _mb_ns(one) * rate * (FEMTO // (1024 * 10**9))
            amount += len(one["calls"]) * REQUEST[one["region"]] * FEMTO
        if one["kind"] == "managed":
            served, idle = served_and_idle(one["started"], one["ended"], _spans(one))
            rate = MANAGED_VCPU_S[one["node"]]
            amount += (served + idle) * one["vcpu_milli"] * rate * (FEMTO // 10**12)
    return amount


def _lambda(instances: list[dict[str, Any]], months: int, hours: dict[str, int]) -> int:
    amount = sum(_others(one) for one in instances) * months
    requests: dict[str, int] = {}
    mb_ns: dict[tuple[str, str], int] = {}
    for one in instances:
        if one["kind"] in ("on-demand", "snap-start"):
            region, place = one["region"], (one["arch"], one["region"])
            requests[region] = requests.get(region, 0) + len(one["calls"]) * months
            mb_ns[place] = mb_ns.get(place, 0) + _mb_ns(one) * months
        if one["kind"] == "managed" and one["node"] not in hours:
            served, idle = served_and_idle(one["started"], one["ended"], _spans(one))
            vcpu = (served + idle) * one["vcpu_milli"] * months
            amount += vcpu * MANAGED_VCPU_S[one["node"]] * (FEMTO // 10**12)
    free = _proportional(FREE_REQUESTS, list(requests.values()))
    for (region, count), given in zip(requests.items(), free, strict=True):
        amount += (count - given) * REQUEST[region] * FEMTO
    free = _proportional(FREE_MB_NS, list(mb_ns.values()))
    for (place, used), given in zip(mb_ns.items(), free, strict=True):
        amount += _tiered(used - given, GB_S[place], 1024 * 10**9)
    for node, rented in hours.items():
        amount += rented * MANAGED_HOUR[node] * FEMTO
    return amount


def _fc(instances: list[dict[str, Any]], months: int) -> int:
    units = sum(_cu(one) for one in instances if one["kind"] == "fc")
    return _tiered(units * months, CU_TIERS, CU)


def _others(one: dict[str, Any]) -> int:
    """What has neither tier nor free tier: storage, restores, provisioned time, nodes."""
    amount = 0
    served, idle = served_and_idle(one["started"], one["ended"], _spans(one))
    if one["kind"] == "knative":
        vcpu = (served + idle) * one["vcpu_milli"] * NODE_VCPU_S[one["node"]]
        memory = (served + idle) * one["memory_mb"] * NODE_GB_S[one["node"]]
        return vcpu * (FEMTO // 10**12) + memory * (FEMTO // (1024 * 10**9))
    if one["kind"] in ("managed", "provisioned"):
        amount += len(one["calls"]) * REQUEST[one["region"]] * FEMTO
    if one["kind"] == "provisioned":
        amount += _mb_ns(one) * PROVISIONED_GB_S[one["arch"]] * (FEMTO // (1024 * 10**9))
    if one["kind"] in ("on-demand", "snap-start", "provisioned"):
        extra_mb = max(0, one["disk_mb"] - 512)
        amount += _billed_ns(one) * extra_mb * DISK_GB_S * (FEMTO // (1024 * 10**9))
    if one["kind"] == "snap-start":
        restored_mb = sum(call["restored"] for call in one["calls"]) * one["memory_mb"]
        amount += restored_mb * RESTORED_GB * (FEMTO // 1024)
    return amount


def _cu(one: dict[str, Any]) -> int:
    """Compute units, in parts of `CU`."""
    if one["concurrency"] == 1:
        served = _billed_ns(one)
        alone, idle = served_and_idle(one["started"], one["ended"], _spans(one))
        assert alone <= served
    else:
        served, idle = served_and_idle(one["started"], one["ended"], _spans(one))
    kept = served + (idle if one["is_kept"] else 0)
    extra_mb = max(0, one["disk_mb"] - 512)
    return (
        len(one["calls"]) * 75 * CU // 10_000
        + served * one["vcpu_milli"] * (CU // 10**12)
        + kept * one["memory_mb"] * 15 * (CU // (100 * 1024 * 10**9))
        + kept * extra_mb * 5 * (CU // (100 * 1024 * 10**9))
    )


def _billed_ns(one: dict[str, Any]) -> int:
    """Each call rounded up for itself; init is billed where nothing was kept ready."""
    has_init = one["kind"] == "on-demand"
    return sum(
        whole_ms(call["left"] - call["entered"] + (call["init_ns"] if has_init else 0))
        for call in one["calls"]
    )


def _mb_ns(one: dict[str, Any]) -> int:
    return _billed_ns(one) * int(one["memory_mb"])


def _spans(one: dict[str, Any]) -> list[tuple[int, int]]:
    return [(call["entered"], call["left"]) for call in one["calls"]]


def _tiered(used: int, tiers: list[Any], parts: int) -> int:
    """UNITs for `used` of `1 / parts` each, tier by tier."""
    amount, below = 0, 0
    for up_to, rate in tiers:
        top = used if up_to is None else min(used, up_to * parts)
        if top > below:
            amount += (top - below) * rate * (FEMTO // parts)
            below = top
    return amount


def _proportional(allowance: int, used: list[int]) -> list[int]:
    """Largest remainders, first come first served among equals."""
    whole, given = sum(used), min(allowance, sum(used))
    if not whole:
        return [0] * len(used)
    floors = [given * one // whole for one in used]
    remainders = [given * one % whole for one in used]
    order = sorted(range(len(used)), key=lambda index: (-remainders[index], index))
    for index in order[: given - sum(floors)]:
        floors[index] += 1
    return floors


def _rounded(amount: int) -> int:
    """To the cent, halves up."""
    return (amount + CENT // 2) // CENT * CENT


def told_price(
    cost: int, tokens: int, cached: int, plan: dict[str, int], cap_pico: int | None
) -> int:
    """UNITs that one answer says it costs; a plan's terms are in billionths (of a dollar, of 1).

    `cached` are those of the tokens that the cache answered.
    """
    if plan["call_nano"] or plan["million_tokens_nano"]:
        nano = plan["million_tokens_nano"]
        price = plan["call_nano"] * (USD // 10**9)
        price += (tokens - cached) * nano * (USD // 10**15)
        price += cached * nano * plan["cached_nano"] * (USD // 10**24)
    else:
        assert cost % TERM == 0
        price = cost // TERM * plan["markup_nano"]
    return price if cap_pico is None else min(price, cap_pico * (USD // 10**12))


def credit(sold: list[tuple[int, int, int, bool]], plan: dict[str, Any]) -> int:
    """UNITs that a month gives back for its sold answers, in order: (price, tokens, those of them
    that the cache answered, capped). An answer's cached tokens come after its others.
    """
    given, counted, free_left = 0, 0, plan["free_tokens"]
    for index, (price, tokens, cached, capped) in enumerate(sold):
        first, counted = counted, counted + tokens
        if index < plan["free_calls"]:
            given += price
            continue
        if capped:
            continue
        for position in range(first, counted):
            share_nano = 10**9 if position < counted - cached else plan["cached_nano"]
            token = plan["million_tokens_nano"] * share_nano
            if free_left:
                free_left -= 1
                given += token * (USD // 10**24)
                continue
            discounts = [nano_of for over, nano_of in plan["volumes"] if position >= over]
            if discounts:
                given += token * discounts[-1] * (USD // 10**33)
    return given
