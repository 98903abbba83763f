"""`/v1/jobs/{id}`: what became of a request that may wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response

from farthing.errors import InvalidRequest, Refusal, UnknownRoute
from farthing.serving.exchange import JSON, Reply, authorised, reply_with
from farthing.serving.jobs.errors import JobOver, UnknownJob, told_to_callers
from farthing.serving.jobs.records import ID, Finished, Queued
from farthing.serving.workers import beside

if TYPE_CHECKING:
    from starlette.requests import Request

    from farthing.serving.envelope import Envelope
    from farthing.serving.jobs.store import JobStore
    from farthing.serving.service import Service

RETRY_AFTER_S = "1"


async def answer_job(service: Service, request: Request) -> Response:
    """The job: `GET` tells of it, `DELETE` cancels it while it waits.

    Auth: as the contract that it was sent to; a key sees its own tenant's jobs only.
    """
    envelope = service.platform.envelope(request.scope)
    try:
        envelope = authorised(service, request.headers, envelope)
        job_id, cancels = request.path_params["id"], request.method == "DELETE"
        reply = await beside(service, lambda: _answer(service, envelope, job_id, cancels=cancels))
    except Refusal as refusal:
        reply = reply_with(service.pipeline.refuse(refusal, envelope))
    return Response(reply.body, reply.status, headers=reply.headers)


def _answer(service: Service, envelope: Envelope, job_id: str, *, cancels: bool) -> Reply:
    with told_to_callers():
        store = service.pipeline.desk.store
    if store is None:
        raise UnknownRoute("Nothing may wait here, so there are no jobs. Set FARTHING_JOBS.")
    if not ID.fullmatch(job_id):
        raise InvalidRequest(
            "What is asked for is no job's id: `job_` and 32 hex digits. Take it from the answer "
            "to the request."
        )
    with told_to_callers():
        job = _own(service, store, envelope, job_id)
        if cancels and isinstance(job, Queued):
            job = store.cancel(job)
    told = msgspec.json.encode(job.as_json())
    if cancels and not (isinstance(job, Finished) and job.status == "cancelled"):
        raise JobOver("The job has ended, so it cannot be cancelled. Ask for it with GET.")
    headers = {"Content-Type": JSON, "X-Request-Id": envelope.request_id}
    if isinstance(job, Queued):
        headers["Retry-After"] = RETRY_AFTER_S
    return Reply(200, headers, told)


def _own(service: Service, store: JobStore, envelope: Envelope, job_id: str) -> Queued | Finished:
    found = store.find(job_id)
    job = found.job if isinstance(found, Finished) else found
    if found is None or job is None or job.tenant != envelope.tenant:
        raise UnknownJob(
            "You have no job of that id. Take it from the answer to the request; results are kept "
            "as long as their storage keeps them."
        )
    service.accounts.enter(envelope, job.task)
    service.accounts.refuse_revoked(envelope)
    return found
