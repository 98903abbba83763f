"""A request that may wait becomes a job."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from farthing.errors import InvalidRequest
from farthing.serving.jobs.errors import told_to_callers
from farthing.serving.jobs.records import Finished, Queued, digest_of, new_id
from farthing.serving.jobs.targets import read_target
from farthing.usage import NS_PER_MS

if TYPE_CHECKING:
    from farthing.billing.meter import Charge
    from farthing.serving.accounts import Terms
    from farthing.serving.envelope import Envelope
    from farthing.serving.jobs.store import JobStore
    from farthing.serving.ports import Answerer, Contract
    from farthing.settings import Settings

KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


class Submission(NamedTuple):
    """A request that was checked as any other, its terms, and what it is sold for at most.

    `quote` is told; `price_max_pico` binds, and is None where the terms know the price beforehand.
    """

    contract: Contract
    request: Any
    answerer: Answerer
    tokens: int
    terms: Terms
    quote: Charge
    price_max_pico: int | None


def check(request: Any, settings: Settings, envelope: Envelope) -> None:
    """Raises `InvalidRequest` for what can never wait here, before anything is priced."""
    if envelope.idempotency_key and not KEY.fullmatch(envelope.idempotency_key):
        raise InvalidRequest(
            "The Idempotency-Key is not 1 to 255 printable ASCII characters without blanks. Send "
            "a UUID, say."
        )
    if request.webhook is None:
        return
    if not settings.webhook_secret:
        raise InvalidRequest(
            "The request names a webhook, and nothing here could sign its call. Ask for the job's "
            "state instead, or set FARTHING_WEBHOOK_SECRET."
        )
    read_target(request.webhook)


def submit(store: JobStore, envelope: Envelope, said: Submission) -> dict[str, object]:
    """The job as its caller sees it: waiting, or what the same request under the same idempotency
    key has become.

    Raises `InvalidRequest` for another request under that key, `JobsUnavailable`.
    """
    asked = msgspec.structs.replace(said.request, priority="normal", webhook=None)
    # The default model may be another by the time that it is computed.
    named = msgspec.structs.replace(asked, **{said.contract.names: said.answerer.name})
    job = Queued(
        id=new_id(envelope.tenant, envelope.idempotency_key, envelope.request_id),
        tenant=envelope.tenant,
        plan=said.terms.id,
        task=said.contract.task,
        path=said.contract.path,
        model=said.answerer.name,
        request=msgspec.Raw(msgspec.json.encode(named)),
        digest=digest_of(said.contract.path, msgspec.json.encode(asked)),
        tokens=said.tokens,
        quote=said.quote.as_json(),
        price_max_pico=said.price_max_pico,
        webhook=said.request.webhook or "",
        created_ms=time.time_ns() // NS_PER_MS,
    )
    with told_to_callers():
        kept = store.put(job)
    known = kept.job if isinstance(kept, Finished) else kept
    if (known.digest, known.webhook) != (job.digest, job.webhook):
        raise InvalidRequest(
            "The Idempotency-Key was used for another request. Send that one again, or this one "
            "under a key of its own."
        )
    return kept.as_json()
