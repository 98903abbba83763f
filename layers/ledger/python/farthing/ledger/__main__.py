"""One settlement for a clock that is not Lambda's, such as a CronJob: `python3 -m farthing.ledger`.

FARTHING_LEDGER is the ledger's address, FARTHING_SIGNING_KEY the key that signs roots,
FARTHING_PLANS the tenants' plans. Entries are in the ledger already: the functions' spools bring
them, so no log is read. Exits with 1 and one sentence where nothing could be settled.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from farthing.billing.plans import read_plans
from farthing.billing.stores import open_store
from farthing.billing.valuation import Valuer
from farthing.errors import FarthingError
from farthing.ledger.job import Job, needed
from farthing.ledger.signing import read_signer

if TYPE_CHECKING:
    from collections.abc import Mapping

# Below the deadline that the CronJob gives a run, so that it ends by itself.
RUN_S = 270


def main(environ: Mapping[str, str]) -> str | None:
    """None, or the sentence that says why nothing was settled."""
    ends_s = time.monotonic() + RUN_S
    try:
        job = Job(
            open_store(needed(environ, "FARTHING_LEDGER")),
            [],
            read_signer(needed(environ, "FARTHING_SIGNING_KEY")),
            Valuer(read_plans(environ.get("FARTHING_PLANS", ""))),
        )
        job.run(lambda: round(1000 * (ends_s - time.monotonic())))
    except FarthingError as error:
        return f"farthing: {error}"
    return None


if __name__ == "__main__":
    sys.exit(main(os.environ))
