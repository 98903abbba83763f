"""A job run to its manifest: what is booked, and what another run finds."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from farthing.batch.engines import Event, Failed, Finished, Lost, Started
from farthing.batch.engines.local import LocalEngine
from farthing.batch.errors import Interrupted, JobUnfinished
from farthing.batch.interruption import Stop, interruptions
from farthing.batch.running import Begun, run_job
from farthing.billing.stores import open_store
from farthing.errors import StoreUnavailable
from tests.batch.chaos import total_of
from tests.batch.jobs import parts, settings_of, small_job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from farthing.batch.job import Shard
    from farthing.batch.jobs import Opened
    from farthing.batch.manifest import Manifest
    from farthing.billing.ledger import Entry


class Unbooked:
    """A ledger that does not answer for so many appends."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.entries: dict[tuple[str, int], Entry] = {}

    def append(self, entries: Iterable[Entry], /) -> None:
        if self.refusals:
            self.refusals -= 1
            raise StoreUnavailable("The ledger does not answer. Try again.")
        for entry in entries:
            self.entries.setdefault(entry.key, entry)


class Stopping(LocalEngine):
    """The local engine, in which something happens at each event."""

    def __init__(self, models: Path, at: Callable[[Event], None]) -> None:
        super().__init__(settings_of(models), 1)
        self._at = at

    def run(
        self,
        opened: Opened,
        shards: Sequence[Shard],
        report: Callable[[Event], None],
        stop: Stop,
    ) -> None:
        def heard(event: Event) -> None:
            report(event)
            self._at(event)

        super().run(opened, shards, heard, stop)


def booked(file: Path) -> list[tuple[str, int, str]]:
    """Writer, number and tenant of every entry, read with SQL."""
    with closing(sqlite3.connect(file)) as database:
        query = "SELECT writer, number, tenant FROM entries ORDER BY writer, number"
        return database.execute(query).fetchall()


def run(opened: Opened, models: Path, ledger_file: Path, stop: Stop | None = None) -> Manifest:
    settings = settings_of(models)
    with closing(open_store(f"sqlite:///{ledger_file}")) as ledger:
        engine = LocalEngine(settings, 2)
        return run_job(opened, engine, settings, lambda _: None, stop or Stop(), ledger)


def test_each_shard_is_booked_once_and_the_charge_is_their_sum(
    tmp_path: Path, models_dir: Path
) -> None:
    opened = small_job(tmp_path, models_dir, rows=600)
    manifest = run(opened, models_dir, tmp_path / "ledger.db")
    assert (manifest.rows_in, manifest.rows_out, manifest.rows_rejected) == (600, 600, 0)
    expected = [(f"batch-{opened.job.id}", number, "local") for number in range(1, 7)]
    assert booked(tmp_path / "ledger.db") == expected
    total = total_of([str(manifest.charge["total"])])
    assert total_of(shard.amount for shard in manifest.shards) == total > 0
    again = run(opened, models_dir, tmp_path / "ledger.db")
    assert again == manifest
    assert booked(tmp_path / "ledger.db") == expected


def test_a_job_that_is_stopped_is_resumed_and_billed_once(tmp_path: Path, models_dir: Path) -> None:
    whole = small_job(tmp_path, models_dir, rows=2_000, out="whole")
    run(whole, models_dir, tmp_path / "whole.db")
    opened = small_job(tmp_path, models_dir, rows=2_000)
    settings, stop, done = settings_of(models_dir), Stop(), 0

    def at(event: Event) -> None:
        nonlocal done
        done += isinstance(event, Finished)
        if done == 3:
            stop.set("EC2 takes this spot machine back at once")

    with closing(open_store(f"sqlite:///{tmp_path / 'ledger.db'}")) as ledger:
        engine = Stopping(models_dir, at)
        with pytest.raises(Interrupted, match="farthing batch resume"):
            run_job(opened, engine, settings, lambda _: None, stop, ledger)
    before = opened.done()
    assert 3 <= len(before) < 20
    assert interruptions(opened.storage).count == 1
    assert not (tmp_path / "out" / "manifest.json").exists()

    seen: list[Begun | Event] = []
    with closing(open_store(f"sqlite:///{tmp_path / 'ledger.db'}")) as ledger:
        engine = LocalEngine(settings, 2)
        run_job(opened, engine, settings, seen.append, Stop(), ledger)
    assert seen[0] == Begun(rows_done=100 * len(before), rows=2_000)
    started = {event.shard.number for event in seen if isinstance(event, Started)}
    assert started == set(range(20)) - set(before)
    assert parts(opened) == parts(whole)
    tenants = booked(tmp_path / "ledger.db")
    assert [number for _, number, tenant in tenants if tenant == "local"] == list(range(1, 21))


def test_a_stop_by_hand_is_no_interruption_of_the_machine(tmp_path: Path, models_dir: Path) -> None:
    opened = small_job(tmp_path, models_dir, rows=300)
    stop = Stop()
    stop.set("SIGINT came", by_hand=True)
    with pytest.raises(Interrupted):
        run(opened, models_dir, tmp_path / "ledger.db", stop)
    assert interruptions(opened.storage).count == 0


def test_attempts_that_came_to_nothing_are_the_houses(tmp_path: Path, models_dir: Path) -> None:
    opened = small_job(tmp_path, models_dir, rows=300)
    settings = settings_of(models_dir)

    class Losing:
        name = "losing"

        def run(
            self,
            opened: Opened,
            shards: Sequence[Shard],
            report: Callable[[Event], None],
            stop: Stop,
        ) -> None:
            report(Lost(shards[0], "its machine is gone", 2_000_000))
            LocalEngine(settings, 1).run(opened, shards, report, stop)

    with closing(open_store(f"sqlite:///{tmp_path / 'ledger.db'}")) as ledger:
        manifest = run_job(opened, Losing(), settings, lambda _: None, Stop(), ledger)
        (lost,) = [entry for entry in ledger.entries(0, 2**60) if entry.tenant == "house"]
    assert (lost.kind, lost.usage.busy_ns) == ("refusal", 2_000_000)
    tenants = [tenant for _, _, tenant in booked(tmp_path / "ledger.db")]
    assert sorted(tenants) == ["house", "local", "local", "local"]
    assert len(manifest.shards) == 3


def test_a_shard_that_is_given_up_leaves_a_job_that_can_be_resumed(
    tmp_path: Path, models_dir: Path
) -> None:
    opened = small_job(tmp_path, models_dir, rows=300)
    settings = settings_of(models_dir)

    class GivingUp:
        name = "giving up"

        def run(
            self,
            opened: Opened,
            shards: Sequence[Shard],
            report: Callable[[Event], None],
            stop: Stop,
        ) -> None:
            LocalEngine(settings, 1).run(opened, shards[1:], report, stop)
            report(Failed(shards[0], "its worker was killed"))

    with pytest.raises(JobUnfinished, match="its worker was killed"):
        run_job(opened, GivingUp(), settings, lambda _: None, Stop())
    assert [shard.number for shard in opened.missing()] == [0]
    assert run(opened, models_dir, tmp_path / "ledger.db").rows_in == 300
    assert len(booked(tmp_path / "ledger.db")) == 3


def test_a_ledger_that_is_away_for_a_while_gets_every_entry(
    tmp_path: Path, models_dir: Path
) -> None:
    opened = small_job(tmp_path, models_dir, rows=500)
    settings = settings_of(models_dir)
    ledger = Unbooked(refusals=3)
    run_job(
        opened,
        LocalEngine(settings, 1),
        settings,
        lambda _: None,
        Stop(),
        ledger,  # type: ignore[arg-type]
    )
    assert sorted(number for _, number in ledger.entries) == [1, 2, 3, 4, 5]


def test_a_ledger_that_stays_away_is_told_and_the_next_run_books(
    tmp_path: Path, models_dir: Path
) -> None:
    opened = small_job(tmp_path, models_dir, rows=300)
    settings = settings_of(models_dir)
    engine = LocalEngine(settings, 1)
    ledger = Unbooked(refusals=1_000)
    with pytest.raises(StoreUnavailable):
        run_job(opened, engine, settings, lambda _: None, Stop(), ledger)  # type: ignore[arg-type]
    assert not opened.missing()
    manifest = run(opened, models_dir, tmp_path / "ledger.db")
    assert len(booked(tmp_path / "ledger.db")) == len(manifest.shards) == 3


def test_several_runs_of_a_job_at_once_make_one(tmp_path: Path, models_dir: Path) -> None:
    whole = small_job(tmp_path, models_dir, rows=1_500, out="whole")
    run(whole, models_dir, tmp_path / "whole.db")
    opened = small_job(tmp_path, models_dir, rows=1_500)
    manifests: list[Manifest] = []
    # Made first, as migrations of a new database are not what this is about.
    closing(open_store(f"sqlite:///{tmp_path / 'ledger.db'}")).__exit__()
    runs = [
        threading.Thread(
            target=lambda: manifests.append(run(opened, models_dir, tmp_path / "ledger.db"))
        )
        for _ in range(3)
    ]
    for each in runs:
        each.start()
    for each in runs:
        each.join()
    assert len(manifests) == 3
    assert all(manifest == manifests[0] for manifest in manifests)
    assert parts(opened) == parts(whole)
    local = [row for row in booked(tmp_path / "ledger.db") if row[2] == "local"]
    assert [number for _, number, _ in local] == list(range(1, 16))
