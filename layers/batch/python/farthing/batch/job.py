"""A job's words: what is asked for, how it is cut into shards, what a shard came to.

    OUT/part-00000.jsonl          what a shard's rows came to, in their order
    OUT/rejected-00000.jsonl      its rows that cannot be scored, with the reason; absent if none
    OUT/manifest.json             written last: the whole job's counts, digests and charge
    OUT/_farthing/job.json        the job
    OUT/_farthing/plan.json       its shards
    OUT/_farthing/done/00000.json what shard 0 came to, written after its files: its checkpoint

Every file appears whole. A shard's checkpoint is written only where none is, so of two workers that
did the same shard one counts; from its checkpoint alone the shard's entry in the ledger is made,
under the job's name and the shard's number, and a second delivery of it changes nothing.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import msgspec

from farthing.billing.tariff import Tariff
from farthing.inference.bundle import Sha256
from farthing.usage import Usage

FORMAT = 1
MANIFEST_FILE = "manifest.json"
JOB_FILE = "_farthing/job.json"
PLAN_FILE = "_farthing/plan.json"
STATE_FOLDER = "_farthing/"
DONE_FOLDER = "_farthing/done/"
ID_HEX = 16

Task = Literal["classify", "embed"]
OutFormat = Literal["jsonl", "parquet"]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """A file as it was when the job was planned.

    `etag` changes whenever its bytes do, as its storage tells it; `bytes` is its size as it lies.
    """

    uri: str
    etag: str
    bytes: Count


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for; `id` is made of all that decides the output, so that the same file
    delivered again is the same job.

    Without `id_column` a row's id is its number in its file. `top_k` is how many labels a row of
    `classify` gets: 1 is the best label and its score. A text of more than `input_max_chars` is
    rejected. `tenant` pays under `plan`, an id.
    `alone`: the bundle's answers depend on their company, so each row is computed by itself.
    """

    id: str
    task: Task
    model: str
    bundle_digest: str
    inputs: Annotated[tuple[Input, ...], msgspec.Meta(min_length=1)]
    text_column: str
    id_column: str | None = None
    out: str
    out_format: OutFormat = "jsonl"
    top_k: Positive = 1
    input_max_chars: Positive = 100_000
    shard_rows: Positive
    tenant: str
    plan: str = ""
    alone: bool = False
    created_ms: Count
    format: int = FORMAT

    @property
    def writer(self) -> str:
        """The name under which the ledger knows the job's shards; shard N is its entry N + 1."""
        return f"batch-{self.id}"


class Shard(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Consecutive rows of one file: `start` to `end` are bytes of its unpacked content, where it
    is text, and rows from 0 on where it is Parquet. `first_row` is the number that the user sees
    for its first row: the header is row 1 of CSV and TSV; others are counted from 1.
    """

    number: Count
    input: Count
    start: Count
    end: Count
    first_row: Count
    rows: Count


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The shards, in the order of their rows; numbered from 0."""

    job: str
    shards: tuple[Shard, ...]


class Digest(msgspec.Struct, frozen=True):
    """What a file's bytes are known by; a part without rows may have none."""

    sha256: Sha256
    bytes: Count


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the output."""

    name: str
    digest: Digest


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What a shard of a job came to. `rows_in` = `rows_out` + `rows_rejected`.

    `usage`, `at_ms`, `request_id`, `function` and `tariff` are those of the attempt that counts,
    whoever books it; `attempt` is which one it was, from 1. `part` is there even where every row
    was rejected, and then has none.
    """

    job: str = ""
    number: Count
    rows_in: Count
    rows_out: Count
    rows_rejected: Count
    part: Written
    rejected: Written | None = None
    usage: Usage
    at_ms: Count
    request_id: str
    function: str = ""
    tariff: Tariff | None = None
    attempt: Positive = 1


def part_name(number: int, out_format: OutFormat) -> str:
    """The name of a shard's rows."""
    return f"part-{number:05d}.{out_format}"


def rejected_name(number: int) -> str:
    """The name of a shard's rejected rows."""
    return f"rejected-{number:05d}.jsonl"


def done_name(number: int) -> str:
    """The name of a shard's checkpoint."""
    return f"{DONE_FOLDER}{number:05d}.json"


def identify(job: Job) -> Job:
    """The job with the id that its content gives it, all but the time: 16 hex digits."""
    content = msgspec.structs.replace(job, id="", created_ms=0)
    digest = hashlib.sha256(msgspec.json.encode(content)).hexdigest()
    return msgspec.structs.replace(job, id=digest[:ID_HEX])
