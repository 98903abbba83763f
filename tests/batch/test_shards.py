"""A shard is done whole or not at all, and comes to the same bytes wherever and however often."""

from __future__ import annotations

import hashlib
import json
import resource
import tempfile
import threading
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as sized
from hypothesis import strategies as st
from pyarrow import parquet

from farthing.batch.checkpoints import read_checkpoint
from farthing.batch.errors import InputChanged, Interrupted, JobInvalid, OutputExists
from farthing.batch.inputs import Reader
from farthing.batch.job import JOB_FILE, PLAN_FILE, Done, done_name
from farthing.batch.jobs import open_job
from farthing.batch.manifest import finish
from farthing.batch.scoring import Scored, Scorer
from farthing.batch.shards import ShardRunner
from farthing.errors import StorageUnavailable
from farthing.inference.bundle import Bundle
from farthing.inference.tasks import open_task
from tests.batch.cloud import cloud_running
from tests.batch.jobs import titles
from tests.batch.scored import opened_for, output, run_all, runner_of, settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from farthing.batch.inputs import Rows
    from farthing.batch.job import Shard

ROWS = 250


@pytest.fixture(scope="module")
def rows_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Titles as TSV, with some rows that cannot be scored."""
    return _write(tmp_path_factory.mktemp("rows") / "rows.tsv", ROWS)


def _write(file: Path, rows: int) -> Path:
    lines = [b"id\ttext"]
    lines += [f"r{row}\t{title}".encode() for row, title in enumerate(titles()[:ROWS])]
    lines[41] = b"r40\t  "
    lines[42] = b"r41\t\xff\xfe"
    lines[121] = b"r120"
    lines[200] = b"r199\t" + b"long " * 60
    file.write_bytes(b"\n".join(lines[: rows + 1]) + b"\n")
    return file


@pytest.fixture(scope="module", params=["product-classifier", "all-minilm-l6-v2"])
def scorer(models_dir: Path, request: pytest.FixtureRequest) -> Scorer:
    return Scorer(open_task(Bundle.open(models_dir / request.param)))


@pytest.fixture(scope="module")
def classifier(models_dir: Path) -> Scorer:
    return Scorer(open_task(Bundle.open(models_dir / "product-classifier")))


def test_rows_come_out_as_they_went_in_and_the_rejected_with_their_reason(
    rows_file: Path, models_dir: Path, classifier: Scorer, tmp_path: Path
) -> None:
    settings = settings_for(models_dir, input_max_chars=200)
    opened = opened_for(rows_file, tmp_path / "out", settings)
    dones = run_all(opened, settings, classifier)

    told = [json.loads(line) for line in output(opened).splitlines()]
    rejected = [json.loads(line) for line in output(opened, "rejected-").splitlines()]
    assert [(row["row"], row["id"]) for row in rejected] == [
        (42, "r40"),
        (43, None),
        (122, None),
        (201, "r199"),
    ]
    assert {row["file"] for row in rejected} == {"rows.tsv"}
    assert all(set(row) == {"file", "row", "id", "reason"} for row in rejected)
    kept = [f"r{row}" for row in range(ROWS) if row not in {40, 41, 120, 199}]
    assert [row["id"] for row in told] == kept
    counts = [(done.rows_in, done.rows_out, done.rows_rejected) for done in dones.values()]
    assert counts == [(100, 98, 2), (100, 98, 2), (50, 50, 0)]
    assert dones[2].rejected is None


@pytest.mark.parametrize("out_format", ["jsonl", "parquet"])
def test_the_rows_are_the_same_however_they_are_cut_and_in_whatever_order_done(
    out_format: str, models_dir: Path, scorer: Scorer, tmp_path: Path
) -> None:
    settings = settings_for(models_dir)
    file = _write(tmp_path / "rows.tsv", rows := 130)
    task = "classify" if scorer.labels else "embed"
    model = "product-classifier" if scorer.labels else "all-minilm-l6-v2"

    def rows_of(shard_rows: int, order: Sequence[int] | None, name: str) -> object:
        opened = opened_for(
            file,
            tmp_path / name,
            settings,
            task=task,
            model=model,
            shard_rows=shard_rows,
            out_format=out_format,
            overwrite=True,
        )
        run_all(opened, settings, scorer, order)
        if out_format == "jsonl":
            return output(opened)
        files = sorted((tmp_path / name).glob("part-*"))
        return [row for file in files for row in parquet.read_table(file).to_pylist()]

    whole = rows_of(rows, None, "whole")

    @sized(max_examples=3, deadline=None)
    @given(st.integers(9, rows), st.randoms(use_true_random=False))
    def check(shard_rows: int, random: object) -> None:
        order = list(range(-(-rows // shard_rows)))
        random.shuffle(order)  # type: ignore[attr-defined]
        assert rows_of(shard_rows, order, "cut") == whole

    check()


def test_a_checkpoint_tells_what_lies_there(
    rows_file: Path, models_dir: Path, classifier: Scorer, tmp_path: Path
) -> None:
    settings = settings_for(models_dir, function="nightly")
    opened = opened_for(rows_file, tmp_path / "out", settings)
    done = run_all(opened, settings, classifier, [0])[0]
    for written in (done.part, done.rejected):
        assert written is not None
        content = (tmp_path / "out" / written.name).read_bytes()
        assert written.digest.sha256 == hashlib.sha256(content).hexdigest()
        assert written.digest.bytes == len(content)
    usage = done.usage
    assert usage.busy_ns > 0
    assert (usage.memory_mb, usage.vcpu_milli, usage.cold) == (1769, 1000, False)
    assert (done.function, done.request_id, done.job) == ("nightly", "r-0", opened.job.id)
    texts = [title for row, title in enumerate(titles()[:100]) if row not in {40, 41}]
    assert usage.prompt_tokens == classifier.score(texts).tokens
    assert read_checkpoint(opened.storage, opened.job, 0) == done


def test_a_part_without_any_row_is_there_and_empty(models_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text('id,text\n1,""\n2," "\n')
    settings = settings_for(models_dir)
    opened = opened_for(file, tmp_path / "out", settings)
    done = run_all(opened, settings)[0]
    assert (done.rows_in, done.rows_out, done.rows_rejected) == (2, 0, 2)
    assert (tmp_path / "out" / "part-00000.jsonl").read_bytes() == b""
    assert read_checkpoint(opened.storage, opened.job, 0) == done


def test_the_start_is_carried_by_the_first_shard(
    rows_file: Path, models_dir: Path, classifier: Scorer, tmp_path: Path
) -> None:
    settings = settings_for(models_dir)
    opened = opened_for(rows_file, tmp_path / "out", settings)
    reader = Reader(opened.job)
    runner = ShardRunner(opened.job, opened.storage, classifier, reader, settings, init_ns=7)
    usages = [runner.run(shard, request_id="r").usage for shard in opened.plan.shards]
    assert [(usage.init_ns, usage.cold) for usage in usages] == [(7, True), (0, False), (0, False)]


def test_what_is_done_is_given_back_and_not_done_again(
    rows_file: Path, models_dir: Path, classifier: Scorer, tmp_path: Path
) -> None:
    settings = settings_for(models_dir)
    opened = opened_for(rows_file, tmp_path / "out", settings)
    first = run_all(opened, settings, classifier)

    class Idle(Scorer):
        def score(self, texts: Sequence[str]) -> Scored:
            raise AssertionError("nothing is left to score")

    idle = Idle(open_task(Bundle.open(models_dir / "product-classifier")))
    assert run_all(opened, settings, idle) == first


def test_of_two_workers_at_one_shard_one_counts(
    rows_file: Path, models_dir: Path, classifier: Scorer, tmp_path: Path
) -> None:
    settings = settings_for(models_dir)
    opened = opened_for(rows_file, tmp_path / "out", settings)
    both = threading.Barrier(2, timeout=30)

    class Together(Reader):
        def rows(self, shard: Shard, window_rows: int) -> Iterator[Rows]:
            yield from super().rows(shard, window_rows)
            # Both have scored, and neither has written its checkpoint.
            both.wait()

    found: list[Done] = []

    def work(name: str) -> None:
        job = opened.job
        runner = ShardRunner(job, opened.storage, classifier, Together(job), settings)
        found.append(runner.run(opened.plan.shards[0], request_id=name))

    threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = read_checkpoint(opened.storage, opened.job, 0)
    assert kept is not None
    assert found == [kept, kept]
    assert _digest_of(tmp_path / "out" / kept.part.name) == kept.part.digest.sha256


def test_a_stop_leaves_nothing_of_the_shard(
    rows_file: Path, models_dir: Path, classifier: Scorer, tmp_path: Path
) -> None:
    settings = settings_for(models_dir)
    opened = opened_for(rows_file, tmp_path / "out", settings)
    before = sorted((tmp_path / "out").rglob("*"))
    spool = tmp_path / "spool"
    spool.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(spool))
        runner = runner_of(opened, settings, classifier)
        with pytest.raises(Interrupted, match="resume the job"):
            runner.run(opened.plan.shards[0], request_id="r", stop=lambda: True)
        assert not list(spool.iterdir())
        assert sorted((tmp_path / "out").rglob("*")) == before
        runner.run(opened.plan.shards[0], request_id="r", stop=lambda: False)
    assert list(opened.done()) == [0]


def test_texts_that_the_model_fails_at_are_rejected_in_their_places(
    rows_file: Path, models_dir: Path, classifier: Scorer, tmp_path: Path
) -> None:
    settings = settings_for(models_dir)
    opened = opened_for(rows_file, tmp_path / "out", settings)

    class Picky(Scorer):
        def score(self, texts: Sequence[str]) -> Scored:
            return super().score(texts)._replace(failed={2: "the model failed at it (KeyError)"})

    picky = Picky(open_task(Bundle.open(models_dir / "product-classifier")))
    done = run_all(opened, settings, picky, [0])[0]
    rejected = [json.loads(line) for line in output(opened, "rejected-").splitlines()]
    assert rejected[0] == {
        "file": "rows.tsv",
        "row": 4,
        "id": "r2",
        "reason": "the model failed at it (KeyError)",
    }
    assert [row["row"] for row in rejected] == [4, 42, 43]
    assert (done.rows_out, done.rows_rejected) == (97, 3)
    assert b'"r2"' not in output(opened)


def test_a_file_that_changed_since_the_plan_stops_the_shard(
    rows_file: Path, models_dir: Path, classifier: Scorer, tmp_path: Path
) -> None:
    settings = settings_for(models_dir)
    copy = tmp_path / "rows.tsv"
    copy.write_bytes(rows_file.read_bytes())
    opened = opened_for(copy, tmp_path / "out", settings)
    run_all(opened, settings, classifier, [0])
    copy.write_bytes(rows_file.read_bytes().replace(b"iphone", b"phone"))
    with pytest.raises(InputChanged, match=r"rows\.tsv"):
        run_all(opened, settings, classifier, [1])
    assert list(opened.done()) == [0]
    assert not (tmp_path / "out" / "part-00001.jsonl").exists()


def test_rows_that_went_missing_are_not_passed_over(
    rows_file: Path, models_dir: Path, classifier: Scorer, tmp_path: Path
) -> None:
    settings = settings_for(models_dir)
    opened = opened_for(rows_file, tmp_path / "out", settings)

    class Forgetful(Reader):
        def rows(self, shard: Shard, window_rows: int) -> Iterator[Rows]:
            for rows in super().rows(shard, window_rows):
                yield rows._replace(ids=rows.ids[1:], texts=rows.texts[1:])

    reader = Forgetful(opened.job)
    runner = ShardRunner(opened.job, opened.storage, classifier, reader, settings)
    with pytest.raises(InputChanged, match="99 rows where it had 100"):
        runner.run(opened.plan.shards[0], request_id="r")
    assert opened.done() == {}


def test_another_jobs_checkpoint_is_not_taken_for_ones_own(
    rows_file: Path, models_dir: Path, classifier: Scorer, tmp_path: Path
) -> None:
    settings = settings_for(models_dir)
    opened = opened_for(rows_file, tmp_path / "out", settings)
    done = run_all(opened, settings, classifier, [0])[0]
    foreign = msgspec.structs.replace(done, job="f" * 16)
    opened.storage.write(done_name(0), msgspec.json.encode(foreign))
    with pytest.raises(OutputExists, match="ffffffffffffffff"):
        run_all(opened, settings, classifier, [0])


def test_a_broken_checkpoint_is_named(
    rows_file: Path, models_dir: Path, classifier: Scorer, tmp_path: Path
) -> None:
    settings = settings_for(models_dir)
    opened = opened_for(rows_file, tmp_path / "out", settings)
    opened.storage.write(done_name(1), b"{}")
    with pytest.raises(JobInvalid, match=r"done/00001\.json is no checkpoint"):
        run_all(opened, settings, classifier)


def test_a_full_disk_is_told_of_and_the_shard_can_be_done_later(
    rows_file: Path, models_dir: Path, scorer: Scorer, tmp_path: Path
) -> None:
    settings = settings_for(models_dir)
    task = "classify" if scorer.labels else "embed"
    model = "product-classifier" if scorer.labels else "all-minilm-l6-v2"
    opened = opened_for(rows_file, tmp_path / "out", settings, task=task, model=model)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))
    try:
        with pytest.raises(StorageUnavailable, match="cannot be written"):
            run_all(opened, settings, scorer, [0])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert opened.done() == {}
    assert not list((tmp_path / "out").glob("*part*"))
    assert run_all(opened, settings, scorer, [0])[0].rows_in == 100


def test_a_place_for_spooling_that_is_not_there_is_told_of(
    rows_file: Path, models_dir: Path, classifier: Scorer, tmp_path: Path
) -> None:
    settings = settings_for(models_dir)
    opened = opened_for(rows_file, tmp_path / "out", settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
        with pytest.raises(StorageUnavailable, match="gone"):
            run_all(opened, settings, classifier, [0])


def _digest_of(file: Path) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def test_a_job_from_bucket_to_bucket_is_what_it_is_from_folder_to_folder(
    rows_file: Path, models_dir: Path, classifier: Scorer, tmp_path: Path
) -> None:
    settings = settings_for(models_dir)
    here = opened_for(rows_file, tmp_path / "out", settings)
    run_all(here, settings, classifier)
    with cloud_running() as cloud:
        bucket = cloud.bucket()
        cloud.put(bucket, "in/rows.tsv", rows_file.read_bytes())
        out = cloud.address(bucket, "out")
        there = opened_for(cloud.address(bucket, "in/rows.tsv"), out, settings)
        run_all(there, settings, classifier, [2, 0, 1])
        assert output(there) == output(here)
        assert output(there, "rejected-") == output(here, "rejected-")
        manifest = finish(there, settings)
        assert manifest.rows_in == ROWS
        assert finish(open_job(out), settings) == manifest

        again = opened_for(cloud.address(bucket, "in/rows.tsv"), out, settings)
        assert (again.job, again.missing()) == (there.job, [])
        with pytest.raises(OutputExists):
            opened_for(cloud.address(bucket, "in/rows.tsv"), out, settings, top_k=2)
        source = cloud.address(bucket, "in/rows.tsv")
        other = opened_for(source, out, settings, top_k=2, overwrite=True)
        assert sorted(other.storage.names()) == [JOB_FILE, PLAN_FILE]
