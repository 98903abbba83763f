"""What is kept of a request that waits, and of what it came to."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Annotated, Any, Final, Literal

import msgspec

from farthing.billing.ledger import Entry, Name

Status = Literal["queued", "succeeded", "failed", "cancelled"]
Count = Annotated[int, msgspec.Meta(ge=0)]

WAITING: Final = "in/"
FINISHED: Final = "out/"
HOOKS: Final = "hooks/"
ID: Final = re.compile(r"job_[0-9a-f]{32}")
ID_BYTES: Final = 16
MS_PER_S: Final = 1000


class Queued(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it was accepted.

    `function` serves `path`; `request` is its body, without what is about waiting, and `digest`
    tells a repetition from another request under the same idempotency key. `plan` names the terms,
    `quote` is the charge that was told, and `price_max_pico` what the answer may be sold for at
    most; None where the terms know the price beforehand.
    """

    id: str
    tenant: Name
    plan: str
    task: str
    path: str
    model: str
    request: msgspec.Raw = msgspec.Raw(b"null")
    digest: str
    tokens: Count
    quote: dict[str, Any]
    price_max_pico: int | None = None
    webhook: str = ""
    created_ms: Count

    @property
    def name(self) -> str:
        return waiting_name(self.id)

    def as_json(self) -> dict[str, object]:
        """The job as its caller sees it while it waits."""
        return self._told("queued") | {"charge": self.quote}

    def _told(self, status: Status) -> dict[str, object]:
        return {
            "id": self.id,
            "object": "job",
            "status": status,
            "task": self.task,
            "model": self.model,
            "created": self.created_ms // MS_PER_S,
            "usage": {"prompt_tokens": self.tokens},
        }


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """A job's end. `body` is the answer that the same call would have got at once, or the problem.

    `entry` is what the ledger is to know of it; a job that was cancelled has none.
    """

    job: Queued
    status: Status
    body: dict[str, Any] | None = None
    entry: Entry | None = None
    finished_ms: Count

    def facts(self) -> dict[str, object]:
        """What the job came to, without what was answered: for a webhook."""
        answered = self.status == "succeeded" and self.body is not None
        charge = self.body["charge"] if answered and self.body else None
        return (
            self.job._told(self.status)
            | {"finished": self.finished_ms // MS_PER_S}
            | ({"charge": charge, "quote": self.job.quote} if charge else {})
        )

    def as_json(self) -> dict[str, object]:
        """The job as its caller sees it: `response` is the answer, `problem` why there is none."""
        if self.body is None:
            return self.facts()
        return self.facts() | {"response" if self.status == "succeeded" else "problem": self.body}


def new_id(tenant: str, idempotency_key: str, request_id: str) -> str:
    """A job's id, of 128 bits; the same for a tenant's same key.

    Without a key it follows the attempt's own id, which is random, and the same where a platform
    delivers an attempt again.
    """
    attempt = "" if idempotency_key else request_id
    said = msgspec.json.encode((tenant, idempotency_key, attempt))
    return f"job_{blake2b(said, digest_size=ID_BYTES, person=b'farthing-job').hexdigest()}"


def digest_of(path: str, request: bytes) -> str:
    """What tells one request from another."""
    return blake2b(path.encode() + b"\n" + request, digest_size=ID_BYTES).hexdigest()


def waiting_name(job_id: str) -> str:
    return f"{WAITING}{job_id}.json"


def finished_name(job_id: str) -> str:
    return f"{FINISHED}{job_id}.json"


def hook_name(job_id: str) -> str:
    return f"{HOOKS}{job_id}.json"


def writer_of(job_id: str) -> str:
    """The name under which the ledger knows the job; its answer is entry 1 of it."""
    return f"job-{job_id}"
