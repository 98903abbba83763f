"""OpenAI's batches computed: a file of requests in, files of answers and of errors out."""

from __future__ import annotations

import logging
import time
import traceback
from typing import TYPE_CHECKING

from farthing.batch.errors import Interrupted
from farthing.batch.openai.progress import Progress
from farthing.errors import FarthingError
from farthing.serving.batches.objects import ENDPOINTS
from farthing.serving.batches.store import BatchStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from farthing.serving.batches.objects import Batch
    from farthing.serving.envelope import Envelope
    from farthing.serving.service import Service
    from farthing.storage import Storage

log = logging.getLogger("farthing")


class BatchFileRunner:
    """Computes batches; may be killed at any moment, and others may work beside it.

    A shard's result is kept first, and only where none is. Its entry is made from that, so a batch
    that is taken up again answers the same and is billed once. `service_for` gives the service that
    answers a task.
    """

    def __init__(self, storage: Storage, service_for: Callable[[str], Service]) -> None:
        self._store = BatchStore(storage)
        self._service_for = service_for

    def run(
        self,
        batch_id: str,
        *,
        envelope: Envelope | None = None,
        stop: Callable[[], bool] = lambda: False,
        min_age_s: int = 0,
    ) -> Batch | None:
        """The batch at its end; None where nobody is to compute one of this id, or it came less
        than `min_age_s` seconds ago.

        `envelope` is that of the platform's call, whose deadline holds. Raises `Interrupted` where
        `stop` says so between shards, `JobUnfinished` where a shard cannot be computed just now,
        `EngineUnavailable` where its endpoint is not served, `StorageUnavailable`; after each of
        them it may go on elsewhere.
        """
        ticket = self._store.ticket(batch_id)
        if ticket is None:
            return None
        batch = self._store.batch(ticket.tenant, batch_id)
        if time.time() - batch.created_at < min_age_s:
            return None
        if not batch.is_settled:
            service = self._service_for(ENDPOINTS[batch.endpoint])
            batch = Progress(self._store, service, ticket, batch, envelope).to_the_end(stop)
        self._store.settle(batch_id)
        return batch

    def run_pending(self, stop: Callable[[], bool] = lambda: False, min_age_s: int = 0) -> int:
        """How many batches of that age it brought to their end, the oldest first.

        One that cannot be computed waits on, and those behind it are computed all the same.
        """
        ended = 0
        for batch_id in self._store.pending():
            try:
                ended += self.run(batch_id, stop=stop, min_age_s=min_age_s) is not None
            except Interrupted:
                break
            except FarthingError as error:
                log.warning("batch %s waits on: %s", batch_id, error)
            except Exception as fault:
                # Where, not what: an exception's text may quote the input.
                place = "".join(traceback.format_tb(fault.__traceback__))
                log.error("batch %s failed: %s at\n%s", batch_id, type(fault).__name__, place)
        return ended
