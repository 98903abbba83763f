"""Every shard is billed once, by what its checkpoint says, and everything adds up."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
from contextlib import closing
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from farthing.batch.booking import add_up, book, entry_of, lost, prices_of
from farthing.batch.job import Digest, Done, Written
from farthing.batch.manifest import finish
from farthing.billing.plans import read_plans
from farthing.billing.recorders.line import LineRecorder, read_lines
from farthing.billing.stores import open_store
from farthing.billing.tenants import PICO_PER_USD, Budget, Tenant
from farthing.billing.valuation import Valuer
from farthing.errors import LedgerError
from farthing.ledger.budgets import charge_unleased
from farthing.ledger.sealing import seal
from farthing.usage import Usage
from tests.batch.chaos import clean_environ
from tests.batch.jobs import titles
from tests.batch.scored import opened_for, run_all, settings_for
from tests.functions.server import farthing
from tests.ledger.attempts import SIGNER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farthing.batch.jobs import Opened
    from farthing.billing.ledger import Entry
    from farthing.settings import Settings

PLANS = '[{"name": "gold", "usd_per_million_tokens": "0.02", "usd_per_call": "0.0001"}]'
# https://aws.amazon.com/lambda/pricing, us-east-1, x86: femtodollars a request and a GB-second.
REQUEST_FEMTO = 200_000_000
GB_S_FEMTO = 16_666_700_000
MEMORY_MB = 1769
# What Lambda's runtime is said to take around each invocation.
OVERHEAD_NS = 700_000


def lambda_bill(busy_ns: list[int]) -> Fraction:
    """US dollars of so many invocations, by whole numbers and the price page alone."""
    billed_ms = sum(-(-(ns + OVERHEAD_NS) // 1_000_000) for ns in busy_ns)
    femto = len(busy_ns) * REQUEST_FEMTO * 1024 * 1000 + billed_ms * MEMORY_MB * GB_S_FEMTO
    return Fraction(femto, 1024 * 1000 * 10**15)


@pytest.fixture(scope="module")
def settings(models_dir: Path) -> Settings:
    return settings_for(models_dir, plans=PLANS, function="nightly", overhead_us=700)


@pytest.fixture(scope="module")
def run(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """A job of seven shards, done and not booked yet."""
    folder = tmp_path_factory.mktemp("booking")
    file = folder / "rows.tsv"
    lines = [f"r{row}\t{title}" for row, title in enumerate(titles())]
    file.write_text("\n".join(["id\ttext", *lines]) + "\n")
    opened = opened_for(file, folder / "out", settings, shard_rows=90, tenant="acme")
    run_all(opened, settings)
    return opened


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Any]:
    store = open_store(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield store
    store.close()


def checkpoints(opened: Opened) -> list[dict[str, Any]]:
    """As they lie there, read without the package."""
    names = opened.storage.names("_farthing/done/")
    return [json.loads(opened.storage.read(name)) for name in names]


def test_each_shard_is_one_entry_however_often_it_is_booked(
    run: Opened, settings: Settings, ledger: Any, tmp_path: Path
) -> None:
    entries = [entry_of(run.job, done, settings) for done in run.done().values()] * 3
    random.Random(5).shuffle(entries)
    for entry in entries:
        ledger.append([entry])
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as database:
        rows = database.execute("SELECT writer, number, body FROM entries ORDER BY number")
        found = [(writer, number, json.loads(body)) for writer, number, body in rows]
    said = checkpoints(run)
    assert [(writer, number) for writer, number, _ in found] == [
        (f"batch-{run.job.id}", number) for number in range(1, len(said) + 1)
    ]
    for (_, _, body), checkpoint in zip(found, said, strict=True):
        assert body["usage"] == checkpoint["usage"]
        assert (body["tenant"], body["kind"], body["function"]) == ("acme", "answer", "nightly")
        assert (body["task"], body["model"]) == ("classify", "product-classifier")
        assert body["request_id"] == checkpoint["request_id"]


def test_the_charge_is_what_the_price_page_says_of_the_checkpoints(
    run: Opened, settings: Settings
) -> None:
    expected = lambda_bill([one["usage"]["busy_ns"] for one in checkpoints(run)])
    charge = add_up(list(prices_of(run.job, run.done().values(), settings).values()), settings)
    assert Fraction(charge.total) == expected
    assert sum(Fraction(line.amount) for line in charge.lines) == expected
    assert charge.basis == "simulated"
    assert [line.rule for line in charge.lines] == ["lambda.requests", "lambda.duration.x86_64"]
    assert charge.lines[0].quantity == len(run.plan.shards)


def test_the_shards_add_up_to_the_job(run: Opened, settings: Settings) -> None:
    manifest = finish(run, settings)
    told = json.loads(run.storage.read("manifest.json"))
    assert sum(Fraction(shard["amount"]) for shard in told["shards"]) == Fraction(
        told["charge"]["total"]
    )
    for shard, checkpoint in zip(manifest.shards, checkpoints(run), strict=True):
        assert Fraction(shard.amount) == lambda_bill([checkpoint["usage"]["busy_ns"]])


def test_the_manifest_and_bill_usage_tell_the_same_price(
    run: Opened, settings: Settings, ledger: Any, tmp_path: Path
) -> None:
    ledger.append(entry_of(run.job, done, settings) for done in run.done().values())
    command = farthing("bill", "usage", "--tenant", "acme", "--json")
    environ = clean_environ(FARTHING_LEDGER=f"sqlite:///{tmp_path / 'ledger.db'}")
    told = subprocess.run(command, env=environ, check=True, capture_output=True)
    usage = json.loads(told.stdout)
    assert usage["total"] == finish(run, settings).charge["total"]


def test_a_plan_prices_the_tokens_of_the_job(run: Opened, settings: Settings) -> None:
    (plan,) = read_plans(settings.plans)
    job = msgspec.structs.replace(run.job, plan=plan)
    said = checkpoints(run)
    tokens = sum(one["usage"]["prompt_tokens"] for one in said)
    expected = Fraction(tokens, 10**6) * Fraction("0.02") + len(said) * Fraction("0.0001")
    charge = add_up(list(prices_of(job, run.done().values(), settings).values()), settings)
    assert Fraction(charge.total) == expected
    assert [line.rule for line in charge.lines] == ["plan.calls", "plan.tokens"]
    amounts = prices_of(job, run.done().values(), settings).values()
    assert sum(Fraction(one.total) for one in amounts) == expected


def test_a_plan_whose_terms_are_gone_is_named(run: Opened, settings: Settings) -> None:
    job = msgspec.structs.replace(run.job, plan="silver@00000000")
    with pytest.raises(LedgerError, match="silver@00000000"):
        add_up(list(prices_of(job, run.done().values(), settings).values()), settings)


def test_terms_are_those_of_the_attempt_and_not_of_whoever_books_it(
    run: Opened, settings: Settings, models_dir: Path
) -> None:
    elsewhere = settings_for(models_dir, function="laptop", region="ap-east-1", arch="arm64")
    for done in run.done().values():
        assert entry_of(run.job, done, elsewhere) == entry_of(run.job, done, settings)


def test_a_recorder_keeps_the_entry_under_its_own_name(run: Opened, settings: Settings) -> None:
    lines: list[bytes] = []

    def write(line: bytes) -> int:
        lines.append(line)
        return len(line)

    recorder = LineRecorder(write)
    entries = [entry_of(run.job, done, settings) for done in run.done().values()]
    for entry in [*entries, entries[0]]:
        book(recorder, entry)
    assert list(read_lines(lines)) == [*entries, entries[0]]


def test_an_attempt_that_came_to_nothing_is_the_houses(
    run: Opened, settings: Settings, ledger: Any
) -> None:
    entry = lost(run.job, 1_500_000_000, "r-9", settings)
    again = lost(run.job, 1_500_000_000, "r-9", settings)
    ledger.append([entry, again])
    kept: list[Entry] = list(ledger.entries(0, 2**60))
    # Two attempts that died are two.
    assert len(kept) == 2
    assert {(one.tenant, one.kind, one.request_id) for one in kept} == {("house", "refusal", "r-9")}
    valued = Valuer({}).value(kept[0])
    assert Fraction(valued.cost.total) == lambda_bill([1_500_000_000])
    assert valued.price.total == 0


def test_the_tenants_budget_is_charged_when_the_entries_are_sealed(
    run: Opened, settings: Settings, ledger: Any
) -> None:
    ledger.put_tenant(Tenant(name="acme", budgets=(Budget("day", PICO_PER_USD),)))
    dones = run.done().values()
    at_ms = max(done.at_ms for done in dones)
    # Of one day, whenever it is midnight.
    dated = [msgspec.structs.replace(done, at_ms=at_ms) for done in dones]
    ledger.append(entry_of(run.job, done, settings) for done in dated)
    later_ms = at_ms + 3 * 3_600_000
    valuer = Valuer(read_plans(settings.plans))
    for _ in range(2):
        charge_unleased(ledger, valuer, later_ms, sealed=list(seal(ledger, SIGNER, later_ms)))
    (window,) = ledger.free("acme", at_ms).values()
    pico = lambda_bill([one["usage"]["busy_ns"] for one in checkpoints(run)]) * PICO_PER_USD
    assert PICO_PER_USD - window[0] == -(-pico.numerator // pico.denominator)


def test_the_charge_of_no_shards_is_nothing(run: Opened, settings: Settings) -> None:
    charge = add_up(list(prices_of(run.job, [], settings).values()), settings)
    assert (charge.lines, charge.total) == ((), 0)


def test_a_checkpoint_without_terms_is_booked_under_the_bookers(
    run: Opened, settings: Settings
) -> None:
    usage = Usage(
        prompt_tokens=1,
        truncated=0,
        busy_ns=1,
        init_ns=0,
        memory_mb=128,
        vcpu_milli=1000,
        disk_mb=512,
        cold=False,
    )
    done = Done(
        job=run.job.id,
        number=3,
        rows_in=1,
        rows_out=1,
        rows_rejected=0,
        part=Written(name="part-00003.jsonl", digest=Digest("0" * 64, 1)),
        usage=usage,
        at_ms=1,
        request_id="r",
    )
    entry = entry_of(run.job, done, settings)
    assert (entry.key, entry.function) == ((run.job.writer, 4), "nightly")
    assert entry.tariff.platform == "lambda"
