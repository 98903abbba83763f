"""The settlement: reads the functions' logs into the ledger, settles leases, seals closed hours.

A schedule calls `functions.settle.app.handler`. FARTHING_LEDGER is where the ledger lies,
SETTLE_LOG_GROUPS the log groups to read (a comma list), SETTLE_SIGNING_KEY_SECRET the secret
that holds the signing key, FARTHING_PLANS the tenants' plans.
"""

import os
from typing import Any

from farthing.ledger.job import job_of

job = job_of(os.environ)


def handler(_event: dict[str, Any], context: Any) -> dict[str, Any]:
    return job.run(context.get_remaining_time_in_millis)
