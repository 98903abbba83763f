"""An index's vectors go into a store, which then finds what the index finds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import typer
from msgspec.structs import replace
from typer.testing import CliRunner

from farthing.cli.index.export import export as export_command
from farthing.errors import InvalidRequest, SettingsError
from farthing.search.changes import Delete, Upsert
from farthing.search.errors import EmbedderMismatch, VectorStoreUnavailable
from farthing.search.publishing import read_manifest
from farthing.search.stores import Item, Label, open_store
from farthing.search.stores.addresses import read_address
from farthing.search.stores.contract import METADATA_BYTES_MAX
from farthing.search.stores.exporting import Exported, export, label_of
from farthing.search.updates import apply
from farthing.storage import LocalStorage
from tests.search.writing import HashEmbedder, new_index, record, vector_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from farthing.search.manifest import IndexManifest
    from farthing.search.stores import VectorStore


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Two segments of 130 documents, some of which are no more, and one that is very long."""
    folder = tmp_path / "index"
    storage = new_index(folder)
    upserts = [
        Upsert(record(f"é{n}", f"thing {n}", brand="bosch" if n % 2 else "miele", price=n))
        for n in range(120)
    ]
    apply(storage, tmp_path / "work", HashEmbedder(), upserts)
    more = [Upsert(record(f"new{n}", f"later thing {n}")) for n in range(9)]
    long = Upsert(record("long", "word " * METADATA_BYTES_MAX, brand="bosch"))
    changes = [*more, long, *(Delete(f"é{n}") for n in range(0, 20, 2))]
    apply(storage, tmp_path / "work", HashEmbedder(), changes)
    return folder


@pytest.fixture
def store(index: Path, tmp_path: Path) -> Iterator[VectorStore]:
    opened = open_store(f"embedded:{tmp_path}/vectors", label_of(manifest_of(index)))
    yield opened
    opened.close()


def manifest_of(folder: Path) -> IndexManifest:
    return read_manifest(LocalStorage(folder))


def test_every_document_goes_over_with_what_its_hit_shows(index: Path, store: VectorStore) -> None:
    told: list[tuple[int, int]] = []
    done = export(index, store, told=lambda *counts: told.append(counts))
    assert done == Exported(sent=120, kept=0, shortened=1, undirected=0)
    assert told[-1] == (120, 120)
    assert store.count() == 120
    found = store.nearest(vector_of("thing 7"), 1)[0]
    assert found.id == "é7"
    assert found.score == pytest.approx(1, abs=0.01)
    assert found.metadata == {"sku": "é7", "title": "thing 7", "brand": "bosch", "price": 7.0}
    assert not {f"é{n}" for n in range(0, 20, 2)} & store.fetch([f"é{n}" for n in range(20)]).keys()
    within = store.nearest(vector_of("x"), 100, {"brand": "bosch", "price": {"gte": 50}})
    assert {one.id for one in within} == {f"é{n}" for n in range(51, 120, 2)}
    (long,) = (one for one in store.nearest(vector_of("x"), 1_000) if one.id == "long")
    assert long.metadata == {"sku": "long", "brand": "bosch"}


def test_an_export_that_was_stopped_goes_on(index: Path, store: VectorStore) -> None:
    class Stopped(Exception):
        pass

    def stop(*_: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        export(index, store, told=stop)
    there = store.count()
    assert 0 < there < 120
    done = export(index, store, resume=True, told=lambda *_: None)
    assert done == Exported(sent=120 - there, kept=there, shortened=1, undirected=0)
    assert store.count() == 120
    again = export(index, store, resume=True, told=lambda *_: None)
    assert (again.sent, again.kept) == (0, 120)


def test_a_failure_of_the_store_ends_an_export(index: Path, store: VectorStore) -> None:
    class Failing:
        def __getattr__(self, name: str) -> object:
            return getattr(store, name)

        def upsert(self, items: Iterable[Item]) -> int:
            raise VectorStoreUnavailable("The vector store is down.")

    with pytest.raises(VectorStoreUnavailable):
        export(index, Failing(), told=lambda *_: None)
    assert store.count() == 0


def test_an_index_is_a_store_that_is_only_read(index: Path) -> None:
    manifest = manifest_of(index)
    store = open_store(f"embedded:{index}", label_of(manifest))
    assert store.describe() == label_of(manifest)
    assert store.count() == 120
    assert store.nearest(vector_of("later thing 3"), 1)[0].id == "new3"
    assert store.fetch(["é1"])["é1"] @ vector_of("thing 1") > 0.995
    for change in (lambda: store.delete(["é1"]), lambda: store.upsert(_items(1))):
        with pytest.raises(SettingsError, match="farthing index add"):
            change()
    assert manifest_of(index) == manifest
    store.close()


def test_small_segments_become_one_and_nothing_is_lost(tmp_path: Path, index: Path) -> None:
    store = open_store(f"embedded:{tmp_path}/vectors", label_of(manifest_of(index)))
    for start in range(0, 100, 10):
        store.upsert(_items(10, start))
    store.delete(["id-0", "id-99"])
    assert store.count() == 98
    assert len(manifest_of(tmp_path / "vectors").segments) < 6
    assert {one.id for one in store.nearest(vector_of("x"), 200)} == {
        f"id-{n}" for n in range(1, 99)
    }
    store.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "no vector store's address"),
        ("faiss:somewhere", "no vector store's address"),
        ("chroma:", "no vector store's address"),
        ("embedded://host/folder", "no vector store's address"),
        ("chroma+https://", "no vector store's address"),
        ("chroma+ftp://host/x", "no vector store's address"),
        ("chroma+https://host:port/x", "no vector store's address"),
        ("chroma+https://host/a/b", "no vector store's address"),
        ("embedded:DIR?colour=red", "an option that it cannot have"),
        ("chroma:DIR?collection=a", "a collection that cannot be"),
        ("milvus+https://host/my-things", "a collection that cannot be"),
        ("chroma+https://me:hunter2@host/x", "holds a user or a password"),
        ("chroma+http://example.com/things", r"Use chroma\+https://"),
        ("milvus+http://10.0.0.1:19530/things", r"Use milvus\+https://"),
    ],
)
def test_addresses_that_cannot_be_are_refused(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as refused:
        read_address(url)
    assert "hunter2" not in str(refused.value)


def test_a_client_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"pip install 'farthing\[milvus\]'"):
        open_store("milvus:file.db")


def test_the_command_tells_what_it_did(index: Path, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(export_command)
    to = f"embedded:{tmp_path}/out"
    done = CliRunner().invoke(app, [str(index), "--to", to, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {
        "name": "shop", "to": to, "sent": 120, "kept": 0, "shortened": 1, "undirected": 0,
        "there now": 120,
    }  # fmt: skip
    again = CliRunner().invoke(app, [str(index), "--to", to, "--resume"])
    assert again.exit_code == 0
    assert "120" in again.stdout
    nowhere = CliRunner().invoke(app, [str(index), "--to", "nowhere"])
    assert isinstance(nowhere.exception, SettingsError)


def test_a_store_of_another_embedder_takes_no_export(index: Path, tmp_path: Path) -> None:
    label = label_of(manifest_of(index))
    other = Label(replace(label.embedder, digest="b" * 64), label.filters)
    open_store(f"embedded:{tmp_path}/vectors", other).close()
    with pytest.raises(EmbedderMismatch, match="cannot be compared"):
        open_store(f"embedded:{tmp_path}/vectors", label)


def test_an_item_that_no_store_takes_leaves_the_store_as_it_was(store: VectorStore) -> None:
    (item,) = _items(1)
    with pytest.raises(InvalidRequest):
        store.upsert([item, item._replace(vector=np.zeros(3, np.float32))])
    assert store.count() == 0


def _items(count: int, start: int = 0) -> list[Item]:
    return [
        Item(f"id-{n}", vector_of(f"vector {n}"), {"n": n}) for n in range(start, start + count)
    ]
