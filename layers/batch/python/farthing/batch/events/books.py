"""What a function's shards owe to billing: leave to begin, an entry, and what was in vain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from farthing.batch.booking import book, entry_of, lost
from farthing.billing.leases import Leases
from farthing.billing.plans import read_plans
from farthing.billing.recorders import open_recorder
from farthing.billing.stores import LazyStore
from farthing.billing.tariff import tariff_of
from farthing.billing.valuation import Valuer
from farthing.planning.batch.run import VCPU, known_batch_work
from farthing.planning.errors import PlanningError
from farthing.usage import NS_PER_MS, Usage

if TYPE_CHECKING:
    from farthing.batch.events.pace import Pace
    from farthing.batch.job import Done, Job
    from farthing.settings import Settings

# What a row has before one was seen.
ROW_TOKENS: Final = 32


class Books:
    """One instance's. Without a ledger there are no budgets; entries go where the settings say.

    A shard's entry is made from its checkpoint alone and so names no lease: its tenant's budgets
    are charged when it is sealed. Until then they know nothing of it, so that files which come at
    once may together go beyond what each was allowed.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store = LazyStore(settings.ledger) if settings.ledger else None
        self._leases: Leases | None = None
        if self._store is not None:
            self._leases = Leases(self._store, outage=settings.budget_outage)
        self._recorder = open_recorder(settings, self._store)

    def check(self, job: Job, rows: int, pace: Pace) -> None:
        """Asks whether so many rows are within the tenant's budgets, as far as those know.

        Raises `BudgetSpent`, and `BudgetUnknown` where nobody can tell.
        """
        if self._leases is None:
            return
        settings = self._settings
        usage = Usage(
            prompt_tokens=rows * (pace.row_tokens or ROW_TOKENS),
            truncated=0,
            busy_ns=int(rows * (pace.row_ns or self._row_ns(job.model))),
            init_ns=0,
            memory_mb=settings.memory_mb,
            vcpu_milli=settings.vcpu_milli,
            disk_mb=settings.disk_mb,
            cold=False,
        )
        valuer = Valuer(read_plans(settings.plans))
        cost = valuer.meter(tariff_of(settings)).cost(usage)
        self._leases.admit(job.tenant, valuer.plan(job.plan).price(cost, usage).total).release()

    def keep(self, job: Job, done: Done) -> None:
        """Keeps a shard's entry, for the first time or again."""
        book(self._recorder, entry_of(job, done, self._settings))

    def lost(self, job: Job, busy_ns: int, request_id: str) -> None:
        """An attempt that came to nothing is the house's."""
        book(self._recorder, lost(job, busy_ns, request_id, self._settings))

    def close(self) -> None:
        """Gives back what is not spent, and sends what is not sent."""
        if self._leases is not None:
            self._leases.close()
        self._recorder.close()
        if self._store is not None:
            self._store.close()

    def _row_ns(self, model: str) -> float:
        """What a row takes here by what was measured of a shipped bundle; 0 for any other."""
        try:
            row_ms = known_batch_work(model).row_ms
        except PlanningError:
            return 0
        return row_ms * NS_PER_MS * max(1.0, VCPU / self._settings.vcpu_milli)
