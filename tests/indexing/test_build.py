"""Builds with the real embedder: the same for any number of workers, and after any stop."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from farthing.indexing import build as building
from farthing.indexing.build import build
from farthing.indexing.embedding import EmbeddingPool
from farthing.indexing.options import BuildOptions
from farthing.indexing.spool import VectorSpool
from farthing.inference.bundle import Bundle
from farthing.inference.tasks import Embedder
from farthing.search.changes import Upsert
from farthing.search.documents import embedded_text
from farthing.search.errors import BuildStopped, CatalogueInvalid
from farthing.search.manifest import Field
from farthing.search.publishing import read_manifest
from farthing.search.updates import apply
from farthing.search.verification import verify
from farthing.storage import LocalStorage
from tests.search.writing import held, segments_of, terms_mean

if TYPE_CHECKING:
    from farthing.search.manifest import IndexManifest

ROOT = Path(__file__).parent.parent.parent
WORDS = ["red", "blue", "green", "small", "large", "soft", "shoe", "hat", "drill", "64gb", "tv"]
ROWS, SEGMENT_ROWS, BATCH_ROWS = 450, 200, 50

# A build that waits for ever in the middle of its second segment.
BUILD = f"""
import sys, threading
from pathlib import Path
from farthing.indexing import build as building
from farthing.indexing.options import BuildOptions
from farthing.inference.bundle import Bundle
from farthing.search.manifest import Field
building.BATCH_ROWS = {BATCH_ROWS}
file, out, bundle = map(Path, sys.argv[1:])
options = BuildOptions(id="sku", fields=(Field("title"),), segment_rows={SEGMENT_ROWS}, workers=2)
def halt(stage, done, total):
    if (stage, done) == ("Embedding", {SEGMENT_ROWS + BATCH_ROWS}):
        print("halted", flush=True)
        threading.Event().wait()
building.build(file, out, Bundle.open(bundle), options, halt)
"""


@pytest.fixture(scope="module")
def bundle(models_dir: Path) -> Bundle:
    return Bundle.open(models_dir / "all-minilm-l6-v2")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("shop") / "shop.csv"
    chance = np.random.default_rng(0)
    titles = (" ".join(chance.choice(WORDS, chance.integers(1, 9))) + f" {n}" for n in range(ROWS))
    file.write_text("sku,title\n" + "".join(f"{n},{title}\n" for n, title in enumerate(titles)))
    return file


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "BATCH_ROWS", BATCH_ROWS)


def options(**more: Any) -> BuildOptions:
    given = {"id": "sku", "fields": (Field("title"),), "segment_rows": SEGMENT_ROWS, "workers": 2}
    return BuildOptions(**{**given, **more})


@pytest.fixture(scope="module")
def whole(
    shop: Path, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, IndexManifest]:
    """An index that was built without any interruption."""
    out = tmp_path_factory.mktemp("whole") / "index"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "BATCH_ROWS", BATCH_ROWS)
        return out, build(shop, out, bundle, options()).manifest


def test_a_build_holds_every_document_with_its_vector(
    whole: tuple[Path, IndexManifest], shop: Path, bundle: Bundle, tmp_path: Path
) -> None:
    out, manifest = whole
    storage = LocalStorage(out)
    rows = [line.split(",") for line in shop.read_text().splitlines()[1:]]
    assert held(storage, tmp_path) == {key: (title,) for key, title in rows}
    assert manifest.documents == ROWS
    assert [entry.rows for entry in manifest.segments] == [200, 200, 50]
    assert manifest.terms_mean == pytest.approx(terms_mean([(title,) for _, title in rows]))
    assert manifest.origin.startswith("shop.csv sha256:")
    assert not verify(storage).problems
    (last,) = segments_of(storage, tmp_path)[2:]
    expected = Embedder(bundle).vectors(
        [embedded_text(each) for each in last.sources(np.arange(50))]
    )
    assert (last.vectors(np.arange(50)) * expected).sum(axis=1).min() > 0.999
    assert not (out / ".building").exists()


def test_the_number_of_workers_changes_no_byte(
    whole: tuple[Path, IndexManifest], shop: Path, bundle: Bundle, tmp_path: Path
) -> None:
    alone = build(shop, tmp_path / "whole", bundle, options(workers=1, name="index")).manifest
    assert alone.segments == whole[1].segments


def test_a_killed_build_goes_on_where_it_was(
    whole: tuple[Path, IndexManifest], shop: Path, bundle: Bundle, tmp_path: Path
) -> None:
    out = tmp_path / "index"
    script = tmp_path / "build.py"
    script.write_text(BUILD)
    with subprocess.Popen(
        [sys.executable, script, shop, out, bundle.path],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "halted\n"
        process.kill()
    assert len(json.loads((out / ".building" / "progress.json").read_bytes())["finished"]) == 1
    assert (out / ".building" / "vectors-1.f16").stat().st_size
    assert not (out / "manifest.json").exists()
    with pytest.raises(CatalogueInvalid, match="unfinished build of another file"):
        build(shop, out, bundle, options(cut_long=True))
    resumed = build(shop, out, bundle, options())
    assert resumed.resumed
    assert resumed.embedded == ROWS - SEGMENT_ROWS - BATCH_ROWS
    assert resumed.manifest.segments == whole[1].segments
    assert not verify(LocalStorage(out)).problems


def test_vectors_of_a_segment_that_is_whole_are_never_taken_for_the_next(
    whole: tuple[Path, IndexManifest],
    shop: Path,
    bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def die(spool: VectorSpool, file: Path) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(VectorSpool, "next", die)
        with pytest.raises(SystemExit):
            build(shop, tmp_path / "index", bundle, options())
    assert (tmp_path / "index" / ".building" / "vectors-0.f16").stat().st_size
    resumed = build(shop, tmp_path / "index", bundle, options())
    assert resumed.manifest.segments == whole[1].segments


def test_what_follows_a_build_is_done_again_where_it_did_not_end(
    shop: Path, bundle: Bundle, tmp_path: Path
) -> None:
    def fail(manifest: IndexManifest) -> None:
        raise RuntimeError("the machine went away")

    with pytest.raises(RuntimeError):
        build(shop, tmp_path / "index", bundle, options(), afterwards=fail)
    versions = []
    again = build(
        shop,
        tmp_path / "index",
        bundle,
        options(),
        afterwards=lambda each: versions.append(each.version),
    )
    assert versions == [1]
    assert (again.embedded, again.manifest.version) == (0, 1)
    assert not (tmp_path / "index" / ".building").exists()


def test_a_build_that_fails_half_way_loses_nothing(
    bundle: Bundle, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unlucky(EmbeddingPool):
        def embed(self, batches: Any, texts_of: Any) -> Any:
            for number, each in enumerate(super().embed(batches, texts_of)):
                if number == 5:
                    raise MemoryError
                yield each

    with monkeypatch.context() as patch:
        patch.setattr(building, "EmbeddingPool", Unlucky)
        with pytest.raises(MemoryError):
            build(shop, tmp_path / "index", bundle, options(workers=1))
    resumed = build(shop, tmp_path / "index", bundle, options())
    assert resumed.resumed
    assert resumed.embedded == ROWS - 5 * BATCH_ROWS
    assert resumed.manifest.documents == ROWS


def test_an_index_is_replaced_only_where_that_is_asked_for(bundle: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "index"
    for name, title in (("old.csv", "red shoe"), ("new.csv", "blue hat")):
        (tmp_path / name).write_text(f"sku,title\n1,{title}\n")
    build(tmp_path / "old.csv", out, bundle, options(workers=1))
    with pytest.raises(CatalogueInvalid, match="holds an index already"):
        build(tmp_path / "new.csv", out, bundle, options(workers=1))
    storage = LocalStorage(out)
    seen = []

    def note(stage: str, done: int, total: int | None) -> None:
        seen.append(held(storage, tmp_path)["1"])

    built = build(tmp_path / "new.csv", out, bundle, options(workers=1, overwrite=True), note)
    assert set(seen) == {("red shoe",)}
    assert held(storage, tmp_path)["1"] == ("blue hat",)
    assert built.manifest.version == 2


def test_a_folder_with_other_things_is_left_alone(
    shop: Path, bundle: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").touch()
    for overwrite in (False, True):
        with pytest.raises(CatalogueInvalid, match="something that is no index"):
            build(shop, tmp_path, bundle, options(overwrite=overwrite))
    assert list(tmp_path.iterdir()) == [tmp_path / "thesis.tex"]


def test_two_builds_in_one_folder_are_refused(shop: Path, bundle: Bundle, tmp_path: Path) -> None:
    def again(stage: str, done: int, total: int | None) -> None:
        if stage == "Embedding":
            build(shop, tmp_path / "index", bundle, options())

    with pytest.raises(BuildStopped, match="being built by another process"):
        build(shop, tmp_path / "index", bundle, options(workers=1), again)


def test_documents_are_added_to_what_was_built(shop: Path, bundle: Bundle, tmp_path: Path) -> None:
    build(shop, tmp_path / "index", bundle, options())
    storage = LocalStorage(tmp_path / "index")
    changes = [Upsert({"sku": "7", "title": "replaced"}), Upsert({"sku": "new", "title": "added"})]
    done = apply(storage, tmp_path / "work", Embedder(bundle), changes)
    assert (done.added, done.replaced) == (1, 1)
    found = held(storage, tmp_path)
    assert (found["7"], found["new"], len(found)) == (("replaced",), ("added",), ROWS + 1)
    assert read_manifest(storage).terms_mean == pytest.approx(terms_mean(list(found.values())))


def test_options_that_no_index_can_have_are_told(
    shop: Path, bundle: Bundle, tmp_path: Path
) -> None:
    twice = options(fields=(Field("title"), Field("title", 2.0)))
    with pytest.raises(CatalogueInvalid, match="twice with --text"):
        build(shop, tmp_path / "index", bundle, twice)
    with pytest.raises(CatalogueInvalid, match="No index can be"):
        build(shop, tmp_path / "index", bundle, options(name="No Name!"))
    with pytest.raises(CatalogueInvalid, match="language"):
        build(
            shop,
            tmp_path / "index",
            bundle,
            options(analysis=msgspec.structs.replace(options().analysis, language="klingon")),
        )
    assert not (tmp_path / "index" / "manifest.json").exists()


def test_vectors_that_a_crash_left_half_written_are_dropped(tmp_path: Path) -> None:
    batches = [np.full((rows, 4), rows, np.float16) for rows in (3, 1, 2)]
    spool = VectorSpool(tmp_path / "vectors", 4)
    for batch in batches:
        spool.append(batch)
    spool.close()
    content = (tmp_path / "vectors").read_bytes()
    for damaged in (content[:-1], content[:-1] + b"\xff", content + b"\x01"):
        (tmp_path / "vectors").write_bytes(damaged)
        again = VectorSpool(tmp_path / "vectors", 4)
        assert again.batches == (3 if len(damaged) > len(content) else 2)
        again.append(batches[0])
        again.close()
        *kept, last = again.read()
        assert all(np.array_equal(a, b) for a, b in zip(kept, batches, strict=False))
        assert np.array_equal(last, batches[0])
