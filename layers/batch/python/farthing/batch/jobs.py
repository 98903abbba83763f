"""Jobs by where their output lies: planned once, found again, and gone on with."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar, get_args

import msgspec

from farthing.batch.booking import plan_of
from farthing.batch.bundles import choose_bundle
from farthing.batch.checkpoints import read_checkpoints
from farthing.batch.errors import JobInvalid, JobMissing, OutputExists
from farthing.batch.inputs import find_inputs, plan_shards
from farthing.batch.job import (
    JOB_FILE,
    PLAN_FILE,
    Job,
    OutFormat,
    Plan,
    Task,
    identify,
)
from farthing.batch.outputs import clear, has_output, refuse_inside, whole
from farthing.errors import FileMissing, PublishConflict
from farthing.storage import open_storage
from farthing.usage import NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Callable

    from farthing.batch.job import Done, Shard
    from farthing.settings import Settings
    from farthing.storage import Storage

SHARD_ROWS = 20_000

Choice = TypeVar("Choice", bound=str)
Kept = TypeVar("Kept", Job, Plan)


class JobRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody asks for. `uris` may be globs; `text` and `id` are columns, and without `id`
    a row's number stands for it. `plan` is a plan's name; `overwrite` lets another job's output be
    removed first.
    """

    uris: tuple[str, ...]
    task: str
    text: str
    out: str
    id: str | None = None
    model: str | None = None
    out_format: str = "jsonl"
    top_k: int = 1
    shard_rows: int = SHARD_ROWS
    overwrite: bool = False
    tenant: str | None = None
    plan: str | None = None


class Opened:
    """A planned job, and the storage that has its output."""

    def __init__(self, job: Job, plan: Plan, storage: Storage) -> None:
        self.job = job
        self.plan = plan
        self.storage = storage

    def done(self) -> dict[int, Done]:
        """What is done by now, by shard."""
        return read_checkpoints(self.storage, self.job)

    def missing(self) -> list[Shard]:
        """The shards that are still to be done, in order."""
        done = self.done()
        return [shard for shard in self.plan.shards if shard.number not in done]


def create_job(
    request: JobRequest,
    settings: Settings,
    progress: Callable[[int, int], None] | None = None,
) -> Opened:
    """The job that is asked for, planned; or as it stands, where it was begun before.

    Nothing is written unless all its files can be read. Raises `JobInvalid`, `InputInvalid`,
    `OutputExists` where something else lies in `out`, `SettingsError`, `StorageUnavailable`.
    """
    job = _job(request, settings)
    storage = open_storage(job.out)
    # In this order: a job that begins in between is found, and its files are not a stranger's.
    is_taken = has_output(storage)
    found = _read(storage, JOB_FILE, Job)
    if found is not None and found.id == job.id:
        return Opened(found, _planned(found, storage, progress), storage)
    if (is_taken or found is not None) and not request.overwrite:
        raise _occupied(storage, found)
    plan = plan_shards(job, progress)
    if _read(storage, JOB_FILE, Job) != found:
        return create_job(request, settings, progress)
    if request.overwrite:
        clear(storage)
    try:
        storage.write(JOB_FILE, msgspec.json.encode(job), expect=None)
    except PublishConflict:
        # Somebody began a job here this very moment: the same one, perhaps.
        return create_job(request, settings, progress)
    storage.write(PLAN_FILE, msgspec.json.encode(plan))
    return Opened(job, plan, storage)


def open_job(address: str) -> Opened:
    """The job whose output lies at that address. Raises `JobMissing` where there is none."""
    storage = open_storage(address)
    job, plan = _read(storage, JOB_FILE, Job), _read(storage, PLAN_FILE, Plan)
    if job is None or plan is None or plan.job != job.id:
        raise JobMissing(
            f"There is no planned job in {storage.url}. Give the folder that a job writes to, or "
            "begin it with `farthing batch run`."
        )
    return Opened(job, plan, storage)


def _planned(job: Job, storage: Storage, progress: Callable[[int, int], None] | None) -> Plan:
    """The plan that is there, or made again where its writer died over it."""
    plan = _read(storage, PLAN_FILE, Plan)
    if plan is None or plan.job != job.id:
        plan = plan_shards(job, progress)
        storage.write(PLAN_FILE, msgspec.json.encode(plan))
    return plan


def _occupied(storage: Storage, found: Job | None) -> OutputExists:
    if found is None:
        what = "parts or a manifest that no job here left"
    else:
        what = f"the output of another job, {found.id}"
    return OutputExists(
        f"{storage.url} has {what}. Give another place, or --overwrite to remove that."
    )


def _job(request: JobRequest, settings: Settings) -> Job:
    """The job that is asked for, checked in all that needs no reading of its files."""
    task = _one_of("task", request.task, get_args(Task))
    out_format = _one_of("format", request.out_format, get_args(OutFormat))
    bundle = choose_bundle(task, request.model, settings)
    labels = len(bundle.manifest.labels) if task == "classify" else 1
    if not 1 <= request.top_k <= labels:
        raise JobInvalid(
            f"The best {request.top_k} labels were asked for; {bundle.manifest.name} gives 1 to "
            f"{labels}. Ask for so many."
        )
    if request.shard_rows < 1:
        raise JobInvalid(
            f"Shards of {request.shard_rows} rows were asked for. Give 1 row or more; "
            f"{SHARD_ROWS} suit most jobs."
        )
    out = whole(request.out)
    refuse_inside(request.uris, out, out_format)
    return identify(
        Job(
            id="",
            task=task,
            model=bundle.manifest.name,
            bundle_digest=bundle.digest,
            inputs=find_inputs(request.uris),
            text_column=request.text,
            id_column=request.id,
            out=out,
            out_format=out_format,
            top_k=request.top_k,
            input_max_chars=settings.input_max_chars,
            shard_rows=request.shard_rows,
            tenant=request.tenant or settings.tenant,
            plan=plan_of(request.plan, settings),
            alone=not bundle.manifest.batch_drift.is_zero,
            created_ms=time.time_ns() // NS_PER_MS,
        )
    )


def _one_of(what: str, given: str, choices: tuple[Choice, ...]) -> Choice:
    for choice in choices:
        if choice == given:
            return choice
    raise JobInvalid(
        f"There is no {what} {given!r} for batch jobs; there is {', '.join(choices)}. "
        "Choose one of those."
    )


def _read(storage: Storage, name: str, kind: type[Kept]) -> Kept | None:
    """What lies there under that name; None for nothing. Raises `JobInvalid` for what is broken."""
    try:
        raw = storage.read(name)
    except FileMissing:
        return None
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.MsgspecError as error:
        raise JobInvalid(
            f"{storage.url}/{name} cannot be read as a job's: {error}. Give another place for the "
            "output, or remove the folder _farthing there."
        ) from None
