"""The endpoint table under ASGI: contracts answered straight, everything else by Starlette."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from farthing.errors import Refusal
from farthing.serving.bodies import ClientGoneError, read_body
from farthing.serving.exchange import Asked, Reply, reply_with, require_json
from farthing.serving.gate import Gate
from farthing.serving.outcome import Outcome
from farthing.serving.routes import build_routes
from farthing.serving.waiting import Waiting
from farthing.serving.workers import beside

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import Receive, Scope, Send

    from farthing.serving.calls import Call
    from farthing.serving.envelope import Envelope
    from farthing.serving.exchange import Reader
    from farthing.serving.ports import Contract
    from farthing.serving.service import Service

# Up to here a request is read and counted where the event loop runs: 40 titles, 2 KB, took 0.1 ms
# of it, and a thread's way there and back 0.03 ms.
LOOP_BYTES_MAX = 2048
# What a request that is to be queued says, in either of JSON's spellings.
QUEUED_WORDS = (b"priority", b"\\u")


class App:
    """An ASGI application with the contracts' routes, the health routes and the platform's own.

    Contracts are looked up before Starlette is asked: its routing and middleware took 0.2 ms of
    processor time a call.
    """

    def __init__(self, service: Service) -> None:
        self._contracts = {
            contract.path: Endpoint(service, contract, wants_json=True)
            for contract in service.contracts
        }
        self._rest = build_routes(service, self._contracts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            endpoint = self._contracts.get(scope["path"])
            if endpoint is not None:
                return await endpoint(scope, receive, send)
        return await self._rest(scope, receive, send)


class Endpoint:
    """A route that takes a body: checked at the gate, then computed where the service does.

    `reads` finds the contract's request in what the route is sent; left out, the body is the
    request. `is_trusted` is for routes that only the platform can reach; all others need a key
    where access is by keys.
    """

    def __init__(
        self,
        service: Service,
        contract: Contract,
        *,
        reads: Reader | None = None,
        wants_json: bool = False,
        is_trusted: bool = False,
    ) -> None:
        self._service = service
        self._contract = contract
        self._reads = reads
        self._wants_json = wants_json
        self._gate = Gate(service, is_trusted=is_trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service = self._service
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        envelope = service.platform.envelope(scope)
        try:
            envelope = self._gate.admit(headers, envelope)
            if self._wants_json:
                require_json(headers)
            body = await read_body(headers, receive, service.settings.payload_max_bytes)
            reply = await self._answer(body, headers, envelope, receive)
        except Refusal as refusal:
            reply = reply_with(service.pipeline.refuse(refusal, envelope))
        except ClientGoneError:
            return
        await send_reply(reply, send)

    async def _answer(
        self, body: bytes, headers: Mapping[str, str], envelope: Envelope, receive: Receive
    ) -> Reply:
        """Raises a `Refusal` of `reads`, and `ClientGoneError` where nobody waits any more."""
        service, pipeline = self._service, self._service.pipeline
        computes_here = pipeline.batcher is None
        begin = pipeline.invoke if computes_here else pipeline.begin
        work = partial(self._begin, begin, body, headers, envelope)
        if computes_here or self._may_wait(body, envelope.tenant):
            service.beginning += 1
            try:
                begun = await beside(service, work)
            finally:
                service.beginning -= 1
        else:
            begun = work()
        if isinstance(begun, Reply):
            return begun
        return await Waiting(pipeline, begun.call, begun.told).reply(receive)

    def _begin(
        self,
        begin: Callable[[Contract, Any, Envelope], Call | Outcome],
        body: bytes,
        headers: Mapping[str, str],
        envelope: Envelope,
    ) -> Reply | Begun:
        asked = Asked(body) if self._reads is None else self._reads(body, headers, envelope)
        if isinstance(asked, Reply):
            return asked
        call = begin(self._contract, asked.payload, envelope)
        return asked.told(call) if isinstance(call, Outcome) else Begun(call, asked.told)

    def _may_wait(self, body: bytes, tenant: str) -> bool:
        """Whether beginning may take long, or wait for a store or another machine."""
        pipeline = self._service.pipeline
        return (
            len(body) > LOOP_BYTES_MAX
            or self._reads is not None
            or self._service.accounts.may_wait(tenant)
            or (pipeline.cache is not None and pipeline.cache.is_remote)
            or (pipeline.desk.store is not None and any(word in body for word in QUEUED_WORDS))
        )


class Begun(NamedTuple):
    """A call that is to be computed, and how its outcome is told."""

    call: Call
    told: Callable[[Outcome], Reply]


async def send_reply(reply: Reply, send: Send) -> None:
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in reply.headers.items()
    ]
    headers.append((b"content-length", str(len(reply.body)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
