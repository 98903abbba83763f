"""What nobody buys: refusals, jobs' acceptance, pings and idle time.

Their price is 0, and their cost the house's.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from farthing.billing.meter import HOUSE
from farthing.deadlines import RESERVE_NS
from farthing.serving.envelope import generate_envelope
from farthing.serving.instance import NOTHING
from farthing.serving.outcome import Outcome
from farthing.serving.priced import price_headers
from farthing.usage import NS_PER_MS

if TYPE_CHECKING:
    from farthing.billing.ledger import Kind
    from farthing.billing.meter import Charge, Meter
    from farthing.billing.shares import Share
    from farthing.errors import Refusal
    from farthing.serving.accounts import Accounts
    from farthing.serving.envelope import Envelope
    from farthing.serving.instance import Instance
    from farthing.settings import Settings
    from farthing.usage import Usage

PING_TASK = "ping"
OK, ACCEPTED = 200, 202


class House:
    """Ends the invocations that the house pays for, and keeps their entries."""

    def __init__(
        self, settings: Settings, instance: Instance, meter: Meter, accounts: Accounts
    ) -> None:
        self._settings = settings
        self._instance = instance
        self._meter = meter
        self._accounts = accounts

    def book_idle(self) -> None:
        """Keeps an entry for the time in which nobody was present."""
        envelope = generate_envelope(self._settings.timeout_ms, HOUSE)
        usage = self._instance.idle(envelope)
        self._accounts.record(envelope, usage, "idle", status=200)

    def refused(self, refusal: Refusal, envelope: Envelope, share: Share) -> Outcome:
        """The outcome of an invocation that is not answered."""
        end = self._end(envelope, share, "refusal", refusal.status)
        charge = end.price.as_json()
        body = refusal.problem() | {"instance": envelope.request_id, "charge": charge}
        return end.told(body, refusal.headers)

    def accepted(self, job: dict[str, object], envelope: Envelope, share: Share) -> Outcome:
        """The outcome of an invocation that may wait: it is sold when it is answered."""
        end = self._end(envelope, share, "refusal", ACCEPTED)
        return end.told(job, {"Location": f"/v1/jobs/{job['id']}"})

    def pong(self, envelope: Envelope, share: Share, hold_ms: int) -> Outcome:
        """The outcome of a ping, held for so long, but never beyond its deadline.

        Nothing is computed. Where it is the instance's first invocation, it carries the start:
        to have paid for that is what a ping is for.
        """
        hold_ns = min(hold_ms * NS_PER_MS, envelope.remaining_ns - RESERVE_NS)
        if hold_ns > 0:
            time.sleep(hold_ns / 1e9)
        end = self._end(envelope, share, "ping", OK, task=PING_TASK)
        usage, charge = end.usage.as_json(end.cost.billed_ms), end.price.as_json()
        return end.told({"pong": True, "usage": usage, "charge": charge}, {})

    def _end(
        self, envelope: Envelope, share: Share, kind: Kind, status: int, task: str = ""
    ) -> _End:
        """What the invocation used until now; its entry is kept."""
        usage = self._instance.spent(envelope, NOTHING, share)
        self._accounts.record(envelope, usage, kind, status=status, task=task)
        return _End(envelope, status, usage, self._meter.cost(usage), self._meter.nothing())


class _End(NamedTuple):
    """An invocation that is over, and for which nobody pays."""

    envelope: Envelope
    status: int
    usage: Usage
    cost: Charge
    price: Charge

    def told(self, body: dict[str, object], headers: dict[str, str]) -> Outcome:
        named = price_headers(self.envelope, self.price, 0) | headers
        return Outcome(self.status, body, named, self.usage, self.cost, self.price, booked_to=HOUSE)
