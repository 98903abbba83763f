"""What every vector store does, whatever it is made of.

The embedded store runs wherever the search layer does; the others where their clients are
installed (`make test-stores`). Chroma and Milvus are the real ones, Pinecone is our stub.
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import pytest

from farthing.errors import InvalidRequest, SettingsError, StorageUnavailable
from farthing.search.errors import (
    EmbedderMismatch,
    FilterUnknown,
    IndexMissing,
    VectorStoreUnavailable,
)
from farthing.search.manifest import EmbedderFacts, Filter
from farthing.search.stores import NEAREST_MAX, Item, Label, open_store
from tests.contracts import pinecone_stub
from tests.contracts.vector_stores import (
    DIMS,
    EMBEDDER,
    FILTERS,
    LABEL,
    NEEDED,
    chroma_server,
    is_installed,
    items,
    milvus_server,
    nearest_by_numpy,
    vectors,
)
from tests.functions.server import refusing_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from farthing.search.stores import VectorStore

# Clients bring warnings of their own, which are not ours to heed.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ENVIRON = {**os.environ, "PINECONE_API_KEY": pinecone_stub.KEY}
_numbers = itertools.count(1)


class Place(NamedTuple):
    """Where a store is; it can be opened there again and again."""

    kind: str
    url: str

    def open(self, label: Label | None = LABEL, environ: dict[str, str] = ENVIRON) -> VectorStore:
        return open_store(self.url, label, environ)


@pytest.fixture(scope="session")
def chroma_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with chroma_server(tmp_path_factory.mktemp("chroma")) as (port, _):
        yield port


@pytest.fixture(scope="session")
def milvus_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with milvus_server(tmp_path_factory.mktemp("milvus")) as port:
        yield port


@pytest.fixture(scope="session")
def milvus_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file that stays open: Milvus Lite takes a second to open one."""
    from tests.contracts import milvus_lite_server

    file = tmp_path_factory.mktemp("milvus") / "vectors.db"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("grpc.server", milvus_lite_server.server)
        anchor = open_store(f"milvus:{file}", LABEL)
    yield file
    anchor.close()


@pytest.fixture(scope="session")
def pinecone_port() -> Iterator[int]:
    with pinecone_stub.running(DIMS) as server:
        yield server.server_port


@pytest.fixture(params=[kind for kind in NEEDED if is_installed(kind)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An address where no collection is yet."""
    kind, name = request.param, f"collection_{next(_numbers)}"
    if kind == "embedded":
        return Place(kind, f"embedded:{tmp_path}/vectors")
    if kind == "chroma":
        return Place(kind, f"chroma:{tmp_path}/chroma?collection={name}")
    if kind == "milvus":
        file = request.getfixturevalue("milvus_file")
        return Place(kind, f"milvus:{file}?collection={name}")
    if kind == "milvus-server":
        port = request.getfixturevalue("milvus_port")
        return Place(kind, f"milvus+http://127.0.0.1:{port}/{name}")
    if kind == "chroma-server":
        port = request.getfixturevalue("chroma_port")
        return Place(kind, f"chroma+http://127.0.0.1:{port}/{name}")
    port = request.getfixturevalue("pinecone_port")
    return Place(kind, f"pinecone://127.0.0.1:{port}/{name}")


@pytest.fixture
def store(place: Place) -> Iterator[VectorStore]:
    opened = place.open()
    yield opened
    opened.close()


def needs(kind: str) -> None:
    """Skips the test, loudly, where what the kind of store needs is not installed."""
    if not is_installed(kind):
        pytest.skip(f"NO {NEEDED[kind].upper()}: {kind} is NOT TESTED here; see `make test-stores`")


def ids(store: VectorStore, vector: np.ndarray, limit: int = 10, **where: Any) -> list[str]:
    return [one.id for one in store.nearest(vector, limit, where or None)]


def test_a_store_that_holds_nothing_finds_nothing(store: VectorStore) -> None:
    (query,) = vectors(1)
    assert store.count() == 0
    assert store.nearest(query, 10) == []
    assert store.nearest(query, 10, {"brand": "bosch"}) == []
    assert store.fetch(["a"]) == {}
    store.delete(["a"])
    assert store.upsert([]) == 0
    assert store.describe() == LABEL


def test_what_was_kept_comes_back(store: VectorStore) -> None:
    rows = vectors(3)
    assert store.upsert(iter(items(rows))) == 3
    assert store.count() == 3
    found = store.nearest(rows[1], 1)
    assert [(one.id, one.metadata) for one in found] == [("item-1", {"place": 1})]
    assert found[0].score == pytest.approx(1, abs=0.01)
    fetched = store.fetch(["item-2", "nobody", "item-0", "item-2"])
    assert fetched.keys() == {"item-0", "item-2"}
    for id_, place in (("item-0", 0), ("item-2", 2)):
        assert fetched[id_].dtype == np.float32
        assert fetched[id_].shape == (DIMS,)
        assert np.linalg.norm(fetched[id_]) == pytest.approx(1, abs=1e-3)
        assert fetched[id_] @ rows[place] > 0.995


def test_the_length_of_a_vector_says_nothing(store: VectorStore) -> None:
    first, second = vectors(2)
    store.upsert([Item("long", first * 40, {}), Item("short", second / 40, {})])
    assert store.nearest(first / 7, 1)[0].score == pytest.approx(1, abs=0.01)
    assert ids(store, second * 3) == ["short", "long"]
    assert store.fetch(["long"])["long"] @ first > 0.995


def test_order_and_scores_are_those_of_cosines(store: VectorStore) -> None:
    rows, queries = vectors(300), vectors(5, seed=8)
    store.upsert(items(rows))
    for query in queries:
        found = store.nearest(query, 10)
        cosines = np.array([rows[one.metadata["place"]] @ query for one in found])
        assert np.allclose([one.score for one in found], cosines, atol=0.01)
        # INT8 may swap neighbours that are as good as equally near.
        best = [rows[place] @ query for place in nearest_by_numpy(rows, query, 10)]
        assert np.allclose(cosines, best, atol=0.01)


def test_an_item_replaces_the_one_with_its_id(store: VectorStore) -> None:
    first, second, third = vectors(3)
    store.upsert([Item("a", first, {"brand": "bosch", "note": 1}), Item("b", second, {})])
    store.upsert([Item("a", third, {"price": 5})])
    assert store.count() == 2
    assert store.fetch(["a"])["a"] @ third > 0.995
    assert [one.metadata for one in store.nearest(third, 1)] == [{"price": 5}]
    assert ids(store, third, brand="bosch") == []
    assert ids(store, third, price=5) == ["a"]


def test_of_two_items_with_one_id_the_later_stays(store: VectorStore) -> None:
    first, second = vectors(2)
    store.upsert([Item("a", first, {"n": 1}), Item("a", second, {"n": 2})])
    assert store.count() == 1
    assert [one.metadata for one in store.nearest(second, 5)] == [{"n": 2}]


def test_what_was_deleted_is_gone_and_may_come_back(store: VectorStore) -> None:
    rows = vectors(4)
    store.upsert(items(rows))
    store.delete(["item-1", "nobody", "item-3"])
    assert store.count() == 2
    assert sorted(ids(store, rows[1])) == ["item-0", "item-2"]
    assert store.fetch(["item-1"]) == {}
    store.delete(["item-1"])
    store.upsert([Item("item-1", rows[1], {})])
    assert ids(store, rows[1], 1) == ["item-1"]
    store.delete(["item-0", "item-1", "item-2"])
    assert store.count() == 0
    assert ids(store, rows[1]) == []


def test_fewer_are_found_where_there_are_fewer(store: VectorStore) -> None:
    rows = vectors(5)
    store.upsert(items(rows))
    assert len(store.nearest(rows[0], 100)) == 5
    assert len(store.nearest(rows[0], NEAREST_MAX)) == 5
    assert len(store.nearest(rows[0], 2)) == 2


def test_thousands_of_items_go_in_and_come_out(store: VectorStore) -> None:
    rows, queries = vectors(2_000), vectors(10, seed=9)
    assert store.upsert(items(rows)) == 2_000
    assert store.count() == 2_000
    fetched = store.fetch([f"item-{place}" for place in range(0, 2_000, 2)])
    assert len(fetched) == 1_000
    assert min(fetched[f"item-{place}"] @ rows[place] for place in range(0, 2_000, 2)) > 0.995
    found = [{one.metadata["place"] for one in store.nearest(query, 100)} for query in queries]
    wanted = [set(nearest_by_numpy(rows, query, 100)) for query in queries]
    kept = [len(ours & theirs) / 100 for ours, theirs in zip(found, wanted, strict=True)]
    assert min(kept) > 0.85
    assert sum(kept) / 10 > 0.93


def test_filters_narrow_by_each_of_their_forms(store: VectorStore) -> None:
    rows = vectors(60)
    brands = ["bosch", "miele", "a \"quoted\" 'brand' \\ 模型", None]
    kept = [
        {"brand": brands[place % 4], "price": place / 2 if place % 5 else None, "Größe (cm)": place}
        for place in range(60)
    ]
    kept[7]['in "or" \\ not'] = "and"
    store.upsert(
        Item(f"{n}", row, meta) for n, (row, meta) in enumerate(zip(rows, kept, strict=True))
    )
    cases: list[tuple[dict[str, Any], Callable[[dict[str, Any]], bool]]] = [
        ({"brand": "bosch"}, lambda m: m["brand"] == "bosch"),
        ({"brand": ["bosch", "miele"]}, lambda m: m["brand"] in ("bosch", "miele")),
        ({"brand": brands[2]}, lambda m: m["brand"] == brands[2]),
        ({"brand": "nobody's"}, lambda m: False),
        ({"brand": '" or price > 0 or "'}, lambda m: False),
        ({"price": 8}, lambda m: m["price"] == 8),
        ({"price": [3.5, 8]}, lambda m: m["price"] in (3.5, 8)),
        (
            {"price": {"gte": 5, "lt": 9.5}},
            lambda m: m["price"] is not None and 5 <= m["price"] < 9.5,
        ),
        (
            {"price": {"gt": 5, "lte": 9.5}},
            lambda m: m["price"] is not None and 5 < m["price"] <= 9.5,
        ),
        ({"price": {"gt": 5, "lte": 5}}, lambda m: False),
        ({"price": {"gte": -1e9}}, lambda m: m["price"] is not None),
        ({"Größe (cm)": {"lt": 4}}, lambda m: m["Größe (cm)"] < 4),
        ({'in "or" \\ not': "and"}, lambda m: 'in "or" \\ not' in m),
        (
            {"brand": ["bosch"], "price": {"lt": 12}, "Größe (cm)": {"gte": 4}},
            lambda m: (
                m["brand"] == "bosch"
                and m["price"] is not None
                and m["price"] < 12
                and m["Größe (cm)"] >= 4
            ),
        ),
        ({}, lambda m: True),
    ]
    for where, holds in cases:
        wanted = {f"{n}" for n, meta in enumerate(kept) if holds(meta)}
        found = {one.id for one in store.nearest(rows[0], 100, where)}
        assert found == wanted, where


def test_a_filter_that_the_label_has_not_is_refused(store: VectorStore) -> None:
    rows = vectors(2)
    store.upsert(items(rows))
    for where in ({"place": 1}, {"brand": 7}, {"price": "cheap"}, {"price": {"above": 1}}):
        with pytest.raises(FilterUnknown):
            store.nearest(rows[0], 10, where)


def test_metadata_comes_back_as_json_has_it(store: VectorStore) -> None:
    metadata = {
        "text": 'ünïcode "quoted" \\ \n 模型 😀',
        "int": 2**53,
        "negative": -1,
        "float": 0.1,
        "yes": True,
        "no": False,
        "nothing": None,
        "list": [1, "two", None, [3.5]],
        "object": {"a": {"b": []}},
        "": "an empty name",
        "$in": "an operator's name",
        "brand": "bosch",
        "price": 12,
    }
    (row,) = vectors(1)
    store.upsert([Item("a", row, metadata), Item("b", -row, {})])
    assert [one.metadata for one in store.nearest(row, 2)] == [metadata, {}]


def test_ids_are_any_text(store: VectorStore) -> None:
    names = [
        *("模型 ✓ 😀", "a" * 512, "é" * 256, "a/b?c=d&e#f%20", '\'; drop "x" --', " ", "\t\n", "0"),
        *("00", "None", "a,b", "[1]", "\\", "{x}", "%", "\u0301", "e\u0301", "é"),
    ]
    rows = vectors(len(names))
    for version in (1, 2):
        store.upsert(Item(id_, row, {"n": version}) for id_, row in zip(names, rows, strict=True))
    assert store.count() == len(names)
    assert store.fetch(names).keys() == set(names)
    for id_, row in zip(names, rows, strict=True):
        assert [(one.id, one.metadata) for one in store.nearest(row, 1)] == [(id_, {"n": 2})]
    store.delete(names[:-1])
    assert ids(store, rows[0]) == names[-1:]


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (Item("a", np.ones(DIMS + 1, np.float32), {}), f"the store's have {DIMS} dims"),
        (Item("a", np.ones((1, DIMS), np.float32), {}), f"the store's have {DIMS} dims"),
        (Item("a", np.zeros(DIMS, np.float32), {}), "no direction"),
        (Item("a", np.full(DIMS, np.nan, np.float32), {}), "no direction"),
        (Item("", np.ones(DIMS, np.float32), {}), "0 bytes"),
        (Item("a" * 513, np.ones(DIMS, np.float32), {}), "513 bytes"),
        (Item("a", np.ones(DIMS, np.float32), {"x": object()}), "what JSON has not"),
        (Item("a", np.ones(DIMS, np.float32), {"x": "secret" * 9_000}), "54,008 bytes"),
        (Item("a", np.ones(DIMS, np.float32), {"price": "cheap"}), "filter price takes numbers"),
        (Item("a", np.ones(DIMS, np.float32), {"brand": 7}), "filter brand takes keywords"),
    ],
)
def test_what_no_store_takes_is_refused(store: VectorStore, item: Item, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as refused:
        store.upsert([item])
    assert "secret" not in str(refused.value)
    assert store.count() == 0


def test_questions_that_no_store_answers_are_refused(store: VectorStore) -> None:
    store.upsert(items(vectors(2)))
    (query,) = vectors(1)
    for limit in (0, -1, NEAREST_MAX + 1):
        with pytest.raises(InvalidRequest, match="nearest"):
            store.nearest(query, limit)
    with pytest.raises(InvalidRequest, match="dims"):
        store.nearest(query[:-1], 5)


def test_a_collection_outlives_its_reader(place: Place) -> None:
    rows = vectors(50)
    with_first = place.open()
    with_first.upsert(items(rows))
    with_first.delete(["item-4"])
    with_first.close()
    with_second = place.open()
    with_second.upsert([Item("new", vectors(1, seed=3)[0], {"brand": "miele"})])
    with_second.close()
    with_third = place.open(None)
    try:
        assert with_third.describe() == LABEL
        assert with_third.count() == 50
        assert ids(with_third, rows[9], 1) == ["item-9"]
        assert "item-4" not in ids(with_third, rows[4], 50)
        assert ids(with_third, rows[0], brand="miele") == ["new"]
    finally:
        with_third.close()


def test_a_milvus_file_is_closed_and_opened_again(tmp_path: Path) -> None:
    needs("milvus")
    rows = vectors(3)
    first = open_store(f"milvus:{tmp_path}/own.db", LABEL)
    first.upsert(items(rows))
    first.close()
    second = open_store(f"milvus:{tmp_path}/own.db")
    assert (second.count(), second.describe()) == (3, LABEL)
    assert ids(second, rows[1], 1) == ["item-1"]
    second.close()


def test_a_collection_that_is_not_there_is_missing(place: Place) -> None:
    with pytest.raises(IndexMissing, match="farthing index export"):
        place.open(None)


@pytest.mark.parametrize(
    "other",
    [EmbedderFacts("tiny", "b" * 64, DIMS), EmbedderFacts("wide", "a" * 64, DIMS * 2)],
)
def test_another_embedder_is_refused_and_nothing_changes(
    place: Place, other: EmbedderFacts
) -> None:
    made = place.open()
    made.upsert(items(vectors(2)))
    made.close()
    with pytest.raises(EmbedderMismatch, match=other.name):
        place.open(Label(other, FILTERS))
    again = place.open()
    assert again.describe().embedder == EMBEDDER
    assert again.count() == 2
    again.close()


def test_filters_may_be_fewer_than_the_collection_has_but_not_more(place: Place) -> None:
    place.open().close()
    fewer = place.open(Label(EMBEDDER, FILTERS[:1]))
    assert fewer.describe() == LABEL
    fewer.close()
    with pytest.raises(SettingsError, match="without the filters colour"):
        place.open(Label(EMBEDDER, (*FILTERS, Filter("colour"))))


def test_threads_may_read_at_the_same_time(store: VectorStore) -> None:
    rows = vectors(200)
    store.upsert(items(rows))

    def read(place: int) -> bool:
        near = ids(store, rows[place], 1) == [f"item-{place}"]
        return near and store.fetch([f"item-{place}"])[f"item-{place}"] @ rows[place] > 0.995

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(read, range(100)))


def test_reading_goes_on_while_another_thread_writes(store: VectorStore) -> None:
    rows = vectors(120)
    store.upsert(items(rows[:20]))

    def write() -> None:
        for start in range(20, 120, 20):
            store.upsert(
                [
                    Item(f"item-{start + n}", row, {})
                    for n, row in enumerate(rows[start : start + 20])
                ]
            )

    with ThreadPoolExecutor(2) as threads:
        written = threads.submit(write)
        while not written.done():
            assert ids(store, rows[3], 1) == ["item-3"]
        written.result()
    assert store.count() == 120


def test_a_label_tells_what_it_was_made_with() -> None:
    raw = msgspec.json.encode(LABEL)
    assert msgspec.json.decode(raw, type=Label) == LABEL


def unavailable(error: pytest.ExceptionInfo[VectorStoreUnavailable]) -> None:
    said = str(error.value)
    assert "\n" not in said
    assert said.count(". ") <= 1
    assert pinecone_stub.KEY not in said
    assert error.value.status == 503
    assert error.value.__suppress_context__


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("chroma-server", "chroma+http://127.0.0.1:{port}/things"),
        ("milvus", "milvus+http://127.0.0.1:{port}/things"),
        ("pinecone", "pinecone://127.0.0.1:{port}"),
    ],
)
def test_a_server_that_is_not_there_is_one_sentence(kind: str, url: str) -> None:
    needs(kind)
    environ = {**ENVIRON, "MILVUS_TOKEN": pinecone_stub.KEY}
    with (
        refusing_port() as port,
        pytest.raises(VectorStoreUnavailable, match="did not do as asked") as error,
    ):
        open_store(url.format(port=port), LABEL, environ)
    unavailable(error)


@pytest.mark.parametrize("kind", ["embedded", "chroma", "milvus"])
def test_a_place_that_cannot_hold_a_store_is_one_sentence(kind: str, tmp_path: Path) -> None:
    needs(kind)
    in_the_way = tmp_path / "file.db"
    in_the_way.write_bytes(b"something else")
    with pytest.raises((VectorStoreUnavailable, StorageUnavailable), match="may be written"):
        open_store(f"{kind}:{in_the_way}/store.db", LABEL)
    assert in_the_way.read_bytes() == b"something else"


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("chroma-server", "chroma+http://127.0.0.1:{port}/things"),
        ("milvus", "milvus+http://127.0.0.1:{port}/things"),
        ("pinecone", "pinecone://127.0.0.1:{port}"),
    ],
)
def test_a_server_that_says_nothing_is_waited_for_a_bounded_time(
    kind: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs(kind)
    module = import_module(f"farthing.search.stores.{kind.partition('-')[0]}")
    monkeypatch.setattr(module, "TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = url.format(port=silent.getsockname()[1])
        with pytest.raises(VectorStoreUnavailable) as error:
            open_store(address, LABEL, ENVIRON)
    unavailable(error)


def test_a_chroma_server_killed_in_between_is_one_sentence(tmp_path: Path) -> None:
    needs("chroma-server")
    with chroma_server(tmp_path) as (port, process):
        store = open_store(f"chroma+http://127.0.0.1:{port}/things", LABEL, ENVIRON)
        store.upsert(items(vectors(3)))
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        for ask in (
            store.count,
            lambda: store.nearest(vectors(1)[0], 3),
            lambda: store.fetch(["item-1"]),
            lambda: store.upsert(items(vectors(1))),
            lambda: store.delete(["item-1"]),
        ):
            with pytest.raises(VectorStoreUnavailable) as error:
                ask()
            unavailable(error)
        store.close()


def test_a_key_that_is_refused_is_not_told(pinecone_port: int) -> None:
    needs("pinecone")
    secret = "pcsk-wrong-and-secret"
    with pytest.raises(VectorStoreUnavailable, match="status 401") as error:
        open_store(f"pinecone://127.0.0.1:{pinecone_port}", LABEL, {"PINECONE_API_KEY": secret})
    assert secret not in str(error.value)
    with pytest.raises(SettingsError, match="PINECONE_API_KEY is not set"):
        open_store(f"pinecone://127.0.0.1:{pinecone_port}", LABEL, {})


def test_a_chroma_collection_of_others_is_adopted_only_when_told(tmp_path: Path) -> None:
    needs("chroma")
    import chromadb

    rows = vectors(20)
    settings = chromadb.Settings(anonymized_telemetry=False)
    client = chromadb.PersistentClient(str(tmp_path), settings=settings)
    # Chroma's own default: distances are squared lengths of differences.
    theirs = client.create_collection("theirs", embedding_function=None, metadata={"team": "x"})
    theirs.add(
        ids=[f"{n}" for n in range(20)],
        embeddings=list(rows),
        metadatas=[{"brand": "bosch" if n % 2 else "miele", "n": n} for n in range(20)],
    )
    client.close()
    url = f"chroma:{tmp_path}?collection=theirs"
    with pytest.raises(EmbedderMismatch, match="adopt=true"):
        open_store(url, LABEL)
    wide = Label(EmbedderFacts("wide", "c" * 64, DIMS * 2))
    with pytest.raises(InvalidRequest, match="dims"):
        open_store(f"{url}&adopt=true", wide)
    open_store(f"{url}&adopt=true", LABEL).close()
    store = open_store(url, LABEL)
    found = store.nearest(rows[3], 3, {"brand": "bosch"})
    assert found[0] == ("3", pytest.approx(1, abs=1e-4), {"brand": "bosch", "n": 3})
    cosines = [rows[int(one.id)] @ rows[3] for one in found]
    assert [one.score for one in found] == pytest.approx(cosines, abs=1e-4)
    store.close()


def test_a_pinecone_namespace_of_others_is_adopted_only_when_told(pinecone_port: int) -> None:
    needs("pinecone")
    import pinecone

    (row,) = vectors(1)
    index = pinecone.Index(host=f"http://127.0.0.1:{pinecone_port}", api_key=pinecone_stub.KEY)
    theirs = {"id": "theirs", "values": row.tolist(), "metadata": {"brand": "bosch"}}
    index.upsert(vectors=[theirs], namespace="theirs")
    index.close()
    url = f"pinecone://127.0.0.1:{pinecone_port}/theirs"
    with pytest.raises(EmbedderMismatch, match="adopt=true"):
        open_store(url, LABEL, ENVIRON)
    with pytest.raises(EmbedderMismatch, match=f"has {DIMS} dims"):
        wide = Label(EmbedderFacts("wide", "c" * 64, DIMS * 2))
        open_store(f"{url}?adopt=true", wide, ENVIRON)
    open_store(f"{url}?adopt=true", LABEL, ENVIRON).close()
    store = open_store(url, None, ENVIRON)
    assert store.describe() == LABEL
    assert store.count() == 1
    found = store.nearest(row, 5, {"brand": "bosch"})
    assert found == [("theirs", pytest.approx(1, abs=1e-4), {"brand": "bosch"})]
    store.close()
