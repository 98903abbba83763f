"""What a cache saves of a trace in which few texts are asked often, and what that is worth.

100,000 questions about 10,000 real titles, the n-th as often as 1/n (Zipf), through the whole
pipeline: without a cache, with one that has room for a tenth of the titles, and with one that has
room for all. The bounded one's hits are held against an ideal LRU of so many entries, simulated
here; the bills are those of the three ledgers, as on Lambda, as on Function Compute and by tokens.
"""

from __future__ import annotations

import random
import time
from collections import OrderedDict
from decimal import Decimal
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from farthing.billing.invoices import statement_of
from farthing.billing.ledger import Entry
from farthing.billing.periods import this_month
from farthing.billing.plans import AT_COST, Plan, plan_id
from farthing.billing.tariff import Tariff
from farthing.billing.valuation import Valuer
from farthing.money import total
from farthing.serving.cache.memory import MemoryStore
from farthing.serving.envelope import Envelope, deadline_after
from farthing.serving.service import Service
from farthing.settings import read_settings
from tests.bench.results import Result, at_least, at_most, compared, p50
from tests.bench.surroundings import bundles, data, read_rows, skip

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

CATALOGUE = "product-search/catalogue.tsv.gz"
FUNCTION = "classify"
TEXTS, QUERIES, SEED = 10_000, 100_000, 11
# What --quick leaves of both; so few questions leave more titles unasked.
QUICK_PART, QUICK_ROUNDS = 10, 3
BOUNDED_PART = 10
TENANT = "shop"
POINTS_OFF_MAX = 3
SAVED_MIN = 0.88
ROOMY_MB = 64
TIMEOUT_MS = 30_000
MILLION = 1_000_000
NS_PER_US = 1e3

BY_TOKENS = Plan(name="by-tokens", usd_per_million_tokens=Decimal("0.02"))
PLANS = {plan_id(BY_TOKENS): BY_TOKENS}
LAMBDA = Tariff("lambda", "us-east-1", "x86_64")
SALES = {
    "Lambda": (LAMBDA, AT_COST),
    # Its instances take several calls at once, whose shares are billed as they are.
    "Function Compute, shared": (Tariff("fc", "international", "x86_64", singly=False), AT_COST),
    "0.02 USD a million tokens": (LAMBDA, BY_TOKENS),
}


class Run(NamedTuple):
    """What a trace left: its entries, its answers and how long each took."""

    entries: list[Entry]
    answers: list[Hashable]
    taken_ns: list[int]

    @property
    def hits(self) -> float:
        return sum(one.usage.cache == "hit" for one in self.entries) / len(self.entries)

    @property
    def tokens_saved(self) -> float:
        cached = sum(one.usage.cached_tokens for one in self.entries)
        return cached / sum(one.usage.prompt_tokens for one in self.entries)

    @property
    def busy_ns(self) -> int:
        return sum(one.usage.busy_ns for one in self.entries)


class Kept:
    """A recorder that keeps entries at hand."""

    is_full = False

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def record(self, *, key: tuple[str, int] | None = None, **fields: Any) -> None:
        self.entries.append(Entry(writer="zipf", number=len(self.entries) + 1, **fields))

    def close(self) -> None:
        pass


def run(rounds: int) -> list[Result]:
    """The hits, what was saved, and the bills with and without a cache."""
    path = data(CATALOGUE)
    if path is None or not bundles(FUNCTION):
        skip("zipf", f"it needs a bundle to {FUNCTION} and FARTHING_DATA with {CATALOGUE}")
        return []
    part = QUICK_PART if rounds <= QUICK_ROUNDS else 1
    titles = _titles([row["title"] for row in read_rows(path)], TEXTS // part)
    trace = _trace(titles, QUERIES // part)
    room = len(titles) // BOUNDED_PART
    services = _service("off"), _service("memory"), _service("memory")
    services[-1].pipeline.cache._memory = MemoryStore(room * _entry_bytes())
    plain, roomy, bounded = _asked(trace, services)
    _check_same(plain, roomy)
    _check_same(plain, bounded)
    ideal = _ideal_hits(trace, room)
    hits_us, misses_us = (
        p50([ns / NS_PER_US for ns, one in _timed(roomy) if one.usage.cache == state])
        for state in ("hit", "miss")
    )
    return [
        compared("hits, room for a tenth, against an ideal LRU", bounded.hits, ideal, "of 1"),
        at_most("points between them", abs(bounded.hits - ideal) * 100, POINTS_OFF_MAX, "points"),
        at_least("tokens not computed, room for all", roomy.tokens_saved, SAVED_MIN, "of 1"),
        compared("busy time, room for all, against none", _s(roomy), _s(plain), "s"),
        compared("busy time, room for a tenth, against none", _s(bounded), _s(plain), "s"),
        compared("a hit against a miss, whole pipeline, p50", hits_us, misses_us, "µs"),
        *_bills({"room for all": roomy, "room for a tenth": bounded}, plain),
    ]


def _titles(catalogue: Sequence[str], count: int) -> list[str]:
    """So many titles that differ by more than case and spaces."""
    distinct = {" ".join(title.lower().split()): title for title in catalogue if title.strip()}
    return random.Random(SEED).sample(sorted(distinct.values()), count)


def _trace(titles: Sequence[str], count: int) -> list[str]:
    weights = list(accumulate(1 / rank for rank in range(1, len(titles) + 1)))
    return random.Random(SEED).choices(titles, cum_weights=weights, k=count)


def _service(cache: str) -> Any:
    """A pipeline of its own, with a recorder whose entries are at hand."""
    settings = read_settings(
        {}, memory_mb=1024, vcpu_milli=1000, threads=1, cache=cache, cache_max_mb=ROOMY_MB
    )
    service = Service((FUNCTION,), settings)
    service.warm_up()
    service.accounts.recorder = Kept()
    return service


def _entry_bytes() -> int:
    """What the cache takes one text's answer to be: all are as large."""
    service = _service("memory")
    _ask(service, 0, "a title")
    return int(service.pipeline.cache._memory.bytes_held)


def _asked(trace: Sequence[str], services: Sequence[Any]) -> list[Run]:
    """Every question to each service in turn, so that a busy moment is everyone's."""
    runs = [Run(service.accounts.recorder.entries, [], []) for service in services]
    for number, text in enumerate(trace):
        for run, service in zip(runs, services, strict=True):
            started_ns = time.perf_counter_ns()
            answer = _ask(service, number, text)
            run.taken_ns.append(time.perf_counter_ns() - started_ns)
            run.answers.append(hash(msgspec.json.encode(answer)))
    return runs


def _ask(service: Any, number: int, text: str) -> Any:
    """The answer without usage and charge. Raises `RuntimeError` where there is none."""
    body = msgspec.json.encode({"inputs": text})
    envelope = Envelope(f"q{number}", deadline_after(TIMEOUT_MS), TENANT)
    outcome = service.pipeline.invoke(service.contracts[0], body, envelope)
    if outcome.status != 200:
        raise RuntimeError(f"question {number} was answered {outcome.status}")
    return outcome.body["results"]


def _check_same(plain: Run, cached: Run) -> None:
    """Raises `RuntimeError` where the cache changed an answer or lost an entry."""
    if plain.answers != cached.answers:
        raise RuntimeError("an answer of the cache is another than the model's")
    if len(plain.entries) != len(cached.entries):
        raise RuntimeError("not every answer has its entry")


def _ideal_hits(trace: Sequence[str], room: int) -> float:
    """The share of questions that an LRU of so many entries answers."""
    kept: OrderedDict[str, None] = OrderedDict()
    hits = 0
    for text in trace:
        hits += text in kept
        kept[text] = None
        kept.move_to_end(text)
        if len(kept) > room:
            kept.popitem(last=False)
    return hits / len(trace)


def _timed(run: Run) -> zip[tuple[int, Entry]]:
    return zip(run.taken_ns, run.entries, strict=True)


def _s(run: Run) -> float:
    return run.busy_ns / 1e9


def _bills(runs: dict[str, Run], plain: Run) -> list[Result]:
    """USD a million questions, as each platform or plan bills them."""
    return [
        compared(
            f"bill, {sale}, {room}, against none",
            _bill(run, *terms) / len(run.entries) * MILLION,
            _bill(plain, *terms) / len(plain.entries) * MILLION,
            "USD a million",
        )
        for sale, terms in SALES.items()
        for room, run in runs.items()
    ]


def _bill(run: Run, tariff: Tariff, plan: Plan) -> float:
    """What the tenant owes for the run, which is what its answers told.

    Raises `RuntimeError` where invoice and answers differ by anything.
    """
    valuer = Valuer(PLANS)
    entries = [
        msgspec.structs.replace(one, tariff=tariff, plan=plan_id(plan)) for one in run.entries
    ]
    told = total(valuer.value(one).price.total for one in entries)
    owed = statement_of(TENANT, entries, valuer, this_month()).total
    if told != owed:
        raise RuntimeError(f"the answers told {told} USD and the invoice says {owed}")
    return float(owed)
