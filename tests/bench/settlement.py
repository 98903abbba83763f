"""What was measured against what the emulator reported, and how fast a ledger verifies."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

from farthing.billing.stores import open_store
from farthing.billing.valuation import Valuer
from farthing.ledger.sealing import seal
from farthing.ledger.settlement.events import from_file
from farthing.ledger.settlement.reading import Reader
from farthing.ledger.settlement.settle import settle
from farthing.ledger.signing import PublicKeys
from farthing.ledger.verification import verify
from tests.bench.results import Result, at_most
from tests.functions.emulator import Emulator
from tests.ledger.attempts import HOUR_MS, SIGNER, START_MS, an_entry

CALLS = 1000
QUICK_CALLS = 100
QUICK_ROUNDS = 3
ENTRIES = 100_000
DRIFT_PERCENT_MAX = 2
PERCENT_PPM = 10_000
OVERHEAD = "FARTHING_OVERHEAD_US"


def run(rounds: int) -> list[Result]:
    """Drift with the runtime's overhead unknown, and with the one that settlement found; speeds."""
    calls = QUICK_CALLS if rounds <= QUICK_ROUNDS else CALLS
    with tempfile.TemporaryDirectory() as folder:
        found, overhead_us = _drift(Path(folder), calls, 0)
        again, _ = _drift(Path(folder), calls, overhead_us)
        named = f"{calls} calls, {OVERHEAD}={overhead_us}: "
        return [*found, *(_under(named, one) for one in again), *_speeds(Path(folder))]


def _under(name: str, result: Result) -> Result:
    return Result(**{**vars(result), "name": name + result.name})


def _drift(folder: Path, calls: int, overhead_us: int) -> tuple[list[Result], int]:
    log = folder / f"run-{overhead_us}.log"
    environ = {"FARTHING_MODEL": "product-classifier", OVERHEAD: str(overhead_us)}
    with Emulator("classify", environ, log) as emulator:
        for number in range(calls):
            emulator.invoke({"inputs": f"usb c charger 65w number {number}"})
    store = open_store("memory:")
    reader = Reader(store)
    started_s = time.perf_counter()
    reader.read(from_file(log, reader.faults))
    read_s = time.perf_counter() - started_s
    now_ms = time.time_ns() // 1_000_000
    (found,) = settle(
        store, since_ms=now_ms - HOUR_MS, until_ms=now_ms + HOUR_MS, now_ms=now_ms
    ).functions
    drift = abs(found.drift_ppm) / PERCENT_PPM
    return [
        Result(
            "REPORT lines that found their entry", found.matched_ppm / PERCENT_PPM, unit="%",
            target="100", met=found.matched == found.records == calls,
        ),
        at_most("drift of what was measured, in dollars", drift, DRIFT_PERCENT_MAX, "%"),
        Result("drift of one call's billed time, p50", found.call_drift_ppm["p50"] / PERCENT_PPM,
               unit="%"),
        Result("the same, p99", found.call_drift_ppm["p99"] / PERCENT_PPM, unit="%"),
        Result("median time beside the handler", found.overhead_us, unit="µs"),
        Result("lines read into the ledger", calls * 4 / read_s, unit="1/s"),
    ], found.overhead_us  # fmt: skip


def _speeds(folder: Path) -> list[Result]:
    """A SQLite ledger of 100,000 entries, sealed and verified."""
    store = open_store(f"sqlite:///{folder}/ledger.db")
    store.append(
        an_entry(number, at_ms=START_MS + number * 100, tenant="acme" if number % 3 else "bolt")
        for number in range(1, ENTRIES + 1)
    )
    now_ms = START_MS + 10 * HOUR_MS
    started_s = time.perf_counter()
    for _ in seal(store, SIGNER, now_ms):
        pass
    sealed_s = time.perf_counter()
    keys = PublicKeys.read(json.dumps(SIGNER.public_keys()))
    verdict = verify(store, keys, now_ms, pricer=Valuer({}))
    verified_s = time.perf_counter()
    store.close()
    return [
        Result("entries sealed, SQLite", ENTRIES / (sealed_s - started_s), unit="1/s"),
        Result("entries verified, SQLite", ENTRIES / (verified_s - sealed_s), unit="1/s",
               target="sound", met=verdict.sound),
    ]  # fmt: skip
