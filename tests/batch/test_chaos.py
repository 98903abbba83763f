"""Workers and the parent are killed at random; nothing of it shows in what comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.batch.chaos import Job, lambda_usd, total_of, write_rows
from tests.batch.jobs import titles

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 20_000
SHARD_ROWS = 400
KILLS = 7


def test_kills_at_random_points_change_no_byte_no_row_and_no_bill(
    tmp_path: Path, models_dir: Path
) -> None:
    file = tmp_path / "titles.tsv"
    write_rows(file, titles(), ROWS)
    calm = Job(file, tmp_path / "calm", tmp_path / "calm.db", models_dir, SHARD_ROWS)
    calm.run()
    job = Job(file, tmp_path / "out", tmp_path / "ledger.db", models_dir, SHARD_ROWS)
    job.run_under_fire(KILLS, seed=7, pause_s=(0.1, 0.3))
    assert job.kills["worker"] >= 3
    assert job.kills["parent"] >= 2

    assert job.parts() == calm.parts()
    assert job.ids() == [f"r{row}" for row in range(ROWS)]

    manifest = job.manifest()
    assert (manifest["rows_in"], manifest["rows_out"]) == (ROWS, ROWS)
    shards = manifest["shards"]
    assert [shard["number"] for shard in shards] == list(range(ROWS // SHARD_ROWS))
    assert total_of(shard["amount"] for shard in shards) == total_of([manifest["charge"]["total"]])

    entries = job.booked()
    assert [entry["number"] for entry in entries] == [shard["number"] + 1 for shard in shards]
    for entry, shard in zip(entries, shards, strict=True):
        assert entry["tenant"] == "local"
        assert entry["request_id"] == shard["request_id"]
        assert entry["usage"]["prompt_tokens"] == shard["tokens"]
        assert entry["usage"]["busy_ns"] == shard["busy_ns"]
        assert total_of([shard["amount"]]) == lambda_usd(entry)
    assert sum(map(lambda_usd, entries)) == total_of([manifest["charge"]["total"]])
