"""The endpoint table under ASGI: contracts answered straight, everything else by Starlette."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.errors import Refusal
from farthing.serving.exchange import (
    Reply,
    authorised,
    reply_with,
    require_json,
    require_size,
)
from farthing.serving.routes import build_routes
from farthing.serving.workers import compute

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import Receive, Scope, Send

    from farthing.serving.envelope import Envelope
    from farthing.serving.ports import Contract
    from farthing.serving.service import Service

    Work = Callable[[bytes, Mapping[str, str], Envelope], Reply]


class App:
    """An ASGI application with the contracts' routes, the health routes and the platform's own.

    Contracts are looked up before Starlette is asked: its routing and middleware took 0.2 ms of
    processor time a call.
    """

    def __init__(self, service: Service) -> None:
        self._contracts = {
            contract.path: Endpoint(service, contract_work(service, contract), wants_json=True)
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
    """A route that takes a body: checked at the door, worked on where the service computes.

    `is_trusted` is for routes that only the platform can reach; all others need a key where
    access is by keys. A `Refusal`, raised here or by `work`, becomes its problem document.
    """

    def __init__(
        self, service: Service, work: Work, *, wants_json: bool = False, is_trusted: bool = False
    ) -> None:
        self._service = service
        self._work = work
        self._wants_json = wants_json
        self._is_trusted = is_trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service = self._service
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        envelope = service.platform.envelope(scope)
        try:
            if not self._is_trusted:
                envelope = authorised(service, headers, envelope)
            if self._wants_json:
                require_json(headers)
            body = await read_body(headers, receive, service.settings.payload_max_bytes)
            reply = await compute(service, lambda: self._work(body, headers, envelope))
        except Refusal as refusal:
            reply = reply_with(service.pipeline.refuse(refusal, envelope))
        except ClientGoneError:
            return
        await send_reply(reply, send)


class ClientGoneError(Exception):
    """The client left before its request was whole; there is nobody to answer."""


def contract_work(service: Service, contract: Contract) -> Work:
    """What answers a contract's request, for an `Endpoint`."""

    def work(body: bytes, headers: Mapping[str, str], envelope: Envelope) -> Reply:
        return reply_with(service.pipeline.invoke(contract, body, envelope))

    return work


async def read_body(headers: Mapping[str, str], receive: Receive, max_bytes: int) -> bytes:
    """The body, refused as soon as it is known to be larger: by its length, else on the way.

    Raises `BodyTooLarge` and `ClientGoneError`.
    """
    stated = headers.get("content-length", "")
    if stated.isdecimal():
        require_size(int(stated), max_bytes)
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        body += message.get("body", b"")
        require_size(len(body), max_bytes)
        if not message.get("more_body", False):
            return bytes(body)


async def send_reply(reply: Reply, send: Send) -> None:
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in reply.headers.items()
    ]
    headers.append((b"content-length", str(len(reply.body)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
