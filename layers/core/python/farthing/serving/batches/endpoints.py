"""What `/v1/files` and `/v1/batches` answer; see `farthing.serving.batches.objects`.

Only a batch's answers are charged: its shards are invocations. A key needs the scope of a batch's
endpoint, and for files that of any endpoint which takes batches.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from itertools import chain
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from starlette.responses import Response, StreamingResponse

from farthing.errors import AnswerTooLarge, InvalidRequest
from farthing.serving.batches.door import Door
from farthing.serving.batches.errors import BatchSettled
from farthing.serving.batches.objects import (
    WINDOW_S,
    Batch,
    BatchRequest,
    File,
    Ticket,
    new_batch_id,
)
from farthing.serving.batches.paging import page_of, read_page
from farthing.serving.batches.uploads import file_bytes_max, read_upload
from farthing.serving.bodies import read_body
from farthing.serving.exchange import require_json
from farthing.serving.limits import check_encodable, read_request

if TYPE_CHECKING:
    from starlette.requests import Request

    from farthing.serving.batches.door import Visitor
    from farthing.serving.batches.uploads import Upload
    from farthing.serving.service import Service

JSON_LINES = "application/jsonl"


class Endpoints:
    """One method a route."""

    def __init__(self, service: Service) -> None:
        self._settings = service.settings
        self._accounts = service.accounts
        self._door = Door(service)

    async def upload(self, request: Request) -> Response:
        async def work(visitor: Visitor) -> File:
            upload = await read_upload(request, file_bytes_max(self._settings))
            with upload.content:
                return await asyncio.to_thread(self._keep, visitor.tenant, upload)

        return await self._door.answered(request, work)

    async def list_files(self, request: Request) -> Response:
        def work(visitor: Visitor) -> object:
            page = read_page(request.query_params, ("limit", "after", "order", "purpose"))

            def read(file_id: str) -> File | None:
                file = self._door.store.file(visitor.tenant, file_id)
                return file if page.purpose in {"", file.purpose} else None

            return page_of(self._door.store.files(visitor.tenant), page, read)

        return await self._door.told(request, work)

    async def file(self, request: Request) -> Response:
        file_id = request.path_params["file_id"]
        return await self._door.told(
            request, lambda visitor: self._door.store.file(visitor.tenant, file_id)
        )

    async def delete_file(self, request: Request) -> Response:
        def work(visitor: Visitor) -> object:
            file_id = request.path_params["file_id"]
            self._door.store.remove_file(visitor.tenant, file_id)
            return {"id": file_id, "object": "file", "deleted": True}

        return await self._door.told(request, work)

    async def content(self, request: Request) -> Response:
        def work(visitor: Visitor) -> Response:
            settings = self._settings
            file = self._door.store.file(visitor.tenant, request.path_params["file_id"])
            if settings.host in {"lambda", "fc"} and file.bytes > settings.payload_max_bytes:
                raise AnswerTooLarge(
                    f"The file has {file.bytes} bytes; an answer here may have "
                    f"{settings.payload_max_bytes}. Send the requests in smaller files."
                )
            pieces = self._door.store.lines(visitor.tenant, file.id)
            # What cannot be read is refused, and not broken off.
            first = next(pieces, b"")
            headers = {"Content-Length": str(file.bytes)}
            return StreamingResponse(chain([first], pieces), 200, headers, JSON_LINES)

        return await self._door.told(request, work)

    async def create_batch(self, request: Request) -> Response:
        async def work(visitor: Visitor) -> Batch:
            require_json(request.headers)
            most = self._settings.payload_max_bytes
            body = await read_body(request.headers, request.receive, most)
            asked = read_request(body, BatchRequest)
            check_encodable(asked.metadata, "`metadata`")
            return await asyncio.to_thread(self._create, visitor, asked)

        return await self._door.answered(request, work)

    async def list_batches(self, request: Request) -> Response:
        def work(visitor: Visitor) -> object:
            page = read_page(request.query_params, ("limit", "after"))
            store = self._door.store
            return page_of(
                store.batches(visitor.tenant),
                page,
                lambda batch_id: store.batch(visitor.tenant, batch_id),
            )

        return await self._door.told(request, work)

    async def batch(self, request: Request) -> Response:
        def work(visitor: Visitor) -> Batch:
            batch = self._door.store.batch(visitor.tenant, request.path_params["batch_id"])
            visitor.require(batch.endpoint)
            return batch

        return await self._door.told(request, work)

    async def cancel_batch(self, request: Request) -> Response:
        def work(visitor: Visitor) -> Batch:
            store, batch_id = self._door.store, request.path_params["batch_id"]
            visitor.require(store.batch(visitor.tenant, batch_id).endpoint)
            return store.change(visitor.tenant, batch_id, _cancelling)

        return await self._door.told(request, work)

    def _keep(self, tenant: str, upload: Upload) -> File:
        with NamedTemporaryFile() as copy:
            shutil.copyfileobj(upload.content, copy)
            copy.flush()
            return self._door.store.add_file(
                tenant, Path(copy.name), filename=upload.filename, purpose="batch"
            )

    def _create(self, visitor: Visitor, asked: BatchRequest) -> Batch:
        visitor.require(asked.endpoint)
        store = self._door.store
        if store.file(visitor.tenant, asked.input_file_id).purpose != "batch":
            raise InvalidRequest(
                "The file is what another batch came to. Name one that was sent with the purpose "
                "batch."
            )
        now_s = int(time.time())
        batch = Batch(
            id=new_batch_id(),
            endpoint=asked.endpoint,
            input_file_id=asked.input_file_id,
            created_at=now_s,
            expires_at=now_s + WINDOW_S,
            metadata=asked.metadata,
        )
        plan = self._accounts.low(visitor.terms).id
        ticket = Ticket(batch=batch.id, tenant=visitor.tenant, plan=plan)
        store.add_batch(batch, ticket)
        return batch


def _cancelling(batch: Batch) -> Batch:
    """Raises `BatchSettled` where it is too late."""
    if batch.status == "cancelling":
        return batch
    if batch.is_settled or batch.status == "finalizing":
        raise BatchSettled(
            f"The batch is {batch.status}, so there is nothing left to cancel. Fetch its files."
        )
    return batch.entering("cancelling")
