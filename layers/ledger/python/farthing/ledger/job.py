"""One run of settlement: logs into the ledger, leases and budgets settled, closed hours sealed.

Everything may be repeated: what a log delivers twice is kept once, and a log's mark moves only
when all before it is in the ledger. A run ends cleanly when its time does; the next goes on.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.billing.plans import read_plans
from farthing.billing.stores import open_store
from farthing.billing.valuation import Valuer
from farthing.errors import SettingsError
from farthing.ledger.budgets import charge_unleased, settle_expired_leases
from farthing.ledger.groups import LogGroup
from farthing.ledger.sealing import seal
from farthing.ledger.settlement.settle import Settlement, settle
from farthing.ledger.signing import read_signer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from farthing.billing.ledger import Store
    from farthing.ledger.sealing import Sealed
    from farthing.ledger.signing import Signer

# Kept for what must not be cut short: one hour's roots, one page of a log.
RESERVE_MS = 10_000
SUMMARY_MS = 2 * 3_600_000
# Records arrive within minutes of their entries.
SETTLED_AFTER_MS = 15 * 60_000


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did. `unmatched` and `drift_ppm` are of the last two hours' attempts."""

    entries: int
    records: int
    faults: int
    leases: int
    unleased_pico: int
    roots: int
    unmatched: int
    drift_ppm: int
    finished: bool
    key_id: str


class Job:
    """`groups` are the logs to read; `clock_ms` is the wall clock."""

    def __init__(
        self,
        store: Store,
        groups: Sequence[LogGroup],
        signer: Signer,
        valuer: Valuer,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._store = store
        self._groups = groups
        self._signer = signer
        self._valuer = valuer
        self._clock_ms = clock_ms

    def run(self, remaining_ms: Callable[[], int]) -> dict[str, Any]:
        """Does what there is time for, and writes one line of metrics. May raise
        `StoreUnavailable`, or what boto3 raises; then nothing is lost, and the next run repeats."""

        def has_time() -> bool:
            return remaining_ms() > RESERVE_MS

        now_ms = self._clock_ms()
        reads = [group.read(self._store, now_ms, has_time) for group in self._groups]
        # Budgets trust that the logs are in; hours wait for them too.
        is_read = all(one.finished for one in reads)
        leases = settle_expired_leases(self._store, self._valuer, now_ms) if is_read else 0
        sealed: list[Sealed] = []
        sealing = seal(self._store, self._signer, now_ms) if is_read else iter(())
        while has_time() and (one := next(sealing, None)) is not None:
            sealed.append(one)
        owed = charge_unleased(self._store, self._valuer, now_ms, sealed=sealed) if is_read else 0
        settlement = self._settlement(now_ms) if has_time() else Settlement((), {})
        summary = Summary(
            entries=sum(one.entries for one in reads),
            records=sum(one.records for one in reads),
            faults=sum(one.faults for one in reads),
            leases=leases,
            unleased_pico=owed,
            roots=len(sealed),
            unmatched=sum(one.unreported + one.unrecorded for one in settlement.functions),
            drift_ppm=settlement.drift_ppm,
            finished=is_read and has_time(),
            key_id=self._signer.key_id,
        )
        _emit(summary)
        return msgspec.structs.asdict(summary) | {"public_keys": self._signer.public_keys()}

    def _settlement(self, now_ms: int) -> Settlement:
        return settle(
            self._store,
            since_ms=now_ms - SUMMARY_MS,
            until_ms=now_ms - SETTLED_AFTER_MS,
            now_ms=now_ms,
        )


def job_of(environ: Mapping[str, str]) -> Job:
    """The job that a function's environment describes; reads the signing key from its secret.

    Raises `SettingsError` naming the variable that is missing or wrong.
    """
    import boto3

    groups = [name for name in needed(environ, "SETTLE_LOG_GROUPS").split(",") if name.strip()]
    secret = boto3.client("secretsmanager").get_secret_value(
        SecretId=needed(environ, "SETTLE_SIGNING_KEY_SECRET")
    )
    logs = boto3.client("logs")
    return Job(
        open_store(needed(environ, "FARTHING_LEDGER")),
        [LogGroup(logs, name.strip()) for name in groups],
        read_signer(secret["SecretString"]),
        Valuer(read_plans(environ.get("FARTHING_PLANS", ""))),
    )


def needed(environ: Mapping[str, str], name: str) -> str:
    """The variable's value. Raises `SettingsError` where it is not set."""
    value = environ.get(name, "")
    if not value:
        raise SettingsError(
            f"Settlement needs {name}, which is not set. Set FARTHING_LEDGER to the ledger's "
            "address; on Lambda SETTLE_LOG_GROUPS to the log groups and SETTLE_SIGNING_KEY_SECRET "
            "to the secret with the signing key, elsewhere FARTHING_SIGNING_KEY to the key."
        )
    return value


def _emit(summary: Summary) -> None:
    """Writes the figures as one line of JSON. As metrics each would be 0.30 USD a month."""
    sys.stdout.write(json.dumps({"settle": msgspec.structs.asdict(summary)}) + "\n")
