"""A job is planned once, found again where its output lies, and never mixed with another's."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from farthing.batch.errors import InputInvalid, JobInvalid, JobMissing, OutputExists
from farthing.batch.job import JOB_FILE, PLAN_FILE, Job
from farthing.batch.jobs import Opened, create_job, open_job
from farthing.batch.manifest import finish
from farthing.errors import BundleCorrupt, BundleMissing, SettingsError
from tests.batch.scored import opened_for, request_for, run_all, settings_for

if TYPE_CHECKING:
    from pathlib import Path

    from farthing.settings import Settings

PLANS = '[{"name": "gold", "markup": "1.5"}, {"name": "gold", "markup": "2"}]'


@pytest.fixture
def rows_file(tmp_path: Path) -> Path:
    file = tmp_path / "rows.csv"
    file.write_text("id,text\n" + "".join(f"{row},chair no {row}\n" for row in range(25)))
    return file


@pytest.fixture
def settings(models_dir: Path) -> Settings:
    return settings_for(models_dir, plans=PLANS)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_a_job_says_what_is_asked_for(rows_file: Path, out: Path, settings: Settings) -> None:
    opened = opened_for(rows_file, out, settings, shard_rows=10, tenant="acme")
    job = opened.job
    assert (job.task, job.model, job.text_column, job.id_column) == (
        "classify",
        "product-classifier",
        "text",
        "id",
    )
    assert (job.tenant, job.plan, job.out_format, job.alone) == ("acme", "", "jsonl", False)
    assert job.inputs[0].uri == str(rows_file)
    assert [shard.rows for shard in opened.plan.shards] == [10, 10, 5]
    assert opened.plan.job == job.id
    assert opened.done() == {}
    assert opened.missing() == list(opened.plan.shards)


def test_a_job_is_found_again_where_its_output_lies(
    rows_file: Path, out: Path, settings: Settings
) -> None:
    opened = opened_for(rows_file, out, settings, shard_rows=10)
    run_all(opened, settings, order=[1])
    found = open_job(str(out))
    assert (found.job, found.plan) == (opened.job, opened.plan)
    assert [shard.number for shard in found.missing()] == [0, 2]


def test_the_same_request_again_is_the_same_job(
    rows_file: Path, out: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = opened_for(rows_file, out, settings, shard_rows=10)
    run_all(first, settings, order=[0])
    for stated in ({}, {"overwrite": True}):
        again = opened_for(rows_file, out, settings, shard_rows=10, **stated)
        assert again.job == first.job
        assert list(again.done()) == [0]
    # Wherever it is called from.
    monkeypatch.chdir(out.parent)
    assert opened_for(rows_file, "out", settings, shard_rows=10).job == first.job


@pytest.mark.parametrize(
    "other",
    [
        {"out_format": "parquet"},
        {"top_k": 2},
        {"id": None},
        {"shard_rows": 9},
        {"tenant": "other"},
        {"plan": "gold"},
        {"task": "embed", "model": None},
        {"model": "retail-banking-intents"},
    ],
    ids=str,
)
def test_another_request_is_another_job_and_does_not_touch_the_first(
    other: dict[str, Any], rows_file: Path, out: Path, settings: Settings
) -> None:
    first = opened_for(rows_file, out, settings)
    run_all(first, settings)
    before = _files(out)
    with pytest.raises(OutputExists, match=f"another job, {first.job.id}.*--overwrite"):
        opened_for(rows_file, out, settings, **other)
    assert _files(out) == before


def test_overwrite_removes_the_other_job_and_nothing_else(
    rows_file: Path, out: Path, settings: Settings
) -> None:
    first = opened_for(rows_file, out, settings, shard_rows=10)
    run_all(first, settings)
    finish(first, settings)
    (out / "notes.txt").write_text("mine")
    (out / "part-of-mine.jsonl").write_text("mine")
    second = opened_for(rows_file, out, settings, top_k=2, overwrite=True)
    assert second.job.id != first.job.id
    assert second.done() == {}
    assert set(_files(out)) == {
        ".lock",
        "notes.txt",
        "part-of-mine.jsonl",
        JOB_FILE,
        PLAN_FILE,
    }


def test_a_job_that_cannot_be_planned_leaves_the_other_as_it_was(
    rows_file: Path, out: Path, settings: Settings
) -> None:
    run_all(opened_for(rows_file, out, settings), settings)
    before = _files(out)
    rows_file.write_text('id,text\n1,"never closed\n')
    with pytest.raises(InputInvalid):
        opened_for(rows_file, out, settings, overwrite=True)
    assert _files(out) == before


def test_output_of_no_job_is_refused_too(rows_file: Path, out: Path, settings: Settings) -> None:
    out.mkdir()
    (out / "part-00000.jsonl").write_text("{}\n")
    with pytest.raises(OutputExists, match="no job here left"):
        opened_for(rows_file, out, settings)
    opened_for(rows_file, out, settings, overwrite=True)
    assert not (out / "part-00000.jsonl").exists()


def test_other_files_may_lie_beside_the_output(
    rows_file: Path, out: Path, settings: Settings
) -> None:
    opened = opened_for(rows_file, rows_file.parent, settings)
    run_all(opened, settings)
    assert (rows_file.parent / "part-00000.jsonl").exists()


def test_a_plan_that_was_never_written_is_made_again(
    rows_file: Path, out: Path, settings: Settings
) -> None:
    first = opened_for(rows_file, out, settings, shard_rows=10)
    (out / PLAN_FILE).unlink()
    with pytest.raises(JobMissing, match="farthing batch run"):
        open_job(str(out))
    again = opened_for(rows_file, out, settings, shard_rows=10)
    assert (again.job, again.plan) == (first.job, first.plan)
    assert open_job(str(out)).plan == first.plan


def test_two_who_begin_the_same_job_at_once_share_it(
    rows_file: Path, out: Path, settings: Settings
) -> None:
    found = _at_once([{"shard_rows": 5}] * 4, rows_file, out, settings)
    jobs = [opened.job for opened in found if isinstance(opened, Opened)]
    assert len(jobs) == 4
    assert all(job == jobs[0] for job in jobs)
    assert open_job(str(out)).job == jobs[0]


def test_of_two_jobs_that_begin_in_one_place_at_once_one_is_refused(
    rows_file: Path, out: Path, settings: Settings
) -> None:
    found = _at_once([{"top_k": 1}, {"top_k": 2}], rows_file, out, settings)
    (won,) = (one for one in found if isinstance(one, Opened))
    (lost,) = (one for one in found if not isinstance(one, Opened))
    assert isinstance(lost, OutputExists)
    kept = open_job(str(out))
    assert (kept.job, kept.plan) == (won.job, won.plan)


@pytest.mark.parametrize(
    ("stated", "error", "told"),
    [
        ({"task": "rerank"}, JobInvalid, "no task 'rerank' for batch jobs; there is classify, emb"),
        ({"out_format": "csv"}, JobInvalid, "no format 'csv' .* jsonl, parquet"),
        ({"model": "gpt"}, JobInvalid, "no model 'gpt' for the task classify; there is product-"),
        ({"top_k": 11}, JobInvalid, "best 11 labels .* product-classifier gives 1 to 10"),
        ({"top_k": 0}, JobInvalid, "best 0 labels"),
        ({"task": "embed", "model": None, "top_k": 2}, JobInvalid, "gives 1 to 1"),
        ({"shard_rows": 0}, JobInvalid, "Shards of 0 rows"),
        ({"plan": "tin"}, SettingsError, "no plan 'tin'; there are .*gold"),
        ({"out": "ftp://somewhere"}, SettingsError, "ftp://"),
        ({"uris": ("{}/*.csv",), "out": "{}"}, None, ""),
        ({"uris": ("{}/*.jsonl",), "out": "{}"}, JobInvalid, "would be among the inputs"),
        ({"uris": ("{}/**",), "out": "{}/a/b"}, JobInvalid, "would be among the inputs"),
        ({"uris": ("{}/out/part-00000.jsonl",), "out": "{}/out"}, JobInvalid, "among the inputs"),
        (
            {"uris": ("s3://shop/day/*.jsonl?region=eu-west-1",), "out": "s3://shop/day"},
            JobInvalid,
            r"inputs of s3://shop/day/\*\.jsonl\.",
        ),
    ],
    ids=lambda given: str(given) if isinstance(given, dict) else "",
)
def test_what_is_no_job_is_refused_in_a_sentence(
    stated: dict[str, Any],
    error: type[Exception] | None,
    told: str,
    rows_file: Path,
    out: Path,
    settings: Settings,
) -> None:
    here = str(rows_file.parent)
    stated = {"uris": (str(rows_file),), "out": str(out), **stated}
    stated["uris"] = tuple(uri.replace("{}", here) for uri in stated["uris"])
    stated["out"] = stated["out"].replace("{}", here)
    request = msgspec.structs.replace(request_for(rows_file, out), **stated)
    if error is None:
        create_job(request, settings)
        return
    with pytest.raises(error, match=told):
        create_job(request, settings)
    assert not out.exists()


def test_the_models_that_there_are_are_those_that_a_server_would_take(
    rows_file: Path, out: Path, models_dir: Path, tmp_path: Path
) -> None:
    def model(**stated: Any) -> str:
        name = f"out-{len(list(tmp_path.iterdir()))}"
        settings = settings_for(models_dir, **stated)
        return opened_for(rows_file, tmp_path / name, settings, model=None).job.model

    assert model() == "product-classifier"
    assert model(model=["all-minilm-l6-v2", "retail-banking-intents"]) == "retail-banking-intents"
    with pytest.raises(BundleCorrupt, match="digest"):
        model(bundle_digest="0" * 64)
    with pytest.raises(BundleMissing, match="make bundles"):
        opened_for(rows_file, out, settings_for(tmp_path / "none"), model=None)


def test_a_plan_is_kept_by_its_terms_as_they_are_sold_now(
    rows_file: Path, out: Path, settings: Settings, models_dir: Path
) -> None:
    plan = opened_for(rows_file, out, settings, plan="gold").job.plan
    name, _, digest = plan.partition("@")
    assert (name, len(digest)) == ("gold", 8)
    own = settings_for(models_dir, plans=PLANS, plan="gold")
    assert opened_for(rows_file, out / "own", own).job.plan == plan
    older = settings_for(models_dir, plans='[{"name": "gold", "markup": "1.5"}]')
    assert opened_for(rows_file, out / "old", older, plan="gold").job.plan != plan


def test_there_is_no_job_where_none_was_begun(tmp_path: Path) -> None:
    with pytest.raises(JobMissing, match="no planned job"):
        open_job(str(tmp_path / "nothing"))


def test_a_broken_job_is_named(rows_file: Path, out: Path, settings: Settings) -> None:
    opened_for(rows_file, out, settings)
    (out / JOB_FILE).write_text("{")
    with pytest.raises(JobInvalid, match=r"_farthing/job\.json cannot be read"):
        open_job(str(out))


def test_everything_but_the_time_is_in_a_jobs_name(
    rows_file: Path, out: Path, settings: Settings
) -> None:
    job = opened_for(rows_file, out, settings).job
    assert len(job.id) == 16
    assert job.writer == f"batch-{job.id}"
    rows_file.write_text(rows_file.read_text().replace("chair", "stool"))
    changed = opened_for(rows_file, out, settings, overwrite=True).job
    assert changed.id != job.id


def _files(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def _at_once(
    stated: list[dict[str, Any]], file: Path, out: Path, settings: Settings
) -> list[Opened | Exception]:
    """What came of requests that were made side by side."""
    start = threading.Barrier(len(stated), timeout=30)
    found: list[Opened | Exception] = []

    def begin(one: dict[str, Any]) -> None:
        start.wait()
        try:
            found.append(opened_for(file, out, settings, **one))
        except Exception as error:
            found.append(error)

    threads = [threading.Thread(target=begin, args=(one,)) for one in stated]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_every_field_of_a_job_is_read_back(rows_file: Path, out: Path, settings: Settings) -> None:
    job = opened_for(rows_file, out, settings, top_k=3, plan="gold").job
    assert isinstance(job, Job)
    assert open_job(str(out)).job == job
