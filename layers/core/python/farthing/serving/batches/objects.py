"""Files and batches as OpenAI's API tells of them, which is how they are kept, too.

https://platform.openai.com/docs/api-reference/batch
"""

from __future__ import annotations

import re
import secrets
import time
from hashlib import blake2b
from typing import Annotated, Any, Final, Literal

import msgspec

from farthing.billing.ledger import Name

ENDPOINTS: Final = {"/v1/embeddings": "embed", "/v1/classify": "classify"}
WINDOW: Final = "24h"
WINDOW_S: Final = 24 * 60 * 60
FILE_ID: Final = re.compile(r"file-[0-9a-f]{44}")
BATCH_ID: Final = re.compile(r"batch_[0-9a-f]{44}")
RANDOM_BYTES: Final = 16
METADATA_MAX: Final = 16

Count = Annotated[int, msgspec.Meta(ge=0)]
Purpose = Literal["batch", "batch_output"]
Status = Literal[
    "validating",
    "in_progress",
    "finalizing",
    "completed",
    "failed",
    "expired",
    "cancelling",
    "cancelled",
]
# A batch in one of these does not change any more.
SETTLED: Final[frozenset[Status]] = frozenset({"completed", "failed", "expired", "cancelled"})


class File(msgspec.Struct, frozen=True, kw_only=True, tag_field="object", tag="file"):
    """`created_at` is in seconds since 1970. What a file holds never changes."""

    id: str
    bytes: Count
    created_at: Count
    filename: str
    purpose: Purpose
    status: Literal["processed"] = "processed"


class LineError(msgspec.Struct, frozen=True, kw_only=True):
    """Why a batch failed: `line` counts from 1, and `param` is the line's member."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


class BatchErrors(msgspec.Struct, frozen=True, tag_field="object", tag="list"):
    data: tuple[LineError, ...]


class RequestCounts(msgspec.Struct, frozen=True):
    """Requests of a batch; those that are neither completed nor failed are still to be done."""

    total: Count = 0
    completed: Count = 0
    failed: Count = 0


class Batch(msgspec.Struct, frozen=True, kw_only=True, tag_field="object", tag="batch"):
    """Times are in seconds since 1970, None for what has not come.

    `usage` and `charge` are those of all its answers, once it is settled.
    """

    id: str
    endpoint: str
    model: str | None = None
    errors: BatchErrors | None = None
    input_file_id: str
    completion_window: str = WINDOW
    status: Status = "validating"
    output_file_id: str | None = None
    error_file_id: str | None = None
    created_at: Count
    in_progress_at: Count | None = None
    expires_at: Count
    finalizing_at: Count | None = None
    completed_at: Count | None = None
    failed_at: Count | None = None
    expired_at: Count | None = None
    cancelling_at: Count | None = None
    cancelled_at: Count | None = None
    request_counts: RequestCounts = RequestCounts()
    metadata: dict[str, str] | None = None
    usage: dict[str, Any] | None = None
    charge: dict[str, Any] | None = None

    @property
    def is_settled(self) -> bool:
        return self.status in SETTLED

    def entering(self, status: Status, **changes: object) -> Batch:
        """The batch in another state, from now on."""
        entered: dict[str, object] = {}
        if status != "validating":
            entered[f"{status}_at"] = int(time.time())
        return msgspec.structs.replace(self, status=status, **entered, **changes)


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """A batch that somebody is to compute: whose it is, and the id of the terms that it was
    accepted under.
    """

    batch: str
    tenant: Name
    plan: str


class BatchRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of requests to one endpoint, to be answered within a day."""

    input_file_id: str
    endpoint: Literal["/v1/embeddings", "/v1/classify"]
    completion_window: Literal["24h"]
    metadata: (
        Annotated[
            dict[
                Annotated[str, msgspec.Meta(max_length=64)],
                Annotated[str, msgspec.Meta(max_length=512)],
            ],
            msgspec.Meta(max_length=METADATA_MAX),
        ]
        | None
    ) = None


def new_file_id() -> str:
    """An id that nobody guesses, and that later ones come after."""
    return f"file-{_stamp()}{secrets.token_hex(RANDOM_BYTES)}"


def new_batch_id() -> str:
    return f"batch_{_stamp()}{secrets.token_hex(RANDOM_BYTES)}"


def result_file_id(batch_id: str, kind: Literal["output", "error"]) -> str:
    """The id of a batch's own file: the same for whoever writes it, and known to no other."""
    stamp = batch_id.partition("_")[2][:12]
    digest = blake2b(f"{kind} of {batch_id}".encode(), digest_size=RANDOM_BYTES)
    return f"file-{stamp}{digest.hexdigest()}"


def _stamp() -> str:
    """Milliseconds since 1970, 12 hex digits."""
    return f"{time.time_ns() // 1_000_000:012x}"
