"""The Ray engine on a real Ray: actors killed, stopped and replaced, here and on a cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from farthing.batch.engines import ATTEMPTS_MAX, get_engine
from farthing.batch.engines.local import LocalEngine
from farthing.batch.errors import EngineUnavailable, JobInvalid
from farthing.batch.interruption import Stop
from farthing.batch.jobs import open_job
from tests.batch.chaos import clean_environ
from tests.batch.jobs import parts, settings_of, small_job

if TYPE_CHECKING:
    from farthing.batch.jobs import Opened

ROOT = Path(__file__).parent.parent.parent
SHARDS = 8
pytest.importorskip("ray")


def drive(*runs: dict[str, Any]) -> dict[str, Any]:
    """What the driver tells of the runs; it prints nothing else, and no warning."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.batch.ray_driver", json.dumps(runs)],
        cwd=ROOT,
        env=clean_environ(),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr == ""
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def numbers(told: dict[str, Any], kind: str) -> list[int]:
    return [number for event, number in told["events"] if event == kind]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ray")


@pytest.fixture(scope="module")
def undisturbed(folder: Path, models_dir: Path) -> str:
    """What the local engine makes of the job of eight shards."""
    opened = _job(folder, models_dir, "local")
    LocalEngine(settings_of(models_dir), 2).run(opened, opened.missing(), lambda _: None, Stop())
    return parts(opened).decode()


@pytest.fixture(scope="module")
def told(folder: Path, models_dir: Path) -> dict[str, Any]:
    """All runs in one process: one Ray is started for the first, and one for the others."""
    changed = small_job(folder, models_dir, rows=300, out="changed")
    file = folder / "titles-300.tsv"
    file.write_bytes(file.read_bytes() + b"r300\tone more\n")
    killed = _job(folder, models_dir, "killed")
    stopped = _job(folder, models_dir, "stopped")
    deadly = small_job(folder, models_dir, rows=400, out="deadly")
    models = {"models": str(models_dir)}
    wanted = {
        "killed": models | {"out": killed.job.out, "kill_at": (1, 5)},
        "stopped": models | {"out": stopped.job.out, "stop_after": 2},
        "rest": models | {"out": stopped.job.out, "workers": 1},
        "deadly": models
        | {"out": deadly.job.out, "workers": 1, "kill_at": (1,), "kill_times": ATTEMPTS_MAX},
        "changed": models | {"out": changed.job.out, "workers": 1},
    }
    found = drive(*wanted.values())
    return dict(zip(wanted, found["runs"], strict=True)) | {"process": found["process"]}


def _job(folder: Path, models: Path, out: str) -> Opened:
    return small_job(folder, models, rows=20_000, shard_rows=20_000 // SHARDS, out=out)


def test_workers_that_are_killed_lose_nothing(told: dict[str, Any], undisturbed: str) -> None:
    killed = told["killed"]
    assert killed["raised"] is None
    assert {1, 5} <= set(numbers(killed, "Lost"))
    assert sorted(numbers(killed, "Finished")) == list(range(SHARDS))
    assert numbers(killed, "Failed") == []
    assert killed["rows"] == undisturbed


def test_a_worker_that_dies_on_ones_own_machine_is_no_interruption(told: dict[str, Any]) -> None:
    assert told["deadly"]["placement"] == "spot"


def test_a_stop_keeps_what_is_done_and_another_run_does_the_rest(
    told: dict[str, Any], undisturbed: str
) -> None:
    first, rest = (numbers(told[run], "Finished") for run in ("stopped", "rest"))
    assert 2 <= len(first) < SHARDS
    assert set(numbers(told["stopped"], "Lost")).isdisjoint(first)
    assert sorted(first + rest) == list(range(SHARDS))
    assert told["rest"]["rows"] == undisturbed


def test_a_shard_that_every_worker_dies_of_is_given_up_and_the_others_are_done(
    told: dict[str, Any], folder: Path
) -> None:
    assert numbers(told["deadly"], "Lost") == [1] * ATTEMPTS_MAX
    assert numbers(told["deadly"], "Failed") == [1]
    assert sorted(open_job(str(folder / "deadly")).done()) == [0, 2, 3]


def test_what_is_wrong_with_the_job_is_raised_as_it_is(told: dict[str, Any], folder: Path) -> None:
    kind, says = told["changed"]["raised"]
    assert kind == "InputChanged"
    assert "titles-300.tsv" in says
    assert not open_job(str(folder / "changed")).done()


def test_the_process_is_afterwards_as_it_was(told: dict[str, Any]) -> None:
    assert told["process"] == {"signals_kept": True, "secret_kept": False}


def test_a_cluster_is_not_given_what_lies_on_this_machine(tmp_path: Path, models_dir: Path) -> None:
    opened = small_job(tmp_path, models_dir, rows=300)
    engine = get_engine("ray", settings_of(models_dir), address="127.0.0.1:1")
    with pytest.raises(JobInvalid, match="bucket") as refused:
        engine.run(opened, opened.missing(), lambda _: None, Stop())
    assert str(tmp_path) in str(refused.value)


def test_without_ray_its_engine_says_what_to_install(
    models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EngineUnavailable, match=r"pip install 'farthing\[ray\]'"):
        get_engine("ray", settings_of(models_dir))
