"""A job's end: what became of every row, in which files, and what it is sold for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from farthing.batch.booking import add_up, prices_of
from farthing.batch.errors import JobUnfinished
from farthing.batch.job import FORMAT, MANIFEST_FILE, Count, Job, Shard, Written
from farthing.errors import FileMissing, PublishConflict
from farthing.money import plain

if TYPE_CHECKING:
    from farthing.batch.job import Done
    from farthing.batch.jobs import Opened
    from farthing.billing.meter import Charge
    from farthing.settings import Settings


class ShardLine(msgspec.Struct, frozen=True, kw_only=True):
    """One shard of the job: which rows, what they came to, and its price in US dollars."""

    number: Count
    file: str
    first_row: Count
    rows_in: Count
    rows_out: Count
    rows_rejected: Count
    part: Written
    rejected: Written | None
    tokens: Count
    truncated: Count
    busy_ns: Count
    request_id: str
    attempt: int
    amount: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The job as it ended. `rows_in` = `rows_out` + `rows_rejected`; the shards' amounts add up to
    the charge's total.

    `started_ms` is when the job was planned, `finished_ms` when its last shard was done.
    """

    format: int = FORMAT
    job: Job
    started_ms: Count
    finished_ms: Count
    rows_in: Count
    rows_out: Count
    rows_rejected: Count
    tokens: Count
    truncated: Count
    busy_ns: Count
    charge: dict[str, object]
    shards: tuple[ShardLine, ...]


def finish(opened: Opened, settings: Settings) -> Manifest:
    """The job's manifest, written once: whoever finishes a finished job reads what is there.

    Raises `JobUnfinished` where shards are still to be done, `LedgerError` for a plan whose terms
    are not known here.
    """
    found = read_manifest(opened)
    if found is not None:
        return found
    dones = opened.done()
    missing = len(opened.plan.shards) - len(dones)
    if missing:
        raise JobUnfinished(
            f"{missing} of the {len(opened.plan.shards)} shards in {opened.storage.url} are still "
            "to be done. Resume the job."
        )
    prices = prices_of(opened.job, dones.values(), settings)
    charge = add_up(list(prices.values()), settings)
    manifest = Manifest(
        job=opened.job,
        started_ms=opened.job.created_ms,
        finished_ms=max(done.at_ms for done in dones.values()),
        rows_in=sum(done.rows_in for done in dones.values()),
        rows_out=sum(done.rows_out for done in dones.values()),
        rows_rejected=sum(done.rows_rejected for done in dones.values()),
        tokens=sum(done.usage.prompt_tokens for done in dones.values()),
        truncated=sum(done.usage.truncated for done in dones.values()),
        busy_ns=sum(done.usage.busy_ns for done in dones.values()),
        charge=charge.as_json(),
        shards=tuple(
            _line(opened.job, shard, dones[shard.number], prices[shard.number])
            for shard in opened.plan.shards
        ),
    )
    content = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    try:
        opened.storage.write(MANIFEST_FILE, content, expect=None)
    except PublishConflict:
        return read_manifest(opened) or manifest
    return manifest


def read_manifest(opened: Opened) -> Manifest | None:
    """The manifest of a finished job; None before. Raises `JobUnfinished` for a broken one."""
    try:
        raw = opened.storage.read(MANIFEST_FILE)
    except FileMissing:
        return None
    try:
        return msgspec.json.decode(raw, type=Manifest)
    except msgspec.MsgspecError as error:
        raise JobUnfinished(
            f"{opened.storage.url}/{MANIFEST_FILE} is no manifest of a job: {error}. Remove it "
            "and resume the job, which writes it again."
        ) from None


def _line(job: Job, shard: Shard, done: Done, price: Charge) -> ShardLine:
    return ShardLine(
        number=shard.number,
        file=job.inputs[shard.input].uri,
        first_row=shard.first_row,
        rows_in=done.rows_in,
        rows_out=done.rows_out,
        rows_rejected=done.rows_rejected,
        part=done.part,
        rejected=done.rejected,
        tokens=done.usage.prompt_tokens,
        truncated=done.usage.truncated,
        busy_ns=done.usage.busy_ns,
        request_id=done.request_id,
        attempt=done.attempt,
        amount=plain(price.total),
    )
