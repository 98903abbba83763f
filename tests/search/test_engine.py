"""Searching an index: what is found, in which order, and what is refused."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import pytest

from farthing.errors import InvalidRequest
from farthing.inference.bundle import FileDigest
from farthing.search.analysis import Analyzer
from farthing.search.engine import TOP_K_MAX, Engine
from farthing.search.errors import EmbedderMismatch, IndexCorrupt, IndexMissing, IndexTooNew
from farthing.search.filters import Where
from farthing.search.manifest import Analysis, Field, RankingEntry
from tests.search.engines import (
    DIGEST,
    MeaningEmbedder,
    make_index,
    open_engine,
    titles_at_random,
    write_manifest,
)

if TYPE_CHECKING:
    from pathlib import Path

SHOP = {
    "f1": "bosch fridge white",
    "f2": "miele fridge freezer",
    "c1": "grey couch three seats",
    "c2": "leather couch brown",
    "t1": "samsung television 55 inch",
    "k1": "kettle steel",
}
BRANDS = {"f1": "bosch", "f2": "miele", "c1": "ikea", "c2": "ikea", "t1": "samsung", "k1": "bosch"}


@pytest.fixture
def shop(tmp_path: Path) -> Engine:
    make_index(tmp_path / "shop", SHOP, brands=BRANDS)
    return open_engine(tmp_path / "shop")


def ids(engine: Engine, query: str, **options: object) -> list[str]:
    return [hit.id for hit in engine.search(query, **options).hits]


def test_the_document_with_the_words_comes_first(shop: Engine) -> None:
    found = shop.search("miele freezer")
    assert found.hits[0].id == "f2"
    assert found.hits[0].document == {"id": "f2", "title": "miele fridge freezer"}
    assert found.version == 1
    assert found.tokens == 2


def test_a_word_that_no_document_has_is_found_by_its_meaning(shop: Engine) -> None:
    assert set(ids(shop, "refrigerator", top_k=2)) == {"f1", "f2"}
    assert ids(shop, "refrigerator", mode="bm25") == []


def test_a_query_of_stop_words_alone_is_answered_by_meaning(shop: Engine) -> None:
    assert len(ids(shop, "to be or not to be")) == len(SHOP)
    assert ids(shop, "the", mode="bm25") == []


def test_words_alone_embed_nothing(tmp_path: Path) -> None:
    make_index(tmp_path / "shop", SHOP)
    embedder = MeaningEmbedder()
    found = open_engine(tmp_path / "shop", embedder).search("fridge", mode="bm25")
    assert embedder.computed == []
    assert (found.tokens, found.truncated) == (0, 0)
    assert list(found.stages_ns) == ["lexical", "fetch"]


def test_stages_are_told_in_their_order(shop: Engine) -> None:
    found = shop.search("fridge")
    assert list(found.stages_ns) == ["embed", "lexical", "dense", "rank", "fetch"]
    assert all(taken_ns > 0 for taken_ns in found.stages_ns.values())


def test_a_prepared_query_is_tokenised_once_and_not_run(shop: Engine) -> None:
    prepared = shop.prepare("grey couch")
    assert (prepared.tokens, prepared.truncated) == (2, 0)
    assert shop.embedder.computed == []
    assert shop.search(prepared).hits == shop.search("grey couch").hits
    assert shop.search(prepared, mode="bm25").hits[0].id == "c1"


@pytest.mark.parametrize("mode", ["default", "bm25"])
def test_a_filter_holds_for_words_and_for_meaning(shop: Engine, mode: str) -> None:
    where = Where.parse({"brand": "bosch"}, shop.manifest.filters)
    found = ids(shop, "fridge couch kettle", where=where, mode=mode)
    assert set(found) == {"f1", "k1"}
    # None has the word, so that only meaning could find one.
    assert set(ids(shop, "settee", where=where)) <= {"f1", "k1"}


@pytest.mark.parametrize(
    "query", ["title:fridge", '"fridge"', "fridge AND", "+fridge -fridge", "f*"]
)
def test_operators_are_text(shop: Engine, query: str) -> None:
    assert isinstance(ids(shop, query), list)
    if "fridge" in query:
        assert set(ids(shop, query, mode="bm25")) >= {"f1", "f2"}


@pytest.mark.parametrize("query", ["", " \n\t "])
def test_a_blank_query_is_refused(shop: Engine, query: str) -> None:
    for mode in ("default", "bm25"):
        with pytest.raises(InvalidRequest, match="blank"):
            shop.search(query, mode=mode)
    with pytest.raises(InvalidRequest):
        shop.prepare(query)


@pytest.mark.parametrize("top_k", [0, -1, TOP_K_MAX + 1])
def test_top_k_has_bounds(shop: Engine, top_k: int) -> None:
    with pytest.raises(InvalidRequest, match="1 to 100"):
        shop.search("fridge", top_k=top_k)


def test_a_query_of_ten_thousand_words_is_answered(shop: Engine) -> None:
    assert ids(shop, "fridge " + "word salad " * 5_000)[0] in {"f1", "f2"}


def test_equal_hits_come_by_id_however_many_are_asked_for(tmp_path: Path) -> None:
    same = {f"d{number}": "plain grey stone" for number in (7, 3, 9, 1, 5)}
    make_index(tmp_path / "same", same, segments=2)
    engine = open_engine(tmp_path / "same")
    assert ids(engine, "grey stone") == ["d1", "d3", "d5", "d7", "d9"]
    assert ids(engine, "grey stone", top_k=2) == ["d1", "d3"]
    assert ids(engine, "grey stone", top_k=2, mode="bm25") == ["d1", "d3"]


def test_segments_do_not_change_what_words_find(tmp_path: Path) -> None:
    titles = titles_at_random(400)
    for count in (1, 5):
        make_index(tmp_path / str(count), titles, segments=count)
    whole, cut = (open_engine(tmp_path / str(count)) for count in (1, 5))
    for query in ("bor cax dum", "fax", "x7 gor hum jax", "kor lum max nor pum rax sor"):
        for mode in ("bm25", "default"):
            one = {hit.id: hit.score for hit in whole.search(query, mode=mode).hits}
            other = {hit.id: hit.score for hit in cut.search(query, mode=mode).hits}
            assert other == pytest.approx(one, rel=1e-5)


def test_words_score_as_bm25_says(tmp_path: Path) -> None:
    titles = titles_at_random(150, seed=4)
    make_index(tmp_path / "titles", titles, segments=3)
    engine = open_engine(tmp_path / "titles")
    terms = {key: Analyzer(Analysis()).terms(title) for key, title in titles.items()}
    mean = sum(map(len, terms.values())) / len(terms)
    containing = Counter(term for said in terms.values() for term in set(said))

    def bm25(query: str, said: list[str]) -> float:
        total = 0.0
        for term in Analyzer(Analysis()).terms(query):
            n, tf = containing[term], said.count(term)
            idf = math.log(1 + (len(terms) - n + 0.5) / (n + 0.5))
            total += idf * tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * len(said) / mean))
        return total

    for query in ("bor cax", "bor bor cax x16", "dum", "x4 fax gor hum"):
        found = {h.id: h.score for h in engine.search(query, mode="bm25", top_k=20).hits}
        every = {key: bm25(query, said) for key, said in terms.items()}
        best = sorted(every.values(), reverse=True)[: len(found)]
        assert sorted(found.values(), reverse=True) == pytest.approx(best, rel=1e-5)
        assert found == pytest.approx({key: every[key] for key in found}, rel=1e-5)


def test_a_word_in_the_title_counts_by_its_boost(tmp_path: Path) -> None:
    documents = {"a": ("stone", "wood and glass"), "b": ("glass", "wood and stone")}
    for name, boost in (("light", 0.2), ("heavy", 5.0)):
        fields = (Field("title", boost), Field("text"))
        make_index(tmp_path / name, documents, fields=fields)
    assert ids(open_engine(tmp_path / "heavy"), "stone", mode="bm25") == ["a", "b"]
    assert ids(open_engine(tmp_path / "light"), "stone", mode="bm25") == ["b", "a"]


def test_an_explanation_says_what_each_stage_thought(shop: Engine) -> None:
    found = shop.search("bosch fridge", explain=True)
    first = found.hits[0].explain
    assert first is not None
    assert (first["bm25_rank"], first["cosine_rank"]) == (1, 1)
    assert 0 < first["cosine"] <= 1.001
    assert all(hit.explain is not None for hit in found.hits)
    words = shop.search("bosch fridge", explain=True, mode="bm25").hits[0].explain
    assert words is not None
    assert set(words) == {"bm25", "bm25_rank"}
    assert shop.search("bosch fridge").hits[0].explain is None


def test_an_index_without_documents_finds_nothing(tmp_path: Path) -> None:
    make_index(tmp_path / "empty", {})
    engine = open_engine(tmp_path / "empty")
    assert engine.search("fridge").hits == []
    assert engine.search("fridge", mode="bm25").hits == []


def test_another_embedder_is_refused_by_name(tmp_path: Path) -> None:
    make_index(tmp_path / "shop", SHOP)
    other = MeaningEmbedder()
    other.bundle = type(other.bundle)(digest="e" * 64)
    with pytest.raises(EmbedderMismatch, match=DIGEST[:12]):
        Engine.open(tmp_path / "shop", other)


def test_a_folder_without_an_index_is_told(tmp_path: Path) -> None:
    with pytest.raises(IndexMissing, match=r"manifest\.json"):
        open_engine(tmp_path)


def test_a_cold_segment_that_is_not_there_is_done_without(tmp_path: Path) -> None:
    manifest = make_index(tmp_path / "cut", SHOP, segments=2)
    hot, cold = manifest.segments
    cold = msgspec.structs.replace(cold, tier="cold")
    write_manifest(tmp_path / "cut", msgspec.structs.replace(manifest, segments=(hot, cold)))
    assert len(ids(open_engine(tmp_path / "cut"), "fridge couch television kettle")) == len(SHOP)
    (tmp_path / "cut" / "segments" / cold.id).rename(tmp_path / "away")
    assert len(ids(open_engine(tmp_path / "cut"), "fridge couch television kettle")) == hot.rows


@pytest.mark.parametrize(
    ("content", "stated", "error"),
    [
        (b'{"format": 1, "ranker": {"type": "bm25"}}', None, None),
        (b'{"format": 1, "ranker": {"type": "bm25"}}', "0" * 64, IndexCorrupt),
        (b"[1, 2", None, IndexCorrupt),
        (b'{"format": 99}', None, IndexTooNew),
    ],
)
def test_what_was_learned_is_checked_before_it_is_used(
    tmp_path: Path, content: bytes, stated: str | None, error: type[Exception] | None
) -> None:
    import hashlib

    manifest = make_index(tmp_path / "shop", SHOP)
    (tmp_path / "shop" / "ranking").mkdir()
    (tmp_path / "shop" / "ranking" / "r.json").write_bytes(content)
    digest = FileDigest(stated or hashlib.sha256(content).hexdigest(), len(content))
    entry = RankingEntry("r.json", digest)
    write_manifest(tmp_path / "shop", msgspec.structs.replace(manifest, ranking=entry))
    if error:
        with pytest.raises(error):
            open_engine(tmp_path / "shop")
    else:
        found = open_engine(tmp_path / "shop").search("kettle")
        assert [hit.id for hit in found.hits] == ["k1"]
        assert "dense" not in found.stages_ns
