"""Who may ask about files and batches, where these are kept, and how a refusal is told."""

from __future__ import annotations

import asyncio
import logging
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from farthing.errors import Refusal, StartupError, UnknownRoute
from farthing.serving.batches.errors import StoreUnreachable
from farthing.serving.batches.objects import ENDPOINTS
from farthing.serving.batches.store import BatchStore
from farthing.serving.bodies import ClientGoneError
from farthing.serving.exchange import JSON, authorised, reply_with

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from farthing.serving.accounts import Terms
    from farthing.serving.claims import Claims
    from farthing.serving.envelope import Envelope
    from farthing.serving.service import Service

RETRY_AFTER_S = "5"
# Nobody reads it: the client left before its request was whole.
CLIENT_GONE = 499

log = logging.getLogger("farthing")


class Visitor(NamedTuple):
    """Who was let in, and on what terms; `claims` are None where no key is needed."""

    tenant: str
    claims: Claims | None
    terms: Terms

    def require(self, endpoint: str) -> None:
        """Raises `Forbidden` for a key that does not reach what a batch is for."""
        if self.claims is not None:
            self.claims.require(ENDPOINTS[endpoint])


class Door:
    """Lets in whoever's key reaches an endpoint that takes batches."""

    def __init__(self, service: Service) -> None:
        self.service = service

    @cached_property
    def store(self) -> BatchStore:
        """Raises `UnknownRoute` where the settings name no place for files."""
        jobs = self.service.pipeline.desk.store
        if jobs is None:
            raise UnknownRoute(
                "This service keeps no files, so it takes no batches. Set FARTHING_JOBS to a "
                "folder, s3://BUCKET/PREFIX or oss://BUCKET/PREFIX."
            )
        return BatchStore(jobs.storage, jobs.news)

    async def told(self, request: Request, work: Callable[[Visitor], object]) -> Response:
        """What `work` gives back, as JSON or as the response that it is; it may wait for a
        storage, and does so beside the event loop.
        """

        async def beside(visitor: Visitor) -> object:
            return await asyncio.to_thread(work, visitor)

        return await self.answered(request, beside)

    async def answered(
        self, request: Request, work: Callable[[Visitor], Awaitable[object]]
    ) -> Response:
        """As `told`, for work that reads the request's body first."""
        service = self.service
        envelope = service.platform.envelope(request.scope)
        try:
            envelope = authorised(service, request.headers, envelope)
            answer = await work(await asyncio.to_thread(self._enter, envelope))
        except Refusal as refused:
            refusal = refused
        except StartupError as error:
            log.error("files of batches cannot be kept or read: %s", error)
            refusal = StoreUnreachable(
                "The place where files and batches are kept does not answer as it should. Try "
                "again later.",
                retry_after=RETRY_AFTER_S,
            )
        except (ClientDisconnect, ClientGoneError):
            return Response(status_code=CLIENT_GONE)
        else:
            if isinstance(answer, Response):
                return answer
            return Response(msgspec.json.encode(answer), media_type=JSON)
        reply = reply_with(service.pipeline.refuse(refusal, envelope))
        return Response(reply.body, reply.status, headers=reply.headers)

    def _enter(self, envelope: Envelope) -> Visitor:
        accounts, caller = self.service.accounts, envelope.caller
        tasks = list(ENDPOINTS.values())
        reached = [] if caller is None else caller.scope.split()
        scope = next((task for task in tasks if task in reached), tasks[0])
        terms = accounts.enter(envelope, scope)
        accounts.refuse_revoked(envelope)
        # Told now, and not after a body was read.
        _ = self.store
        return Visitor(envelope.tenant, caller, terms)
