"""A search whose vectors lie in a store finds what a search of the index finds."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from farthing.errors import InvalidRequest, SettingsError
from farthing.inference.bundle import Bundle
from farthing.inference.tasks import Embedder
from farthing.search.changes import Delete, Upsert
from farthing.search.engine import Engine
from farthing.search.errors import EmbedderMismatch, FilterUnknown
from farthing.search.filters import Where
from farthing.search.manifest import EmbedderFacts, Filter
from farthing.search.publishing import publish, read_manifest
from farthing.search.stores import Label, open_store
from farthing.search.stores.conditions import plain_filter
from farthing.search.stores.exporting import export, label_of
from farthing.search.stores.searching import StoreEngine, StoreSearch
from farthing.search.updates import apply
from farthing.storage import LocalStorage
from tests.search.writing import empty_manifest, record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farthing.search.stores import VectorStore

THINGS = ("fridge", "kettle", "sofa", "red lamp", "garden hose", "usb charger", "mattress")
MAKERS = ("bosch", "miele", "ikea")
QUERIES = ("something to sit on", "bosch kettle", "light for reading", "watering plants", "zzz")


@pytest.fixture(scope="module")
def embedder(models_dir: Path) -> Embedder:
    return Embedder(Bundle.open(models_dir / "all-minilm-l6-v2"))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, embedder: Embedder) -> Path:
    """Two segments of products."""
    folder = tmp_path_factory.mktemp("searching")
    storage = LocalStorage(folder / "index")
    facts = EmbedderFacts(embedder.name, embedder.bundle.digest, embedder.dims)
    publish(storage, lambda _: replace(empty_manifest(), embedder=facts))
    upserts = [
        Upsert(record(f"{maker}-{n}", f"{maker} {thing} no {n}", brand=maker, price=n * 10))
        for maker in MAKERS
        for n, thing in enumerate(THINGS)
    ]
    apply(storage, folder / "work", embedder, upserts[:12])
    apply(storage, folder / "work", embedder, upserts[12:])
    return folder / "index"


@pytest.fixture(scope="module")
def store(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorStore]:
    opened = exported(index, tmp_path_factory.mktemp("vectors"))
    yield opened
    opened.close()


def exported(index: Path, folder: Path) -> VectorStore:
    """A store that holds the index's vectors."""
    store = open_store(f"embedded:{folder}/vectors", label_of(read_manifest(LocalStorage(index))))
    export(index, store, told=lambda *_: None)
    return store


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize(
    "where",
    [None, {"brand": "bosch"}, {"brand": ["miele", "ikea"], "price": {"gt": 10, "lte": 50}}],
)
def test_hits_are_those_of_the_index(
    index: Path, embedder: Embedder, store: VectorStore, query: str, where: dict[str, object] | None
) -> None:
    alone = Engine.open(index, embedder)
    with_store = StoreEngine.open_with(index, embedder, store)
    narrowed = Where.parse(where, alone.manifest.filters) if where else None
    wanted = alone.search(query, top_k=5, where=narrowed, explain=True)
    found = with_store.search(query, top_k=5, where=narrowed, explain=True)
    assert [hit.id for hit in found.hits] == [hit.id for hit in wanted.hits]
    assert [hit.document for hit in found.hits] == [hit.document for hit in wanted.hits]
    scores = [hit.score for hit in wanted.hits]
    assert [hit.score for hit in found.hits] == pytest.approx(scores, abs=0.02)
    assert found.stages_ns.keys() == wanted.stages_ns.keys()


def test_the_store_is_what_is_asked(index: Path, embedder: Embedder, tmp_path: Path) -> None:
    store = exported(index, tmp_path)
    engine = StoreEngine.open_with(index, embedder, store)
    before = engine.search("a couch for the living room", top_k=3)
    assert {hit.id for hit in before.hits} == {f"{maker}-2" for maker in MAKERS}
    store.delete([f"{maker}-2" for maker in MAKERS])
    after = engine.search("a couch for the living room", top_k=3)
    assert not {hit.id for hit in after.hits} & {f"{maker}-2" for maker in MAKERS}
    by_words = engine.search("ikea sofa", top_k=1)
    assert [hit.id for hit in by_words.hits] == ["ikea-2"]


def test_what_the_index_has_no_more_is_no_hit(
    index: Path, embedder: Embedder, store: VectorStore, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(index, copy)
    apply(LocalStorage(copy), tmp_path / "work", embedder, [Delete("ikea-2"), Delete("miele-2")])
    engine = StoreEngine.open_with(copy, embedder, store)
    found = engine.search("a couch for the living room", top_k=1)
    assert [hit.id for hit in found.hits] == ["bosch-2"]


def test_words_alone_ask_no_store(index: Path, embedder: Embedder, tmp_path: Path) -> None:
    store = exported(index, tmp_path)
    engine = StoreEngine.open_with(index, embedder, store)
    store.close()
    found = engine.search("miele kettle", top_k=1, mode="bm25")
    assert [hit.id for hit in found.hits] == ["miele-1"]


def test_a_store_without_an_index_searches_by_meaning(
    embedder: Embedder, store: VectorStore
) -> None:
    search = StoreSearch(store, embedder)
    found = search.search(
        "a couch for the living room", top_k=2, where={"brand": ["ikea", "miele"]}
    )
    assert {hit.id for hit in found.hits} == {"ikea-2", "miele-2"}
    assert found.hits[0].document["title"].endswith("sofa no 2")
    assert found.hits[0].score >= found.hits[1].score
    assert found.hits[0].explain is None
    assert list(found.stages_ns) == ["embed", "dense"]
    assert found.tokens > 4
    explained = search.search("couch", top_k=1, explain=True).hits[0]
    assert explained.explain == {"cosine": explained.score}
    for query, top_k in (("", 10), (" \n", 10), ("couch", 0), ("couch", 101)):
        with pytest.raises(InvalidRequest):
            search.search(query, top_k=top_k)
    with pytest.raises(FilterUnknown):
        search.search("couch", where={"colour": "red"})


def test_a_store_of_other_vectors_is_refused(
    index: Path, embedder: Embedder, tmp_path: Path
) -> None:
    label = label_of(read_manifest(LocalStorage(index)))
    other = open_store(
        f"embedded:{tmp_path}/other", Label(replace(label.embedder, digest="b" * 64), label.filters)
    )
    with pytest.raises(EmbedderMismatch):
        StoreEngine.open_with(index, embedder, other)
    with pytest.raises(EmbedderMismatch):
        StoreSearch(other, embedder)
    narrow = open_store(f"embedded:{tmp_path}/narrow", Label(label.embedder))
    with pytest.raises(SettingsError, match="without the filters brand, price"):
        StoreEngine.open_with(index, embedder, narrow)


@pytest.mark.parametrize(
    "where",
    [
        {"brand": ["bosch"]},
        {"brand": ["a", "b"], "price": {"gte": 1.0, "lt": 2.0}},
        {"price": [1.0, 2.0]},
        {"price": {"gt": 1.0, "lt": 1.0}},
        {"price": {"lte": 3.0}},
    ],
)
def test_a_checked_filter_is_said_again_as_it_was(where: dict[str, object]) -> None:
    filters = (Filter("price", "number"), Filter("brand"))
    assert plain_filter(Where.parse(where, filters), filters) == where
    assert plain_filter(None, filters) is None
