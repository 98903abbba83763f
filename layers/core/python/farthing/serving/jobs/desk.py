"""Where requests that may wait are taken in."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.billing.tenants import PICO_PER_USD
from farthing.errors import InvalidRequest
from farthing.money import multiply

if TYPE_CHECKING:
    from farthing.billing.meter import Meter
    from farthing.serving.accounts import Accounts, Terms
    from farthing.serving.envelope import Envelope
    from farthing.serving.jobs.store import JobStore
    from farthing.serving.ports import Answerer, Contract
    from farthing.settings import Settings
    from farthing.usage import Usage


class Desk:
    """Quotes requests that may wait and keeps them.

    Nothing is imported or opened before the first of them comes: few do, and a start does not owe
    it.
    """

    def __init__(self, settings: Settings, meter: Meter, accounts: Accounts) -> None:
        self._settings = settings
        self._meter = meter
        self._accounts = accounts
        self._lock = threading.Lock()
        self._store: JobStore | None = None

    @property
    def store(self) -> JobStore | None:
        """Where requests wait; None where nothing may. Raises `SettingsError`."""
        if not self._settings.jobs:
            return None
        with self._lock:
            if self._store is None:
                from farthing.serving.jobs.store import open_jobs

                self._store = open_jobs(self._settings.jobs)
            return self._store

    def accept(
        self,
        contract: Contract,
        request: Any,
        answerer: Answerer,
        envelope: Envelope,
        terms: Terms,
        expected: Usage,
    ) -> dict[str, object]:
        """The job that a checked request becomes, priced by what it is expected to use.

        Raises `InvalidRequest`, `BudgetSpent`, `BudgetUnknown` and `JobsUnavailable`.
        """
        from farthing.serving.jobs.errors import told_to_callers
        from farthing.serving.jobs.submission import Submission, check, submit

        with told_to_callers():
            store = self.store
        if store is None:
            raise InvalidRequest(
                "The request has priority low, and nothing may wait here. Send it without, or set "
                "FARTHING_JOBS to a folder or a bucket."
            )
        check(request, self._settings, envelope)
        low = self._accounts.low(terms)
        price = low.plan.price(self._meter.cost(expected), expected)
        hold = self._accounts.admit(envelope, price.total)
        if hold is not None:
            hold.release()
        # A price by calls and tokens is known; one by time is bounded by what is told now.
        pico = multiply(price.total, Decimal(PICO_PER_USD))
        bound_pico = None if low.plan.has_own_prices else int(pico)
        quote = msgspec.structs.replace(price, basis="quoted")
        tokens = expected.prompt_tokens
        said = Submission(contract, request, answerer, tokens, low, quote, bound_pico)
        return submit(store, envelope, said)
