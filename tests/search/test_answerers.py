"""The indexes of a process: which are opened, by what embedder, and how a new version comes in."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from farthing.errors import AnswerTooLarge, BundleMissing, Forbidden, InvalidRequest, SettingsError
from farthing.search import watching
from farthing.search.answerers import open_indexes
from farthing.search.changes import Delete, Upsert
from farthing.search.errors import (
    DocumentInvalid,
    EmbedderMismatch,
    FilterUnknown,
    IndexCorrupt,
    IndexMissing,
    IndexUnavailable,
)
from farthing.search.publishing import read_manifest
from farthing.search.updates import apply
from farthing.settings import read_settings
from farthing.storage import LocalStorage
from tests.functions.shop import EMBEDDER, PRODUCTS, build_shop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from farthing.search.searcher import IndexAnswerer
    from farthing.serving.ports import Answerer
    from farthing.settings import Settings

LAMBDA = {
    "AWS_LAMBDA_FUNCTION_NAME": "search",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
    "AWS_REGION": "us-east-1",
}
CHAIR = {"sku": "p99", "title": "green garden chair", "brand": "oak & sons", "price": 59}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Path:
    return build_shop(tmp_path_factory.mktemp("index") / "shop", models=models_dir)


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call goes on with the old version only where the new one cannot be had, however long a
    busy machine takes to open it."""
    monkeypatch.setattr(watching, "LOOK_S_MAX", 60.0)


@pytest.fixture
def shop(built: Path, tmp_path: Path) -> Path:
    """An index of one's own, to be written to."""
    return shutil.copytree(built, tmp_path / "shop")


def settings_of(models: Path, *index: Path | str, environ: Any = None, **more: Any) -> Settings:
    more.setdefault("index_poll_s", 0)
    return read_settings(environ or {}, models=models, index=[str(one) for one in index], **more)


def opened(settings: Settings) -> IndexAnswerer:
    index: Any = open_indexes("search", settings)[0]
    return index


def ids(answerer: Answerer, query: str, **asked: Any) -> set[str]:
    work = answerer.prepare_search(query, mode="bm25", **asked)  # type: ignore[attr-defined]
    return {hit.id for hit in answerer.compute(work).hits}


def clock(now_s: Callable[[], float]) -> SimpleNamespace:
    """A time for indexes alone; everything else in this process keeps its own."""
    return SimpleNamespace(monotonic=now_s, sleep=time.sleep)


def publish(folder: Path, work: Path, answerer: IndexAnswerer, *changes: Any) -> int:
    """The version with the changes, published by somebody else."""
    done = apply(LocalStorage(folder), work, answerer.engine.embedder, changes)
    return done.manifest.version


def test_an_index_is_found_by_name_by_folder_and_because_it_ships(
    built: Path, models_dir: Path
) -> None:
    shelf = built.parent
    for settings in (
        settings_of(models_dir, "shop", indexes=shelf),
        settings_of(models_dir, built),
        settings_of(models_dir, built.as_uri()),
        settings_of(models_dir, indexes=shelf),
    ):
        index, ranker = open_indexes("search", settings)
        assert (index.task, index.name) == ("search", "shop")
        assert (ranker.task, ranker.name) == ("rerank", EMBEDDER)
        assert ids(index, "hammer drill", top_k=1) == {"p3"}


def test_the_first_index_is_the_default_and_one_embedder_serves_all(
    built: Path, tmp_path: Path, models_dir: Path
) -> None:
    other = build_shop(tmp_path / "other", name="other", models=models_dir)
    first, second, _ = open_indexes("search", settings_of(models_dir, other, built))
    assert [first.name, second.name] == ["other", "shop"]
    assert first.engine.embedder is second.engine.embedder  # type: ignore[attr-defined]


def test_without_an_index_it_is_told_how_to_build_one(tmp_path: Path, models_dir: Path) -> None:
    with pytest.raises(IndexMissing, match="farthing index build"):
        open_indexes("search", settings_of(models_dir, indexes=tmp_path))
    with pytest.raises(IndexMissing):
        open_indexes("search", settings_of(models_dir, tmp_path / "none"))


def test_two_indexes_of_one_name_are_refused(built: Path, shop: Path, models_dir: Path) -> None:
    with pytest.raises(SettingsError, match="same name"):
        open_indexes("search", settings_of(models_dir, built, shop))


def test_another_embedder_is_refused_and_both_are_named(
    built: Path, tmp_path: Path, models_dir: Path
) -> None:
    models = tmp_path / "models"
    bundle = shutil.copytree(models_dir / EMBEDDER, models / "another")
    manifest = bundle / "manifest.json"
    manifest.write_text(manifest.read_text().replace("Apache", "apache").replace(" ", "  ", 1))
    with pytest.raises(EmbedderMismatch) as refused:
        open_indexes("search", settings_of(models, built))
    assert EMBEDDER in str(refused.value)
    assert "another" in str(refused.value)


def test_no_embedder_at_all_is_told(built: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleMissing, match="holds no bundle that embeds"):
        open_indexes("search", settings_of(tmp_path, built))


def test_a_frozen_host_looks_for_a_new_version_with_a_call(
    shop: Path, tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answerer = opened(settings_of(models_dir, shop, environ=LAMBDA, index_poll_s=60))
    assert ids(answerer, "garden chair") == {"p8", "p12"}
    assert publish(shop, tmp_path / "work", answerer, Upsert(CHAIR), Delete("p12")) == 2
    assert ids(answerer, "garden chair") == {"p8", "p12"}, "not before the time is over"
    later_s = time.monotonic() + 61
    monkeypatch.setattr(watching, "time", clock(lambda: later_s))
    assert ids(answerer, "garden chair") == {"p8", "p99"}
    assert answerer.describe()["version"] == 2


def test_a_server_looks_by_itself(shop: Path, tmp_path: Path, models_dir: Path) -> None:
    answerer = opened(settings_of(models_dir, shop, index_poll_s=1))
    publish(shop, tmp_path / "work", answerer, Delete("p8"))
    deadline_s = time.monotonic() + 60
    while answerer.engine.manifest.version < 2 and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert ids(answerer, "wooden chair") == set()


def test_an_old_version_is_closed_when_its_last_call_is_over(
    shop: Path, tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answerer = opened(settings_of(models_dir, shop, index_writes="apply", index_cache=tmp_path))
    old = answerer.engine
    closed = []
    close = type(old).close
    monkeypatch.setattr(type(old), "close", lambda one: (closed.append(one), close(one)))
    work = answerer.prepare_search("wooden chair", mode="bm25")
    answerer.compute(answerer.prepare_change([], ["p8"]))
    assert answerer.engine is not old
    assert {hit.id for hit in answerer.compute(work).hits} == {"p8"}, "as it was when it came"
    # Others of other tests may be collected at any moment.
    assert old not in closed
    del work
    gc.collect()
    assert closed.count(old) == 1


def test_what_cannot_be_opened_leaves_the_old_version_in_service(
    shop: Path, models_dir: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    answerer = opened(settings_of(models_dir, shop, environ=LAMBDA, index_poll_s=1))
    manifest = shop / "manifest.json"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[: len(whole) // 2])
    clock_s = iter(range(10**9, 2 * 10**9, 1000))
    monkeypatch.setattr(watching, "time", clock(clock_s.__next__))
    with caplog.at_level(logging.WARNING, "farthing"):
        assert ids(answerer, "wooden chair") == {"p8"}
    assert "stays as it is" in caplog.text
    manifest.unlink()
    assert ids(answerer, "wooden chair") == {"p8"}


def test_searches_go_on_while_versions_change(shop: Path, tmp_path: Path, models_dir: Path) -> None:
    answerer = opened(settings_of(models_dir, shop, index_writes="apply", index_cache=tmp_path))
    stop = threading.Event()
    wrong: list[Any] = []

    def search() -> None:
        while not stop.is_set():
            try:
                found = ids(answerer, "wooden chair")
                if found not in ({"p8"}, {"p8", "p99"}):
                    wrong.append(found)
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(4):
        change = ([CHAIR], []) if number % 2 == 0 else ([], ["p99"])
        answerer.compute(answerer.prepare_change(*change))
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert answerer.engine.manifest.version == 5


def test_a_filter_on_an_unknown_field_names_the_known_ones(built: Path, models_dir: Path) -> None:
    with pytest.raises(FilterUnknown, match=r"brand, price"):
        opened(settings_of(models_dir, built)).prepare_search("drill", where={"colour": "red"})


@pytest.mark.parametrize(
    ("upserts", "deletes", "refusal"),
    [
        ([{"title": "no id"}], [], DocumentInvalid),
        ([{"sku": "x", "title": "a", "colour": "red"}], [], DocumentInvalid),
        ([{"sku": "x", "title": " "}], [], DocumentInvalid),
        ([{"sku": "x", "title": "a", "price": "cheap"}], [], DocumentInvalid),
        ([{"sku": "x", "title": "a"}], ["x"], InvalidRequest),
    ],
)
def test_a_change_that_the_index_cannot_hold_is_refused_before_it_is_taken(
    shop: Path, models_dir: Path, upserts: list[Any], deletes: list[str], refusal: type[Exception]
) -> None:
    answerer = opened(settings_of(models_dir, shop, index_writes="queue"))
    with pytest.raises(refusal):
        answerer.prepare_change(upserts, deletes)
    assert not list(LocalStorage(shop).names("writes/"))


def test_a_queued_change_is_kept_and_counted_and_changes_nothing_yet(
    shop: Path, models_dir: Path
) -> None:
    answerer = opened(settings_of(models_dir, shop, index_writes="queue"))
    work = answerer.prepare_change([CHAIR], ["p1"])
    assert work.tokens >= 5
    changed = answerer.compute(work)
    assert (changed.accepted, changed.version) == (2, None)
    assert list(LocalStorage(shop).names("writes/")) == [f"writes/{changed.receipt}.json"]
    assert read_manifest(LocalStorage(shop)).version == 1


def test_writing_is_off_unless_it_is_turned_on(shop: Path, models_dir: Path) -> None:
    with pytest.raises(Forbidden, match="FARTHING_INDEX_WRITES"):
        opened(settings_of(models_dir, shop)).prepare_change([CHAIR], [])


def test_applying_is_for_one_server_with_a_folder(shop: Path, models_dir: Path) -> None:
    for settings in (
        settings_of(models_dir, shop, environ=LAMBDA, index_writes="apply"),
        settings_of(models_dir, "s3://bucket/shop?region=us-east-1", index_writes="apply"),
    ):
        with pytest.raises(SettingsError, match="queue"):
            open_indexes("search", settings)


@pytest.mark.parametrize("way", ["queue", "apply"])
def test_a_storage_that_takes_nothing_is_told_to_the_operator_alone(
    shop: Path, tmp_path: Path, models_dir: Path, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    answerer = opened(settings_of(models_dir, shop, index_writes=way, index_cache=tmp_path))
    shutil.rmtree(shop)
    shop.write_text("no folder any more")
    work = answerer.prepare_change([], ["p1"])
    with (
        caplog.at_level(logging.ERROR, "farthing"),
        pytest.raises(IndexUnavailable) as refused,
    ):
        answerer.compute(work)
    assert str(shop) not in str(refused.value)
    assert refused.value.headers == {"retry-after": "5"}
    assert str(shop) in caplog.text


def test_searching_imports_no_writers_code_and_no_segmenter(built: Path, models_dir: Path) -> None:
    code = (
        "import sys\n"
        "from farthing.serving.service import Service\n"
        "from farthing.settings import read_settings\n"
        "service = Service(['search'], read_settings({}))\n"
        "service.warm_up()\n"
        "unwanted = {'rjieba', 'boto3', 'pyarrow', 'xgboost', 'rich', 'tempfile', 'starlette',\n"
        "            'asyncio', 'farthing.search.updates', 'farthing.search.writes'}\n"
        "print(sorted(unwanted & sys.modules.keys()))\n"
    )
    environ = {"FARTHING_MODELS": str(models_dir), "FARTHING_INDEX": str(built)}
    done = subprocess.run(
        [sys.executable, "-c", code.replace("read_settings({})", f"read_settings({environ})")],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_documents_that_do_not_fit_an_answer_are_refused_with_what_to_ask(
    built: Path, models_dir: Path
) -> None:
    answerer = opened(settings_of(models_dir, built, payload_max_bytes=5000))
    few = answerer.prepare_search("drill", mode="bm25", top_k=1)
    assert len(answerer.compute(few).hits) == 1
    many = answerer.prepare_search("cordless drill chair lamp hose kettle tv washing", top_k=100)
    with pytest.raises(AnswerTooLarge, match="smaller top_k"):
        answerer.compute(many)


def test_many_changes_are_tidied_up_beside_the_calls(
    shop: Path, tmp_path: Path, models_dir: Path
) -> None:
    answerer = opened(settings_of(models_dir, shop, index_writes="apply", index_cache=tmp_path))
    for number in range(6):
        document = {"sku": f"n{number}", "title": f"chair number {number}"}
        answerer.compute(answerer.prepare_change([document], []))
        assert len(ids(answerer, "chair number", top_k=100)) == number + 2
    deadline_s = time.monotonic() + 60
    while len(answerer.engine.manifest.segments) > 4 and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert len(answerer.engine.manifest.segments) <= 4
    assert len(ids(answerer, "chair number", top_k=100)) == 7
    assert answerer.engine.manifest.documents == len(PRODUCTS) + 6


def test_a_file_that_was_changed_is_found_before_the_first_answer(
    built: Path, models_dir: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(built, copy)
    file = next(copy.glob("segments/*/vectors.npy"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(IndexCorrupt, match=r"vectors\.npy has sha256"):
        open_indexes("search", settings_of(models_dir, copy))
