"""What one instance does for events: plans jobs, runs their shards, hands on what is too much."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any

from farthing.batch.checkpoints import read_checkpoint
from farthing.batch.errors import Interrupted, JobInvalid, JobMissing
from farthing.batch.events.books import Books
from farthing.batch.events.envelopes import JobAsked, ShardsAsked, WaitingAsked
from farthing.batch.events.handing import Hands
from farthing.batch.events.pace import Pace
from farthing.batch.events.places import name_below, out_of, refuse_local
from farthing.batch.inputs import Reader, find_inputs
from farthing.batch.interruption import count_interruption
from farthing.batch.job import DONE_FOLDER, done_name
from farthing.batch.jobs import JobRequest, create_job, open_job
from farthing.batch.manifest import finish, read_manifest
from farthing.batch.scoring import Scorer
from farthing.batch.shards import ShardRunner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.batch.events.calls import Call
    from farthing.batch.events.envelopes import Work
    from farthing.batch.events.requests import Requests
    from farthing.batch.job import Job, Shard
    from farthing.batch.jobs import Opened
    from farthing.settings import Settings


class Worker:
    """Keeps models, and what it learnt of their pace, from one event to the next."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ends = ExitStack()
        self._books = Books(settings)
        self._ends.callback(self._books.close)
        self._hands = Hands(settings)
        self._scorers: dict[tuple[str, str], Scorer] = {}
        self._paces: defaultdict[str, Pace] = defaultdict(Pace)
        self._init_is_due = settings.host == "lambda" and settings.initialization == "on-demand"

    def do(self, work: Work, call: Call) -> list[dict[str, Any]]:
        """What was done, for the log and for whoever asked; nothing for what is our own output.

        Raises `FarthingError`. What was done before is kept and is not done again.
        """
        if isinstance(work, ShardsAsked):
            opened = open_job(work.job)
            refuse_local([each.uri for each in opened.job.inputs], self._settings)
            return [self._run(opened, _chosen(opened, work.shards), call, is_whole=False)]
        if isinstance(work, WaitingAsked):
            return self._requests.do_waiting(call) if self._settings.jobs else []
        if not isinstance(work, JobAsked):
            waiting = name_below(work.uri, self._settings.jobs)
            if waiting is not None:
                return self._requests.do(waiting, call)
            if name_below(work.uri, self._settings.batch_out) is not None:
                return []
            work = JobAsked(inputs=(work.uri,))
        else:
            refuse_local(work.inputs, self._settings)
        opened = self._open(work)
        return [self._run(opened, opened.plan.shards, call, is_whole=True)]

    def close(self) -> None:
        """Hands over what is not yet in the ledger."""
        self._ends.close()

    @cached_property
    def _requests(self) -> Requests:
        from farthing.batch.events.requests import Requests

        requests = Requests(self._settings)
        self._ends.callback(requests.close)
        return requests

    def _open(self, asked: JobAsked) -> Opened:
        """The job, planned now or before: what was begun is gone on with as it was begun."""
        settings = self._settings
        out = asked.out
        if out is None:
            # By what lies there now: a late event of an older file is about this one, too.
            out = out_of(find_inputs(asked.inputs), settings)
            try:
                return open_job(out)
            except JobMissing:
                pass
        request = JobRequest(
            uris=asked.inputs,
            task=asked.task or settings.batch_task,
            text=asked.text or settings.batch_text,
            id=asked.id or settings.batch_id or None,
            model=asked.model,
            out=out,
            out_format=asked.format or settings.batch_format,
            top_k=asked.top_k,
            shard_rows=asked.shard_rows or settings.batch_shard_rows,
        )
        return create_job(request, settings)

    def _run(
        self, opened: Opened, asked: Sequence[Shard], call: Call, *, is_whole: bool
    ) -> dict[str, Any]:
        """Runs what is missing of the shards, as far as there is time, and ends the job if it was
        the last of it."""
        told = {"job": opened.job.id, "out": opened.storage.url, "shards": 0, "handed_on": 0}
        if read_manifest(opened) is not None:
            return told | {"finished": True}
        known = set(opened.storage.names(DONE_FOLDER))
        rest = deque(shard for shard in asked if done_name(shard.number) not in known)
        if not is_whole:
            self._keep_again(opened, [shard for shard in asked if done_name(shard.number) in known])
        if rest:
            try:
                told |= self._run_all(opened, rest, call, is_whole=is_whole)
            except Interrupted:
                if call.stop is not None and call.is_stopped:
                    count_interruption(opened.storage, call.stop.reason)
                raise
        new = {shard.number for shard in asked if done_name(shard.number) not in known}
        return told | {"finished": not rest and self._finished(opened, new)}

    def _run_all(
        self, opened: Opened, rest: deque[Shard], call: Call, *, is_whole: bool
    ) -> dict[str, int]:
        """Takes shards from `rest` while there is time; what then is left is others' to do.

        Raises `Interrupted` where nobody else is there, or nothing was done.
        """
        pace = self._paces[opened.job.model]
        self._books.check(opened.job, sum(shard.rows for shard in rest), pace)
        has_hands = is_whole and self._hands.are_there
        reader = Reader(opened.job)
        count = 0
        try:
            runner = self._runner(opened, reader)
            # What is too much for this call is for many others at once.
            while rest and pace.has_time(call, rest if has_hands else [rest[0]]):
                self._one(opened, runner, rest[0], call)
                rest.popleft()
                count += 1
        finally:
            reader.close()
        if rest and has_hands:
            self._hands.hand_out(opened, rest, pace.shards_in(call.whole_ms // 2, rest[0]))
        elif rest and call.has_queue and count and not call.is_stopped:
            self._hands.pass_on(opened, rest, 1)
        elif rest:
            raise Interrupted(
                f"The call ends, and {len(rest)} shards in {opened.storage.url} are still to be "
                "done. What is done is kept: send the event again, or resume the job."
            )
        return {"shards": count, "handed_on": len(rest)}

    def _one(self, opened: Opened, runner: ShardRunner, shard: Shard, call: Call) -> None:
        job = opened.job
        started_ns = time.perf_counter_ns()
        try:
            done = runner.run(shard, request_id=call.request_id, stop=call.is_over)
        except BaseException:
            self._books.lost(job, time.perf_counter_ns() - started_ns, call.request_id)
            raise
        self._books.keep(job, done)
        if done.request_id == call.request_id:
            self._paces[job.model].learn(done)
        else:
            # Another was first, and its checkpoint counts.
            self._books.lost(job, time.perf_counter_ns() - started_ns, call.request_id)

    def _finished(self, opened: Opened, new: set[int]) -> bool:
        """Whether the job has ended; whoever does its last shard writes its manifest.

        All entries but those of this call are kept again before: that of a worker who died over its
        own is there then.
        """
        if len(list(opened.storage.names(DONE_FOLDER))) < len(opened.plan.shards):
            return False
        others = [shard for shard in opened.plan.shards if shard.number not in new]
        self._keep_again(opened, others)
        finish(opened, self._settings)
        return True

    def _keep_again(self, opened: Opened, shards: Sequence[Shard]) -> None:
        for shard in shards:
            done = read_checkpoint(opened.storage, opened.job, shard.number)
            if done is not None:
                self._books.keep(opened.job, done)

    def _runner(self, opened: Opened, reader: Reader) -> ShardRunner:
        job, settings = opened.job, self._settings
        scorer = self._scorer(job)
        init_ns = 0
        if self._init_is_due:
            from farthing.serving.service import process_age_ns

            self._init_is_due, init_ns = False, process_age_ns()
        return ShardRunner(job, opened.storage, scorer, reader, settings, init_ns)

    def _scorer(self, job: Job) -> Scorer:
        key = job.model, job.bundle_digest
        if key not in self._scorers:
            threads = self._settings.threads_per_call
            self._scorers[key] = Scorer.open(job, self._settings, threads)
        return self._scorers[key]


def _chosen(opened: Opened, numbers: Sequence[int]) -> list[Shard]:
    """The plan's shards of these numbers, in order. Raises `JobInvalid` where it has no such."""
    by_number = {shard.number: shard for shard in opened.plan.shards}
    strange = sorted(set(numbers) - by_number.keys())
    if strange:
        raise JobInvalid(
            f"Shard {strange[0]} was asked for of the job {opened.job.id}, which has "
            f"{len(by_number)}. Send shards of its own plan."
        )
    return [by_number[number] for number in sorted(set(numbers))]
