"""One shard, from its rows to its checkpoint: done whole or not at all, however often it is run."""

from __future__ import annotations

import hashlib
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

import msgspec

from farthing.batch.checkpoints import keep_checkpoint, read_checkpoint
from farthing.batch.errors import InputChanged, Interrupted
from farthing.batch.inputs import Rejected, name_of
from farthing.batch.job import Digest, Done, Written, part_name, rejected_name
from farthing.batch.parts import part_of
from farthing.billing.tariff import tariff_of
from farthing.storage.files import told
from farthing.usage import NS_PER_MS, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farthing.batch.inputs import Rows
    from farthing.batch.job import Job, Shard
    from farthing.batch.parts import Part
    from farthing.batch.scoring import Scorer
    from farthing.settings import Settings
    from farthing.storage import Storage

# Texts that are ordered by length together. More would save little padding and hold more memory.
WINDOW_ROWS = 4096


class Reader(Protocol):
    """Reads a job's shards; see `farthing.batch.inputs`."""

    def rows(self, shard: Shard, window_rows: int, /) -> Iterator[Rows]: ...


class ShardRunner:
    """Runs a job's shards in this process, one after another.

    `init_ns` is what starting took, where the platform bills it: the first shard carries it.
    """

    def __init__(
        self,
        job: Job,
        storage: Storage,
        scorer: Scorer,
        reader: Reader,
        settings: Settings,
        init_ns: int = 0,
    ) -> None:
        self._job = job
        self._storage = storage
        self._scorer = scorer
        self._reader = reader
        self._settings = settings
        self._init_ns = init_ns
        # Loading it is part of the start.
        self._part_type = part_of(job.out_format)

    def run(
        self,
        shard: Shard,
        *,
        request_id: str,
        attempt: int = 1,
        stop: Callable[[], bool] | None = None,
    ) -> Done:
        """What the shard came to, now or when it was done before; `stop` is asked between windows.

        Raises `Interrupted` where it says so, `InputChanged`, `InputInvalid`, and
        `StorageUnavailable` for a disk that is full; then nothing of the shard counts.
        """
        found = read_checkpoint(self._storage, self._job, shard.number)
        if found is not None:
            return found
        started_ns = time.perf_counter_ns()
        with told(Path(tempfile.gettempdir())):
            folder = tempfile.TemporaryDirectory(prefix="farthing-")
        with (
            folder as path,
            _Attempt(self._job, shard, self._scorer, self._part_type, Path(path)) as attempted,
        ):
            for rows in self._reader.rows(shard, WINDOW_ROWS):
                if stop is not None and stop():
                    raise Interrupted(
                        f"Shard {shard.number} was left unfinished, because this machine is being "
                        "taken away. What is done is kept: resume the job."
                    )
                attempted.add(rows)
            attempted.close()
            part = self._write(part_name(shard.number, self._job.out_format), attempted.part_file)
            rejected = None
            if attempted.rows_rejected:
                rejected = self._write(rejected_name(shard.number), attempted.rejected_file)
            done = Done(
                job=self._job.id,
                number=shard.number,
                rows_in=shard.rows,
                rows_out=attempted.rows_out,
                rows_rejected=attempted.rows_rejected,
                part=part,
                rejected=rejected,
                usage=self._usage(attempted, started_ns),
                at_ms=time.time_ns() // NS_PER_MS,
                request_id=request_id,
                function=self._settings.function,
                tariff=tariff_of(self._settings),
                attempt=attempt,
            )
        return keep_checkpoint(self._storage, self._job, done)

    def _write(self, name: str, file: Path) -> Written:
        with told(file), file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        self._storage.write(name, file)
        return Written(name=name, digest=Digest(digest, file.stat().st_size))

    def _usage(self, attempted: _Attempt, started_ns: int) -> Usage:
        settings = self._settings
        init_ns, self._init_ns = self._init_ns, 0
        return Usage(
            prompt_tokens=attempted.tokens,
            truncated=attempted.truncated,
            busy_ns=time.perf_counter_ns() - started_ns,
            init_ns=init_ns,
            memory_mb=settings.memory_mb,
            vcpu_milli=settings.vcpu_milli,
            disk_mb=settings.disk_mb,
            cold=init_ns > 0,
        )


class _Attempt:
    """A shard's files as they grow in a folder of this machine, and what went into them."""

    def __init__(
        self, job: Job, shard: Shard, scorer: Scorer, part_type: type[Part], folder: Path
    ) -> None:
        self._shard = shard
        self._scorer = scorer
        self._file = name_of(job.inputs[shard.input].uri)
        self._encoder = msgspec.json.Encoder()
        self.part_file = folder / "part"
        self.rejected_file = folder / "rejected"
        self._part = part_type(job, scorer.labels, scorer.dims, self.part_file)
        self.rows_out = self.rows_rejected = self.tokens = self.truncated = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._part.abandon()

    def add(self, rows: Rows) -> None:
        """The next rows of the shard, scored and written."""
        rejected = list(rows.rejected)
        if rows.texts:
            scored = self._scorer.score(rows.texts)
            self.tokens += scored.tokens
            self.truncated += scored.truncated
            ids, values = rows.ids, scored.values
            if scored.failed:
                rejected += self._failures(rows, scored.failed)
                kept = [place for place in range(len(ids)) if place not in scored.failed]
                ids, values = [ids[place] for place in kept], values[kept]
            self.rows_out += len(ids)
            self._part.add(ids, values)
        if rejected:
            self._reject(rejected)

    def close(self) -> None:
        """Ends the files. Raises `InputChanged` unless the rows are those that were planned."""
        self._part.close()
        rows_in = self.rows_out + self.rows_rejected
        if rows_in != self._shard.rows:
            raise InputChanged(
                f"{self._file} has {rows_in} rows where it had {self._shard.rows} when the job was "
                "planned. Let nothing write to it, and run the job again."
            )

    def _failures(self, rows: Rows, failed: dict[int, str]) -> Iterator[Rejected]:
        for place, reason in failed.items():
            yield Rejected(self._file, rows.numbers[place], rows.ids[place], reason)

    def _reject(self, rejected: list[Rejected]) -> None:
        rejected.sort(key=lambda row: row.row)
        self.rows_rejected += len(rejected)
        with told(self.rejected_file), self.rejected_file.open("ab") as file:
            file.write(self._encoder.encode_lines(rejected))
