"""A segment gives back what was put into it, in the order that an oracle would."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farthing.inference.bundle import FileDigest
from farthing.search.analysis import Analyzer
from farthing.search.errors import CatalogueInvalid
from farthing.search.filters import Where
from farthing.search.manifest import (
    Analysis,
    EmbedderFacts,
    Field,
    Filter,
    IndexManifest,
    SegmentEntry,
)
from farthing.search.segments import (
    DELETIONS_FOLDER,
    SEGMENTS_FOLDER,
    Document,
    Segment,
    SegmentWriter,
    encode_deletions,
    quantise,
)
from farthing.search.segments.forward import FIELD_TERMS_MAX, term_hashes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DIMS = 16
FIELDS = (Field("title", boost=2.0), Field("text"))
FILTERS = (Filter("brand"), Filter("price", "number"))
BRANDS = ("aeg", "bosch", "miele", None)
WORDS = ["red", "blue", "shirt", "washing", "machine", "64gb", "phone", "case", "in", "and"]

analyzer = Analyzer(Analysis())


def directions(rows: int, seed: int = 0) -> np.ndarray[Any, Any]:
    vectors = np.random.default_rng(seed).standard_normal((rows, DIMS))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def product(number: int, title: str, text: str = "", **filters: Any) -> Document:
    values = (filters.get("brand"), filters.get("price"))
    return Document(f"p-{number}", (title, text), values, {"id": f"p-{number}", "title": title})


def write(root: Path, documents: Sequence[Document], vectors: Any = None) -> SegmentEntry:
    (root / SEGMENTS_FOLDER).mkdir(parents=True, exist_ok=True)
    if vectors is None:
        vectors = directions(len(documents))
    with SegmentWriter(root / SEGMENTS_FOLDER, FIELDS, FILTERS, Analysis(), DIMS) as writer:
        for document, vector in zip(documents, vectors, strict=True):
            writer.add(document, vector)
        return writer.finish()


def manifest_of(*entries: SegmentEntry) -> IndexManifest:
    rows = sum(entry.rows for entry in entries)
    embedder = EmbedderFacts("tiny", "0" * 64, DIMS)
    return IndexManifest(
        1, "shop", 1, "2026-01-01T00:00:00Z", "id", FIELDS, FILTERS, ("id", "title"), Analysis(),
        embedder, rows, (3.0, 3.0), entries,
    )  # fmt: skip


def open_segment(root: Path, entry: SegmentEntry) -> Segment:
    return Segment.open(root, entry, manifest_of(entry))


def packed(root: Path, documents: Sequence[Document], vectors: Any = None) -> Segment:
    return open_segment(root, write(root, documents, vectors))


def without(root: Path, entry: SegmentEntry, rows: Sequence[int]) -> SegmentEntry:
    """The entry after some of its rows were deleted."""
    dead = np.zeros(entry.rows, np.bool_)
    dead[list(rows)] = True
    raw = encode_deletions(dead)
    (root / DELETIONS_FOLDER).mkdir(exist_ok=True)
    (root / DELETIONS_FOLDER / "d.2.bin").write_bytes(raw)
    digest = FileDigest(hashlib.sha256(raw).hexdigest(), len(raw))
    return msgspec.structs.replace(
        entry, deleted=len(rows), deletions="d.2.bin", deletions_digest=digest
    )


def rows_by_bm25(documents: Sequence[Document], query: str) -> dict[int, float]:
    """The score of each document that has any of the words: Lucene's BM25, k1 1.2, b 0.75.

    Lengths here are below 40, which tantivy keeps exactly.
    """
    scores: dict[int, float] = {}
    for field, boost in enumerate(column.boost for column in FIELDS):
        texts = [Counter(analyzer.terms(document.texts[field])) for document in documents]
        mean = sum(text.total() for text in texts) / len(texts)
        for term in analyzer.query_terms(query):
            having = sum(term in text for text in texts)
            idf = math.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
            for row, text in enumerate(texts):
                if term in text:
                    wear = 1.2 * (0.25 + 0.75 * text.total() / mean)
                    score = boost * idf * 2.2 * text[term] / (text[term] + wear)
                    scores[row] = scores.get(row, 0.0) + score
    return scores


def catalogue(size: int = 60) -> list[Document]:
    chance = np.random.default_rng(3)
    return [
        product(
            number,
            " ".join(chance.choice(WORDS, chance.integers(0, 6))),
            " ".join(chance.choice(WORDS, chance.integers(0, 9))),
            brand=BRANDS[chance.integers(len(BRANDS))],
            price=float(chance.integers(0, 50)) if number % 5 else None,
        )
        for number in range(size)
    ]


sentences = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts=st.lists(st.tuples(sentences, sentences), min_size=1, max_size=30), query=sentences)
def test_words_recall_rows_in_the_order_of_bm25(
    tmp_path_factory: pytest.TempPathFactory, texts: list[tuple[str, str]], query: str
) -> None:
    documents = [product(number, *pair) for number, pair in enumerate(texts)]
    segment = packed(tmp_path_factory.mktemp("index"), documents)
    found = segment.recall_words(analyzer.query_terms(query), 100).tolist()
    scores = rows_by_bm25(documents, query)
    assert set(found) == scores.keys()
    ordered = [scores[row] for row in found]
    assert ordered == pytest.approx(sorted(ordered, reverse=True), rel=1e-4)


def test_a_segment_gives_back_its_documents_ids_vectors_and_terms(tmp_path: Path) -> None:
    documents, vectors = catalogue(), directions(60)
    segment = packed(tmp_path, documents, vectors)
    rows = np.array([7, 59, 0, 7])
    assert segment.rows == 60
    assert segment.documents(rows) == [documents[row].stored for row in rows]
    assert segment.ids(rows) == [documents[row].id for row in rows]
    assert list(segment.sources(rows)) == [documents[row] for row in rows]
    assert segment.vectors(rows) == pytest.approx(vectors[rows], abs=0.01)
    assert np.linalg.norm(segment.vectors(rows), axis=1) == pytest.approx(1.0)
    assert segment.pairs(rows) == pytest.approx(vectors[rows] @ vectors[rows].T, abs=0.02)
    (query,) = quantise(directions(1, seed=9))
    assert segment.cosines(query, rows) == pytest.approx(
        vectors[rows] @ directions(1, seed=9)[0], abs=0.02
    )
    forward = segment.forward(rows)
    fields = [analyzer.terms(text) for row in rows for text in documents[row].texts]
    assert forward.lengths.tolist() == [len(terms) for terms in fields]
    for place, terms in enumerate(fields):
        kept = forward.terms[forward.starts[place] : forward.starts[place + 1]]
        assert kept.tolist() == term_hashes(terms).tolist()


def test_what_a_hit_shows_is_any_json(tmp_path: Path) -> None:
    stored = {"id": "7", "big": 2**70, "deep": [{"a": None}, True, 0.5], "手机": "\n\"'"}
    document = Document("7", ("red", "blue"), ("a", 1.5), stored)
    segment = packed(tmp_path, [document])
    assert segment.documents(np.array([0])) == [stored]
    assert list(segment.sources(np.array([0]))) == [document]


def test_terms_have_the_same_number_everywhere() -> None:
    assert term_hashes(["shirt", "手机"]).tolist() == [2342906896, 2891876723]


def test_document_counts_are_per_field(tmp_path: Path) -> None:
    documents = [product(0, "red shirt", "red"), product(1, "red"), product(2, "blue", "red")]
    segment = packed(tmp_path, documents)
    assert segment.document_counts(["red", "shirt", "absent"], 0).tolist() == [2, 1, 0]
    assert segment.document_counts(["red", "shirt", "absent"], 1).tolist() == [2, 0, 0]


def test_ids_are_found_exactly_and_only_where_they_are(tmp_path: Path) -> None:
    ids = ["A b", "a b", "a", "ü", "id:1", "*", "x" * 512]
    documents = [Document(id_, ("", ""), (None, None), {"id": id_}) for id_ in ids]
    segment = packed(tmp_path, documents)
    assert segment.rows_of([*ids, "b", "A"]) == {id_: row for row, id_ in enumerate(ids)}


@pytest.mark.parametrize(
    "filter_",
    [
        {},
        {"brand": "bosch"},
        {"brand": ["aeg", "miele", "nobody"]},
        {"brand": "nobody"},
        {"price": 7},
        {"price": [3, 4]},
        {"price": {"gte": 10, "lt": 30}},
        {"price": {"gt": 10}},
        {"price": {"lte": 12}},
        {"brand": ["bosch", "aeg"], "price": {"lt": 40}},
    ],
)
def test_filters_agree_with_python_for_words_and_for_vectors(
    tmp_path: Path, filter_: dict[str, Any]
) -> None:
    documents = catalogue(200)
    segment = packed(tmp_path, documents)
    where = Where.parse(filter_, FILTERS)
    allowed = {row for row, document in enumerate(documents) if passes(document, filter_)}
    assert set(np.flatnonzero(segment.mask(where)).tolist()) == allowed
    terms = analyzer.query_terms("red shirt phone")
    worded = segment.recall_words(terms, 500).tolist()
    narrowed = segment.recall_words(terms, 500, where).tolist()
    assert narrowed == [row for row in worded if row in allowed]
    (query,) = quantise(directions(1, seed=4))
    near = segment.recall_near(query, 500, segment.mask(where)).tolist()
    assert near == [row for row in segment.recall_near(query, 500).tolist() if row in allowed]


def passes(document: Document, filter_: dict[str, Any]) -> bool:
    brand, price = document.filters
    brands = filter_.get("brand", brand)
    if brand not in (brands if isinstance(brands, list) else [brands]):
        return False
    asked = filter_.get("price", price)
    if not isinstance(asked, dict):
        return price in (asked if isinstance(asked, list) else [asked])
    compare = {
        "gt": float.__gt__, "gte": float.__ge__, "lt": float.__lt__, "lte": float.__le__
    }  # fmt: skip
    return isinstance(price, float) and all(
        compare[bound](price, float(value)) for bound, value in asked.items()
    )


def test_numbers_without_end_are_none_and_minus_zero_is_zero(tmp_path: Path) -> None:
    prices = [math.inf, -math.inf, math.nan, -0.0, 0.0]
    documents = [product(n, "shirt", price=price) for n, price in enumerate(prices)]
    segment = packed(tmp_path, documents)
    for filter_ in ({"price": 0}, {"price": {"gte": -0.0}}, {"price": {"lt": 1e308}}):
        where = Where.parse(filter_, FILTERS)
        assert np.flatnonzero(segment.mask(where)).tolist() == [3, 4]
        assert segment.recall_words(["shirt"], 9, where).tolist() == [3, 4]


@pytest.mark.parametrize(
    "query", ["IN", 'AND "red', "title:red", "red OR *", "+red -shirt", "red~2 [a TO z]", "((red"]
)
def test_operators_are_words_like_others(tmp_path: Path, query: str) -> None:
    documents = catalogue()
    segment = packed(tmp_path, documents)
    found = segment.recall_words(analyzer.query_terms(query), 100)
    assert set(found.tolist()) == rows_by_bm25(documents, query).keys()


def test_rows_that_say_the_same_and_rows_that_say_nothing_are_all_kept(tmp_path: Path) -> None:
    documents = [product(number, "red shirt" if number % 2 else "") for number in range(10)]
    vectors = np.zeros((10, DIMS), np.float32)
    segment = packed(tmp_path, documents, vectors)
    assert segment.recall_words(["red"], 100).tolist() == [1, 3, 5, 7, 9]
    (query,) = quantise(directions(1))
    assert segment.recall_near(query, 100).tolist() == list(range(10))
    assert not segment.cosines(query, np.arange(10)).any()
    assert not segment.recall_words([], 100).size


def test_deleted_rows_never_come_back(tmp_path: Path) -> None:
    documents = [product(number, "red shirt" * (number % 3)) for number in range(90)]
    entry = write(tmp_path, documents)
    whole = open_segment(tmp_path, entry)
    dead = [row for row in range(90) if row % 4]
    segment = open_segment(tmp_path, without(tmp_path, entry, dead))
    assert segment.live is not None
    assert np.flatnonzero(~segment.live).tolist() == dead
    (query,) = quantise(directions(1, seed=2))
    everywhere = np.ones(90, np.bool_)
    for limit in (1, 5, 100):
        pairs = [
            (whole.recall_words(["red"], 100), segment.recall_words(["red"], limit)),
            (whole.recall_near(query, 100), segment.recall_near(query, limit)),
            (whole.recall_near(query, 100), segment.recall_near(query, limit, everywhere)),
        ]
        for before, after in pairs:
            assert after.tolist() == [row for row in before.tolist() if row % 4 == 0][:limit]
    assert segment.rows_of(["p-4", "p-5"]) == {"p-4": 4}


def test_of_several_rows_with_one_id_the_last_live_one_counts(tmp_path: Path) -> None:
    documents = [product(1, "old"), product(1, "new"), product(1, "newest")]
    entry = write(tmp_path, documents)
    assert open_segment(tmp_path, entry).rows_of(["p-1"]) == {"p-1": 2}
    assert open_segment(tmp_path, without(tmp_path, entry, [2])).rows_of(["p-1"]) == {"p-1": 1}
    assert open_segment(tmp_path, without(tmp_path, entry, [0, 1, 2])).rows_of(["p-1"]) == {}


def test_a_ranker_reads_the_beginning_of_a_long_field_and_knows_its_length(tmp_path: Path) -> None:
    long = product(0, "red", "word " * 5000)
    forward = packed(tmp_path, [long]).forward(np.array([0]))
    assert forward.lengths.tolist() == [1, 5000]
    assert np.diff(forward.starts).tolist() == [1, FIELD_TERMS_MAX]


def test_the_same_documents_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write(tmp_path / name, catalogue()) for name in ("a", "b"))
    assert first == second
    again = write(tmp_path / "a", catalogue())
    assert again == first
    assert open_segment(tmp_path / "a", again).rows == 60
    assert [file.name for file in (tmp_path / "a" / SEGMENTS_FOLDER).iterdir()] == [first.id]
    assert write(tmp_path / "c", catalogue(59)).id != first.id


def test_what_is_not_finished_leaves_nothing(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path, FIELDS, FILTERS, Analysis(), DIMS) as writer:
        writer.add(product(1, "red"), directions(1)[0])
        assert writer.rows == 1
    assert not list(tmp_path.iterdir())
    with (
        SegmentWriter(tmp_path, FIELDS, FILTERS, Analysis(), DIMS) as empty,
        pytest.raises(CatalogueInvalid, match="at least one row"),
    ):
        empty.finish()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("id_", ["", "x" * 513])
def test_ids_have_a_length(tmp_path: Path, id_: str) -> None:
    with (
        SegmentWriter(tmp_path, FIELDS, FILTERS, Analysis(), DIMS) as writer,
        pytest.raises(CatalogueInvalid, match="1 to 512 are possible"),
    ):
        writer.add(Document(id_, ("", ""), (None, None), {}), directions(1)[0])


@pytest.mark.parametrize("limit", ["SEGMENT_ROWS_MAX", "SEGMENT_TERMS_MAX", "SEGMENT_BYTES_MAX"])
def test_a_writer_says_when_its_segment_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    with SegmentWriter(tmp_path, FIELDS, FILTERS, Analysis(), DIMS) as writer:
        assert not writer.is_full
        writer.add(product(1, "red shirt"), directions(1)[0])
        assert not writer.is_full
        monkeypatch.setattr(f"farthing.search.segments.writer.{limit}", 1)
        assert writer.is_full
