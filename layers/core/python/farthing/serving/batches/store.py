"""Where files and batches are kept: below the address of FARTHING_JOBS.

    files/TENANT/file-….json     what is told of a file, written after its lines
    files/TENANT/file-….jsonl    its lines
    batches/in/batch_….json      a batch that somebody is to compute: its ticket
    batches/of/TENANT/batch_….json   what is told of a batch
    batches/work/batch_…/        its plan and what was computed of it, until it is settled

A tenant finds what is below its own name, and nothing else.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import msgspec

from farthing.errors import FileMissing, InvalidRequest, PublishConflict
from farthing.serving.batches.errors import UnknownObject
from farthing.serving.batches.objects import (
    BATCH_ID,
    FILE_ID,
    Batch,
    File,
    Purpose,
    Ticket,
    new_file_id,
)

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from threading import Event

    from farthing.storage import Storage

TICKETS: Final = "batches/in/"


class BatchStore:
    """Ids are checked before they name anything. Raises as `Storage` does.

    `news` is set whenever this process has a batch that is to be computed.
    """

    def __init__(self, storage: Storage, news: Event | None = None) -> None:
        self.storage = storage
        self._news = news

    def add_file(
        self,
        tenant: str,
        content: bytes | Path,
        *,
        filename: str,
        purpose: Purpose,
        file_id: str | None = None,
    ) -> File:
        """A new file; under an id that is taken, the one that is there."""
        file = File(
            id=file_id or new_file_id(),
            bytes=len(content) if isinstance(content, bytes) else content.stat().st_size,
            created_at=int(time.time()),
            filename=filename,
            purpose=purpose,
        )
        try:
            self.storage.write(_lines_name(tenant, file.id), content, expect=None)
        except PublishConflict:
            if file_id is None:
                raise
        try:
            self.storage.write(_file_name(tenant, file.id), msgspec.json.encode(file), expect=None)
        except PublishConflict:
            return self.file(tenant, file.id)
        return file

    def file(self, tenant: str, file_id: str) -> File:
        """Raises `UnknownObject`, and `InvalidRequest` for what is no id."""
        _check(file_id, FILE_ID, "file")
        try:
            return msgspec.json.decode(self.storage.read(_file_name(tenant, file_id)), type=File)
        except FileMissing:
            raise _unknown("file") from None

    def files(self, tenant: str) -> list[str]:
        """The tenant's ids, the oldest first."""
        return self._ids(f"files/{tenant}/", FILE_ID)

    def lines(self, tenant: str, file_id: str, start: int = 0) -> Iterator[bytes]:
        """What a file holds from byte `start` on. Raises `FileMissing`."""
        return self.storage.stream(_lines_name(tenant, file_id), start)

    def remove_file(self, tenant: str, file_id: str) -> None:
        """Raises `UnknownObject`, and `InvalidRequest` for what is no id."""
        self.file(tenant, file_id)
        self.storage.delete(_file_name(tenant, file_id))
        self.storage.delete(_lines_name(tenant, file_id))

    def add_batch(self, batch: Batch, ticket: Ticket) -> None:
        """The ticket comes last: whoever finds it finds the batch."""
        name = _batch_name(ticket.tenant, batch.id)
        self.storage.write(name, msgspec.json.encode(batch), expect=None)
        self.storage.write(ticket_name(batch.id), msgspec.json.encode(ticket), expect=None)
        if self._news is not None:
            self._news.set()

    def batch(self, tenant: str, batch_id: str) -> Batch:
        """Raises `UnknownObject`, and `InvalidRequest` for what is no id."""
        _check(batch_id, BATCH_ID, "batch")
        try:
            return msgspec.json.decode(self.storage.read(_batch_name(tenant, batch_id)), type=Batch)
        except FileMissing:
            raise _unknown("batch") from None

    def batches(self, tenant: str) -> list[str]:
        """The tenant's ids, the oldest first."""
        return self._ids(f"batches/of/{tenant}/", BATCH_ID)

    def change(self, tenant: str, batch_id: str, change: Callable[[Batch], Batch]) -> Batch:
        """The batch after a change of it as it is now, whoever else changes it.

        `change` may be asked again. One that gives back what it got writes nothing. Raises
        `UnknownObject`.
        """
        name = _batch_name(tenant, batch_id)
        while True:
            etag = self.storage.etag(name)
            batch = self.batch(tenant, batch_id)
            changed = change(batch)
            if changed is batch:
                return batch
            try:
                self.storage.write(name, msgspec.json.encode(changed), expect=etag)
            except PublishConflict:
                # Whoever was first has got on, so this ends.
                continue
            return changed

    def pending(self) -> list[str]:
        """The ids of the batches that are to be computed, the oldest first."""
        return self._ids(TICKETS, BATCH_ID)

    def ticket(self, batch_id: str) -> Ticket | None:
        """None where nobody is to compute it: it is settled, or there is none. Raises
        `InvalidRequest` for what is no id.
        """
        _check(batch_id, BATCH_ID, "batch")
        try:
            return msgspec.json.decode(self.storage.read(ticket_name(batch_id)), type=Ticket)
        except FileMissing:
            return None

    def settle(self, batch_id: str) -> None:
        """Removes what was kept to compute a batch; the ticket last."""
        for name in list(self.storage.names(work_name(batch_id, ""))):
            self.storage.delete(name)
        self.storage.delete(ticket_name(batch_id))

    def _ids(self, prefix: str, pattern: re.Pattern[str]) -> list[str]:
        names = (name.removeprefix(prefix) for name in self.storage.names(prefix))
        stems = (name.removesuffix(".json") for name in names if name.endswith(".json"))
        return [stem for stem in stems if pattern.fullmatch(stem)]


def ticket_name(batch_id: str) -> str:
    return f"{TICKETS}{batch_id}.json"


def work_name(batch_id: str, name: str) -> str:
    """The name of a file that is needed while the batch is computed."""
    return f"batches/work/{batch_id}/{name}"


def _file_name(tenant: str, file_id: str) -> str:
    return f"files/{tenant}/{file_id}.json"


def _lines_name(tenant: str, file_id: str) -> str:
    return f"files/{tenant}/{file_id}.jsonl"


def _batch_name(tenant: str, batch_id: str) -> str:
    return f"batches/of/{tenant}/{batch_id}.json"


def _check(object_id: str, pattern: re.Pattern[str], kind: str) -> None:
    if not pattern.fullmatch(object_id):
        raise InvalidRequest(
            f"What is asked for is no {kind}'s id. Take it from what told you of the {kind}."
        )


def _unknown(kind: str) -> UnknownObject:
    return UnknownObject(f"You have no {kind} of this id. Ask for the list of those that you have.")
