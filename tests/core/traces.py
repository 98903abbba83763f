"""Random traces: instances that serve tenants at once, through the real shared time.

Each trace is told twice: as the ledger's entries, and as bare facts for the oracle (when an
instance lived, when each call came and went).
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from farthing.billing.bases import load
from farthing.billing.invoices import Statement, statements_of, usage_of
from farthing.billing.ledger import Entry
from farthing.billing.meter import HOUSE
from farthing.billing.month import Tally, provider_bill
from farthing.billing.periods import read_month
from farthing.billing.plans import Plan, Volume, plan_id
from farthing.billing.shares import Share, SharedTime
from farthing.billing.standing import managed_instances
from farthing.billing.tariff import Tariff
from farthing.billing.valuation import Valuer
from farthing.money import ratio, total
from farthing.usage import Usage
from tests.core import oracle

if TYPE_CHECKING:
    import random

TENANTS = ("acme", "globex", "initech")
NANO = 10**9
MONTH = read_month("2026-11")
NODES = ("c7i.xlarge", "c7g.xlarge")
KINDS = (
    "on-demand", "provisioned", "snap-start", "managed", "fc", "fc", "knative", "on-demand",
)  # fmt: skip
INITIALIZATIONS = {
    "provisioned": "provisioned-concurrency",
    "managed": "lambda-managed-instances",
    "snap-start": "snap-start",
}


class Trace:
    """Some instances of one day, their entries, and the terms of their tenants."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.terms = {tenant: _terms(rng) for tenant in TENANTS}
        self.plans = {tenant: _plan(tenant, terms) for tenant, terms in self.terms.items()}
        self.instances: list[dict[str, Any]] = []
        self.told: list[tuple[Entry, dict[str, Any]]] = []
        self.names: list[tuple[str, str]] = []
        for number in range(rng.randint(1, 4)):
            self._live(f"w{number}")
        self.told.sort(key=lambda pair: (pair[0].at_ms, *pair[0].key))
        self.entries = [entry for entry, _ in self.told]

    def _live(self, writer: str) -> None:
        """One instance from start to stop."""
        rng, one = self.rng, _instance(self.rng)
        tariff, now, number = _tariff(one), rng.randint(0, 10**12), 0
        shared = SharedTime(lambda: now)
        one["started"], begun_ms = now, MONTH.since_ms + rng.randint(0, 80_000_000)
        present: list[tuple[Share, int]] = []

        def keep(kind: str, tenant: str, usage: Usage, name: tuple[str, str]) -> None:
            nonlocal number
            number += 1
            plan = self.plans.get(tenant)
            cap = rng.choice((None, None, None, 0, rng.randint(0, 10**9)))
            is_sold = kind == "answer"
            entry = Entry(
                writer=writer,
                number=number,
                function=name[0],
                request_id=name[1],
                at_ms=begun_ms + (now - one["started"]) // 1_000_000,
                tenant=tenant if is_sold else HOUSE,
                kind=kind,
                task=rng.choice(("classify", "embed")),
                plan=plan_id(plan) if plan and is_sold else "",
                price_max_pico=cap if is_sold else None,
                usage=usage,
                tariff=tariff,
            )
            self.told.append((entry, one))

        for step in range(rng.randint(1, 14) + 1):
            now += rng.randint(0, 10 ** rng.randint(0, 10))
            if len(present) < one["concurrency"] and rng.random() < 0.5:
                present.append((shared.enter(), now))
                present[-1][0].compute(rng.randint(0, 500)) if rng.random() < 0.8 else None
            elif present and rng.random() < 0.4:
                share = rng.choice(present)[0]
                share.wait() if rng.random() < 0.5 else share.compute(rng.randint(1, 500))
            elif present:
                share, entered = present.pop(rng.randrange(len(present)))
                self._leave(one, share, entered, now, keep, is_first=not one["calls"])
            elif one["is_kept"] and rng.random() < 0.3:
                keep(
                    "idle", HOUSE, _usage(one, 0, shared.take_idle_ns()), (one["name"], f"i{step}")
                )
        for share, entered in present:
            now += rng.randint(0, 10**9)
            self._leave(one, share, entered, now, keep, is_first=not one["calls"])
        now += rng.randint(0, 10**10)
        keep("idle", HOUSE, _usage(one, 0, shared.take_idle_ns()), (one["name"], "idle"))
        one["ended"] = now
        self.instances.append(one)

    def _leave(
        self,
        one: dict[str, Any],
        share: Share,
        entered: int,
        now: int,
        keep: Any,
        *,
        is_first: bool,
    ) -> None:
        rng = self.rng
        init_ns = rng.randint(1, 9 * 10**9) if is_first else 0
        restored = is_first and one["kind"] == "snap-start" and rng.random() < 0.7
        one["calls"].append(
            {"entered": entered, "left": now, "init_ns": init_ns, "restored": restored}
        )
        # A platform's retry has the name of the attempt before, and is the same tenant's.
        name = (one["name"], f"r{len(self.names)}")
        if self.names and rng.random() < 0.2:
            name = rng.choice(self.names)
        self.names.append(name)
        tenant = TENANTS[int(name[1][1:]) % len(TENANTS)]
        tokens = rng.randint(0, 700)
        cached = rng.choice((0, tokens, rng.randint(0, tokens)))
        usage = _usage(one, tokens, share.leave(), init_ns, restored, cached)
        keep("refusal" if rng.random() < 0.2 else "answer", tenant, usage, name)

    def check(self) -> None:
        """Asserts that all costs add up to the bill, and all prices to the invoices."""
        valuer = Valuer({plan_id(plan): plan for plan in self.plans.values()})
        valued = [valuer.value(entry) for entry in self.entries]
        cost = total(value.cost.total for value in valued)
        assert Fraction(cost) * oracle.USD == oracle.measured(self.instances)
        self._check_bill(valuer, cost)
        self._check_invoices(valuer)

    def _check_bill(self, valuer: Valuer, cost: Any) -> None:
        rng, months = self.rng, 10 ** self.rng.randint(0, 12)
        hours = {node: rng.randint(0, 5000) for node in NODES if rng.random() < 0.3}
        tally = Tally()
        for entry in self.entries:
            tally.add(entry.tariff, valuer.quantities(entry))
        summed = {tariff: parts.times(months) for tariff, parts in tally.months.items()}
        rented = [
            item
            for node, count in hours.items()
            for item in managed_instances(node, "us-east-1", ratio(count, 1))
        ]
        bill = provider_bill(summed, rented)
        assert Fraction(bill.measured) == Fraction(cost) * months
        assert Fraction(bill.total) * oracle.USD == oracle.monthly_bill(
            self.instances, months, hours
        )
        # Over tenants and house, and loaded upon the tenants alone, it is the same bill.
        usage = usage_of(self.entries, valuer, MONTH)
        booked = {tenant: total(row.cost for row in rows) for tenant, rows in usage.items()}
        house = Fraction(booked.pop(HOUSE)) * months + Fraction(bill.house)
        assert sum(map(Fraction, booked.values())) * months + house == Fraction(bill.total)
        if any(booked.values()):
            loaded = load(booked, idle := total(row.cost for row in usage[HOUSE]))
            assert total(one.loaded for one in loaded.values()) == total([*booked.values(), idle])

    def _check_invoices(self, valuer: Valuer) -> None:
        statements = statements_of(self.entries, valuer, MONTH)
        sold: dict[str, list[tuple[int, int, int, bool]]] = {tenant: [] for tenant in TENANTS}
        seen = set()
        told = Fraction(0)
        for entry, one in self.told:
            if entry.kind != "answer" or (entry.function, entry.request_id) in seen:
                continue
            seen.add((entry.function, entry.request_id))
            told += Fraction(valuer.value(entry).price.total)
            usage, terms = entry.usage, self.terms[entry.tenant]
            alone = {
                **one,
                "started": 0,
                "ended": usage.busy_ns,
                "calls": [
                    {
                        "entered": 0,
                        "left": usage.busy_ns,
                        "init_ns": usage.init_ns,
                        "restored": usage.restored,
                    }
                ],
            }
            cap = entry.price_max_pico
            tokens, cached = usage.prompt_tokens, usage.cached_tokens
            price = oracle.told_price(oracle.measured([alone]), tokens, cached, terms, cap)
            sold[entry.tenant].append((price, tokens, cached, cap is not None))
        owed = {tenant: sum(one[0] for one in ones) for tenant, ones in sold.items()}
        assert told * oracle.USD == sum(owed.values())
        for tenant, ones in sold.items():
            owed[tenant] -= oracle.credit(ones, self.terms[tenant])
            statement = statements.get(tenant)
            invoiced = Fraction(statement.total) if statement else Fraction(0)
            assert invoiced * oracle.USD == owed[tenant]
            assert statement is None or _lines_add_up(statement)


def _lines_add_up(statement: Statement) -> bool:
    amounts = [Fraction(line.line.quantity) * Fraction(line.line.rate) for line in statement.lines]
    return sum(amounts) == Fraction(statement.total)


def _instance(rng: random.Random) -> dict[str, Any]:
    kind = rng.choice(KINDS)
    region = "us-east-1"
    arch = rng.choice(("x86_64", "arm64"))
    if kind == "on-demand" and rng.random() < 0.2:
        region, arch = "ap-east-1", "x86_64"
    is_shared = kind in ("fc", "knative") and rng.random() < 0.7
    return {
        "kind": kind,
        "name": rng.choice(("classify", "embed")),
        "region": "international" if kind == "fc" else region,
        "arch": arch,
        "node": rng.choice(NODES),
        "memory_mb": rng.randint(128, 32_768),
        "vcpu_milli": rng.randint(1, 16_000),
        "disk_mb": rng.choice((512, rng.randint(1, 512), rng.randint(513, 10_240))),
        "concurrency": rng.randint(2, 5) if is_shared else 1,
        "is_kept": kind in ("knative", "managed") or (kind == "fc" and rng.random() < 0.5),
        "calls": [],
    }


def _tariff(one: dict[str, Any]) -> Tariff:
    kind = one["kind"]
    kept = "provisioned-concurrency" if one["is_kept"] else "on-demand"
    return Tariff(
        platform=kind if kind in ("fc", "knative") else "lambda",
        region=one["region"],
        arch=one["arch"],
        initialization=kept if kind == "fc" else INITIALIZATIONS.get(kind, "on-demand"),
        node=one["node"],
        singly=one["concurrency"] == 1,
    )


def _usage(
    one: dict[str, Any],
    tokens: int,
    busy_ns: int,
    init_ns: int = 0,
    restored: bool = False,
    cached_tokens: int = 0,
) -> Usage:
    return Usage(
        prompt_tokens=tokens,
        truncated=0,
        busy_ns=busy_ns,
        init_ns=init_ns,
        memory_mb=one["memory_mb"],
        vcpu_milli=one["vcpu_milli"],
        disk_mb=one["disk_mb"],
        cold=init_ns > 0,
        restored=restored,
        cached_tokens=cached_tokens,
    )


def _terms(rng: random.Random) -> dict[str, Any]:
    """A plan in billionths: at cost, marked up, or with prices of its own."""
    terms: dict[str, Any] = {
        "markup_nano": NANO,
        "call_nano": 0,
        "million_tokens_nano": 0,
        "cached_nano": NANO // 10,
        "free_calls": rng.choice((0, 0, 1, 3)),
        "free_tokens": 0,
        "volumes": [],
    }
    shape = rng.randint(0, 2)
    if shape == 1:
        terms["markup_nano"] = rng.randint(0, 10 * NANO)
    if shape == 2:
        terms["call_nano"] = rng.choice((0, rng.randint(0, NANO)))
        terms["million_tokens_nano"] = rng.randint(1, 100 * NANO)
        terms["cached_nano"] = rng.choice((0, NANO // 10, NANO, rng.randint(0, NANO)))
        terms["free_tokens"] = rng.choice((0, rng.randint(0, 1500)))
        bounds = sorted(rng.sample(range(3000), rng.randint(0, 3)))
        terms["volumes"] = [(over, rng.randint(0, NANO)) for over in bounds]
    return terms


def _plan(tenant: str, terms: dict[str, Any]) -> Plan:
    if (
        terms["markup_nano"] == NANO
        and not terms["free_calls"]
        and not terms["million_tokens_nano"]
    ):
        return Plan()
    return Plan(
        name=tenant,
        markup=ratio(terms["markup_nano"], NANO),
        usd_per_call=ratio(terms["call_nano"], NANO),
        usd_per_million_tokens=ratio(terms["million_tokens_nano"], NANO),
        cached=ratio(terms["cached_nano"], NANO),
        free_calls=terms["free_calls"],
        free_tokens=terms["free_tokens"],
        volumes=tuple(Volume(over, ratio(nano, NANO)) for over, nano in terms["volumes"]),
    )
