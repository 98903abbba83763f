"""A job's end is written once, when every shard is done, and tells of all of them."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

from farthing.batch.errors import JobUnfinished
from farthing.batch.jobs import open_job
from farthing.batch.manifest import Manifest, finish, read_manifest
from tests.batch.scored import opened_for, run_all, settings_for

if TYPE_CHECKING:
    from pathlib import Path

    from farthing.batch.jobs import Opened
    from farthing.settings import Settings


@pytest.fixture
def settings(models_dir: Path) -> Settings:
    return settings_for(models_dir)


@pytest.fixture
def opened(settings: Settings, tmp_path: Path) -> Opened:
    """Two files, a blank text in each, four shards."""
    for name in ("a", "b"):
        rows = [f"{name}{row},{'chair' if row != 4 else ' '}" for row in range(15)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["id,text", *rows]) + "\n")
    return opened_for(tmp_path / "*.csv", tmp_path / "out", settings, shard_rows=10)


def test_it_counts_every_row_of_every_file(opened: Opened, settings: Settings) -> None:
    dones = run_all(opened, settings)
    finish(opened, settings)
    told = json.loads(opened.storage.read("manifest.json"))
    assert (told["rows_in"], told["rows_out"], told["rows_rejected"]) == (30, 28, 2)
    assert [shard["file"].rpartition("/")[2] for shard in told["shards"]] == [
        *("a.csv", "a.csv"),
        *("b.csv", "b.csv"),
    ]
    assert [shard["first_row"] for shard in told["shards"]] == [2, 12, 2, 12]
    assert [shard["part"]["name"] for shard in told["shards"]] == [
        f"part-{number:05d}.jsonl" for number in range(4)
    ]
    assert [shard["rejected"] is not None for shard in told["shards"]] == [True, False, True, False]
    assert told["tokens"] == sum(shard["tokens"] for shard in told["shards"]) > 0
    assert told["busy_ns"] == sum(done.usage.busy_ns for done in dones.values())
    assert told["finished_ms"] == max(done.at_ms for done in dones.values())
    assert told["job"]["bundle_digest"] == opened.job.bundle_digest
    assert told["job"]["model"] == "product-classifier"
    assert told["charge"]["basis"] == "simulated"
    assert told["charge"]["currency"] == "USD"


def test_a_job_is_not_finished_before_its_last_shard(opened: Opened, settings: Settings) -> None:
    run_all(opened, settings, order=[0, 3])
    assert read_manifest(opened) is None
    with pytest.raises(JobUnfinished, match=r"2 of the 4 shards .* Resume the job"):
        finish(opened, settings)
    assert read_manifest(opened) is None


def test_whoever_finishes_finds_the_same_manifest(opened: Opened, settings: Settings) -> None:
    run_all(opened, settings)
    found: list[Manifest] = []

    def end() -> None:
        found.append(finish(open_job(opened.job.out), settings))

    threads = [threading.Thread(target=end) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(one == found[0] for one in found)
    content = opened.storage.read("manifest.json")
    assert finish(opened, settings) == found[0]
    assert opened.storage.read("manifest.json") == content


def test_a_broken_manifest_is_named(opened: Opened, settings: Settings) -> None:
    opened.storage.write("manifest.json", b"{}")
    with pytest.raises(JobUnfinished, match=r"manifest\.json is no manifest"):
        finish(opened, settings)
