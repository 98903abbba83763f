"""The local engine: real processes, killed, stopped and replaced."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from farthing.batch.engines import (
    ATTEMPTS_MAX,
    ENGINES,
    Event,
    Failed,
    Finished,
    Lost,
    Started,
    get_engine,
)
from farthing.batch.engines.local import LocalEngine
from farthing.batch.errors import EngineUnavailable, InputChanged, JobInvalid
from farthing.batch.interruption import Stop
from farthing.errors import BundleMissing
from tests.batch.chaos import clean_environ
from tests.batch.jobs import parts, settings_of, small_job

if TYPE_CHECKING:
    from farthing.batch.jobs import Opened

ROOT = Path(__file__).parent.parent.parent
# What a worker runs that is killed over a shard, at each of the first attempts: when all of it is
# written but the checkpoint. It does so itself: whoever looks on may come when the shard is done.
DOOMED = """
import os, signal
from farthing.batch import shards, workers

keep = shards.keep_checkpoint

def die(storage, job, done):
    if done.number == {number} and done.attempt <= {attempts}:
        os.kill(os.getpid(), signal.SIGKILL)
    return keep(storage, job, done)

shards.keep_checkpoint = die
workers.main()
"""


def children() -> list[psutil.Process]:
    """The engine's workers, not whatever else this process has started."""
    found = []
    for child in psutil.Process().children():
        # One that ended a moment ago has no command line any more.
        with suppress(psutil.Error):
            if any("farthing.batch.workers" in word for word in child.cmdline()):
                found.append(child)
    return found


def doom(monkeypatch: pytest.MonkeyPatch, number: int, attempts: int = 1) -> None:
    """Has every worker killed that tries shard `number` for the first `attempts` times."""
    program = DOOMED.format(number=number, attempts=attempts)
    monkeypatch.setattr("farthing.batch.workers.START", program)


def run(opened: Opened, models: Path, workers: int) -> list[Event]:
    events: list[Event] = []
    LocalEngine(settings_of(models), workers).run(opened, opened.missing(), events.append, Stop())
    return events


def test_every_engine_is_found_by_its_name_and_an_unknown_one_is_refused(models_dir: Path) -> None:
    settings = settings_of(models_dir)
    assert get_engine("local", settings, workers=1).name == "local"
    with pytest.raises(JobInvalid) as refused:
        get_engine("hadoop", settings)
    assert all(name in str(refused.value) for name in ENGINES)


def test_the_output_is_the_same_whoever_many_work_on_it(tmp_path: Path, models_dir: Path) -> None:
    rows = set()
    for workers in (1, 2, 3):
        opened = small_job(tmp_path, models_dir, out=f"out{workers}")
        events = run(opened, models_dir, workers)
        finished = [event.done.number for event in events if isinstance(event, Finished)]
        assert sorted(finished) == list(range(10))
        assert not opened.missing()
        rows.add(parts(opened))
    assert len(rows) == 1
    assert len(rows.pop().splitlines()) == 1_000


def test_a_worker_that_is_killed_is_replaced_and_its_shard_done_again(
    tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = small_job(tmp_path, models_dir)
    doom(monkeypatch, 4)
    events = run(opened, models_dir, 1)
    (lost,) = [event for event in events if isinstance(event, Lost)]
    assert lost.shard.number == 4
    assert "SIGKILL" in lost.reason
    assert [event.attempt for event in events if isinstance(event, Started)].count(2) == 1
    assert opened.done()[4].attempt == 2
    assert len(opened.done()) == 10
    assert not children()


def test_a_lost_shard_of_a_packed_file_is_read_again_by_a_worker_that_is_past_it(
    tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = small_job(tmp_path, models_dir, out="plain")
    run(plain, models_dir, 2)
    opened = small_job(tmp_path, models_dir, packed=True)
    doom(monkeypatch, 4)
    events = run(opened, models_dir, 2)
    assert [event.shard.number for event in events if isinstance(event, Lost)] == [4]
    assert parts(opened) == parts(plain)


def test_a_shard_that_kills_every_worker_is_given_up_and_the_others_are_done(
    tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = small_job(tmp_path, models_dir, rows=400)
    doom(monkeypatch, 1, attempts=ATTEMPTS_MAX)
    events = run(opened, models_dir, 1)
    assert [event.shard.number for event in events if isinstance(event, Lost)] == [1] * ATTEMPTS_MAX
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert failed.shard.number == 1
    assert sorted(opened.done()) == [0, 2, 3]


def test_a_stop_ends_the_workers_soon_and_keeps_what_is_done(
    tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So slow is no machine that a worker has to be killed: it ends by itself.
    monkeypatch.setattr("farthing.batch.engines.local.END_S_MAX", 600.0)
    opened = small_job(tmp_path, models_dir, rows=20_000, shard_rows=5_000)
    stop, events = Stop(), list[Event]()

    def report(event: Event) -> None:
        events.append(event)
        if isinstance(event, Finished):
            stop.set("enough")

    LocalEngine(settings_of(models_dir), 1).run(opened, opened.missing(), report, stop)
    assert not children()
    finished = {event.done.number for event in events if isinstance(event, Finished)}
    assert set(opened.done()) == finished
    # A worker has one shard at a time, and leaves it, or has just ended it.
    assert 1 <= len(finished) <= 2
    lost = [event for event in events if isinstance(event, Lost)]
    assert [event.shard.number for event in lost] in ([], [max(finished) + 1])
    for event in lost:
        assert event.reason == "it was stopped"
        assert event.busy_ns > 0


def test_a_file_that_changes_stops_the_whole_job(tmp_path: Path, models_dir: Path) -> None:
    opened = small_job(tmp_path, models_dir, rows=300)
    file = tmp_path / "titles-300.tsv"
    file.write_bytes(file.read_bytes() + b"r300\tone more\n")
    with pytest.raises(InputChanged):
        run(opened, models_dir, 2)
    assert not opened.done()
    assert not children()


def test_a_bundle_that_is_gone_is_told_as_it_is(tmp_path: Path, models_dir: Path) -> None:
    opened = small_job(tmp_path, models_dir, rows=300)
    (tmp_path / "models").mkdir()
    with pytest.raises(BundleMissing):
        run(opened, tmp_path / "models", 2)


def test_workers_that_never_begin_are_not_started_for_ever(
    tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = small_job(tmp_path, models_dir, rows=300)
    monkeypatch.setattr("farthing.batch.workers.START", "import os; os._exit(3)")
    with pytest.raises(EngineUnavailable, match="exit code 3"):
        run(opened, models_dir, 1)


PARENT = """
import json, sys
from pathlib import Path
from farthing.batch.engines.local import LocalEngine
from farthing.batch.interruption import Stop
from farthing.batch.jobs import open_job
from farthing.settings import read_settings

opened = open_job(sys.argv[1])
settings = read_settings({"FARTHING_PLATFORM": "local"}, models=sys.argv[2])
LocalEngine(settings, 1).run(
    opened, opened.missing(), lambda event: print(event, flush=True), Stop()
)
print(json.dumps(sorted(sys.modules)))
"""


def test_the_parent_loads_no_model(tmp_path: Path, models_dir: Path) -> None:
    opened = small_job(tmp_path, models_dir, rows=200)
    done = subprocess.run(
        [sys.executable, "-c", PARENT, opened.storage.url, str(models_dir)],
        env=clean_environ(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert len(opened.done()) == 2
    assert not {"onnxruntime", "tokenizers"} & set(json.loads(done.stdout.splitlines()[-1]))


def test_workers_end_with_their_parent_and_leave_no_files(tmp_path: Path, models_dir: Path) -> None:
    opened = small_job(tmp_path, models_dir, rows=20_000, shard_rows=2_000)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, opened.storage.url, str(models_dir)],
        env=clean_environ(TMPDIR=str(temporary)),
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        assert "Started" in parent.stdout.readline()
        workers = psutil.Process(parent.pid).children()
        assert len(workers) == 1
        os.kill(parent.pid, signal.SIGKILL)
    gone, alive = psutil.wait_procs(workers, timeout=60)
    assert gone
    assert not alive
    assert not [file for file in temporary.rglob("*") if file.is_file()]
    assert not (Path(opened.storage.url) / "manifest.json").exists()
