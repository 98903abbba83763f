"""A cache plan: what answers would be found again, what that saves, and what keeping them costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from farthing.errors import PriceMissing
from farthing.money import EXACT, total
from farthing.planning.caching.calls import instances_of

# Resolved at run time by msgspec, which reads the annotations.
from farthing.planning.caching.choice import US_PER_MS, Choice
from farthing.planning.caching.replay import Hits, Kept, replay
from farthing.planning.caching.stores import GB_BYTES, LEFT_OUT, Asked, stores
from farthing.planning.traffic import DAYS_PER_YEAR, US_PER_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from farthing.planning.caching.calls import KeyedCalls
    from farthing.planning.caching.stores import Store
    from farthing.planning.warmth.sites import Site

VCPU = 1000
MB_BYTES = 1_000_000
MILLION = 1_000_000
OFF, MEMORY = "off", "memory"
NOT_COVERED = (
    "the network between a function and a cache: a VPC's NAT gateway where it needs one",
    "answers that several calls wait for together, which are computed once",
)


class CachePlan(msgspec.Struct, frozen=True, kw_only=True):
    """`choices` are off, memory, and each store in front of which memory is."""

    platform: str
    memory_mb: int
    arch: str
    ttl_s: int
    calls_month: int
    choices: tuple[Choice, ...]
    left_out: tuple[tuple[str, str], ...]
    says: tuple[str, ...]
    assumptions: tuple[dict[str, str], ...]
    price_book: str
    region: str

    @property
    def best(self) -> Choice:
        """The cheapest; of those the fastest, and of those the simplest."""
        return min(self.choices, key=lambda choice: (choice.usd_month, choice.ms))

    @property
    def sentence(self) -> str:
        off, memory, *remote = self.choices
        best = self.best
        saved = EXACT.subtract(off.usd_month, best.usd_month)
        if best is off:
            return "Leave the cache off: it would answer none of these calls, or cost more."
        said = (
            f"Set FARTHING_CACHE={best.cache}: it answers {best.local + best.remote:.1%} of the "
            f"calls, which take {best.ms:,.2f} ms on average instead of {off.ms:,.2f}, and saves "
            f"{saved:,.4f} USD of {off.usd_month:,.4f} a month, "
            f"{float(saved) / (best.local + best.remote) / self.calls_month * MILLION:,.3f} USD "
            "a million answers"
        )
        if best is not memory or not remote:
            return f"{said}."
        near = min(remote, key=lambda choice: choice.usd_month)
        more = EXACT.subtract(near.usd_month, memory.usd_month)
        pays = [choice.pays_from for choice in remote if choice.pays_from]
        when = f"from {min(pays):,.0f} calls a day" if pays else "at no number of calls"
        return (
            f"{said}; the cheapest cache beside the process ({near.name}) costs {more:,.4f} USD a "
            f"month more than it saves, and any pays {when} like these."
        )

    def as_json(self) -> dict[str, object]:
        """The object that `farthing cache plan --json` prints."""
        return {
            "platform": self.platform,
            "memory_mb": self.memory_mb,
            "arch": self.arch,
            "ttl_s": self.ttl_s,
            "calls_month": self.calls_month,
            "currency": "USD",
            "basis": "quoted",
            "price_book": self.price_book,
            "region": self.region,
            "recommended": self.best.cache,
            "sentence": self.sentence,
            "choices": [choice.as_json() for choice in self.choices],
            "left_out": [{"choice": name, "reason": why} for name, why in self.left_out],
            "traffic": list(self.says),
            "assumptions": list(self.assumptions),
            "not_covered": list(NOT_COVERED),
        }


def plan_cache(
    calls: KeyedCalls,
    site: Site,
    *,
    ttl_s: int,
    local_mb: int,
    entry_bytes: str,
    progress: Callable[[int], None] = lambda _done: None,
) -> CachePlan:
    """What each cache would have answered of the calls, and costs.

    `entry_bytes` names the assumption on an entry's size. Raises `PriceMissing` where the
    computing has no price; a store without one is left out.
    """
    assumptions = site.assumptions
    each_bytes = int(assumptions.number(entry_bytes))
    local_max = max(1, local_mb * MB_BYTES // each_bytes)
    instances = instances_of(calls.arrivals_us, site.service_us, site.keep_us)
    known: dict[int | None, Hits] = {}

    def hits_with(remote_max: int | None) -> Hits:
        # 0 is no remote cache. One that can hold all that differs is as good as one without bound.
        bound = None if remote_max is None or remote_max >= calls.distinct else remote_max
        if bound not in known:
            kept = Kept(bound, ttl_s * US_PER_S) if bound != 0 else None
            known[bound] = replay(
                calls.arrivals_us, calls.keys, instances, ttl_s * US_PER_S, local_max, kept
            )
            progress(len(known))
        return known[bound]

    hit_ms = assumptions.number("cache.hit-ms")
    hit_us = int(hit_ms * US_PER_MS * VCPU / min(site.vcpu_milli, VCPU))
    nothing = Hits(len(calls.keys), 0, 0, 0)
    off = _choice("off", OFF, site, calls, nothing, hit_us, 0)
    memory = _choice(f"memory, {local_mb} MB each", MEMORY, site, calls, hits_with(0), hit_us, 0)
    choices, left_out = [off, memory], [LEFT_OUT]
    for store in stores(assumptions):
        bound = None if store.bound_gb is None else int(store.bound_gb * GB_BYTES / each_bytes)
        try:
            made = _beside(store, site, calls, hits_with(bound), hit_us, each_bytes, memory)
        except PriceMissing as error:
            left_out.append((store.title, str(error).partition(". ")[0].partition("; ")[0]))
            continue
        twin = next(
            (it for it in choices if it == msgspec.structs.replace(made, name=it.name)), None
        )
        if twin is None:
            choices.append(made)
        else:
            left_out.append((store.title, f"{twin.name} would hold all that is kept"))
    used = (*site.assumed[:1], "cache.hit-ms", entry_bytes)
    names = dict.fromkeys((*used, *(name for choice in choices for name in choice.assumptions)))
    return CachePlan(
        platform=site.title,
        memory_mb=site.memory_mb,
        arch=site.arch,
        ttl_s=ttl_s,
        calls_month=calls.calls_month,
        choices=tuple(choices),
        left_out=tuple(left_out),
        says=calls.says,
        assumptions=tuple(
            {"name": name, "says": one.says, "source": one.source}
            for name in names
            for one in (assumptions[name],)
        ),
        price_book=site.rates.book.version,
        region=site.rates.region,
    )


def _choice(
    name: str, cache: str, site: Site, calls: KeyedCalls, hits: Hits, hit_us: int, wait_us: int
) -> Choice:
    local, remote = calls.month(hits.local), calls.month(hits.remote)
    missed = calls.calls_month - local - remote
    parts = (
        (local, hit_us),
        (remote, hit_us + wait_us),
        (missed, site.service_us + wait_us),
    )
    whole_us = sum(count * each_us for count, each_us in parts)
    return Choice(
        name=name,
        cache=cache,
        local=hits.local / hits.calls,
        remote=hits.remote / hits.calls,
        ms=whole_us / calls.calls_month / US_PER_MS,
        computing=tuple(site.computing(parts)),
    )


def _beside(
    store: Store,
    site: Site,
    calls: KeyedCalls,
    hits: Hits,
    hit_us: int,
    each_bytes: int,
    memory: Choice,
) -> Choice:
    """The store behind the process's own cache."""
    wait_us = int(site.assumptions.number(store.wait) * US_PER_MS)
    choice = _choice(store.title, store.cache, site, calls, hits, hit_us, wait_us)
    found = calls.month(hits.remote)
    missed = calls.calls_month - calls.month(hits.local) - found
    asked = Asked(found, missed, hits.entries, each_bytes)
    standing = store.standing(asked, site.rates)
    by_calls = store.by_calls(asked, site.rates)
    fixed = float(total(line.amount for line in standing))
    asking = total(line.amount for line in by_calls)
    saved = float(EXACT.subtract(EXACT.subtract(memory.usd_month, choice.computing_usd), asking))
    pays_from = None
    if saved > 0:
        a_day = calls.calls_month * 12 / DAYS_PER_YEAR
        pays_from = max(1.0, fixed / saved * a_day)
    return msgspec.structs.replace(
        choice,
        store=(*standing, *by_calls),
        pays_from=pays_from,
        assumptions=store.assumed,
    )
