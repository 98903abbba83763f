"""What is known of candidates, and the rankers that are made of it."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.search.errors import IndexCorrupt, IndexTooNew
from farthing.search.manifest import Analysis, EmbedderFacts, Field, IndexManifest
from farthing.search.ranking import (
    FEATURES,
    Ranking,
    default_ranker,
    encode_ranker,
    features,
    read_ranker,
)
from farthing.search.ranking.features import Candidates
from farthing.search.ranking.fusion import Bm25, Fusion, Linear
from farthing.search.ranking.rankers import Average
from farthing.search.ranking.trees import Trees
from farthing.search.ranking.words import (
    QueryTerms,
    Words,
    bm25,
    find_words,
    inverse_frequency,
    neighbours,
)
from farthing.search.segments import Forward

if TYPE_CHECKING:
    from collections.abc import Sequence

# Two trees: a stump on the first feature, and a leaf alone.
STUMP = Trees(
    depth=1,
    roots=(0, 3),
    feature=(0, 0, 0, 0),
    threshold=(1.5, 0.0, 0.0, 0.0),
    left=(1, 1, 2, 3),
    value=(0.0, -1.0, 2.0, 0.25),
)
# Hashes that are the same in their lower sixteen bits, as some of any two texts' are.
LOOKALIKES = [0x10001, 0x20001, 0x30001, 0x00002, 0x10002]


def asked(hashes: Sequence[int], said: Sequence[int] = ()) -> QueryTerms:
    count = len(hashes)
    return QueryTerms(
        hashes=np.array(hashes, np.uint32),
        counts=np.ones(count, np.float32),
        idf=np.linspace(1, 2, count, dtype=np.float32),
        numbers=np.arange(count) == 0,
        pairs=neighbours(said or range(count)),
    )


def packed(rows: Sequence[Sequence[Sequence[int]]]) -> Forward:
    cells = [cell for row in rows for cell in row]
    return Forward(
        np.array([term for cell in cells for term in cell], np.uint32),
        np.cumsum([0, *map(len, cells)]),
        np.array([len(cell) for cell in cells], np.int64),
    )


def candidates(count: int, seed: int = 0, terms: int = 4) -> Candidates:
    chance = np.random.default_rng(seed)
    query = asked(range(1, terms + 1))
    rows = [[chance.integers(1, 12, chance.integers(0, 9)).tolist()] for _ in range(count)]
    words = find_words(query, packed(rows), 1)
    vectors = chance.normal(size=(count, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = bm25(query, words, [1.0], [4.0]) + chance.random(count).astype(np.float32) / 100
    likeness = vectors @ vectors.T
    return Candidates(query, words, scores, likeness[0] if count else scores, likeness)


cells = st.lists(st.sampled_from([*LOOKALIKES, 7, 8]), max_size=6)


@given(
    st.lists(st.tuples(cells, cells), max_size=5),
    st.lists(st.sampled_from(LOOKALIKES), unique=True),
)
def test_words_are_counted_as_one_would_by_hand(
    rows: list[tuple[list[int], list[int]]], wanted: list[int]
) -> None:
    found = find_words(asked(wanted), packed(rows), 2)
    assert found.counts.shape == (len(rows), 2, len(wanted))
    pairs = set(pairwise(wanted))
    for place, row in enumerate(rows):
        for field, cell in enumerate(row):
            assert found.counts[place, field].tolist() == [cell.count(term) for term in wanted]
        there = {pair for cell in row for pair in pairwise(cell)}
        assert found.pairs[place] == len(pairs & there)


def test_a_field_longer_than_what_is_kept_counts_in_full() -> None:
    kept = packed([[[7, 8]]])
    long = kept._replace(lengths=np.array([900]))
    query = asked([7])
    short_score, long_score = (
        bm25(query, find_words(query, rows, 1), [1.0], [10.0]) for rows in (kept, long)
    )
    assert long_score < short_score


def test_fields_add_up_before_they_saturate() -> None:
    query = asked([7])
    words = Words(
        np.empty(0, np.uint32),
        np.zeros(3, np.int64),
        np.array([[2, 10], [4, 10]], np.float32),
        np.array([[[1.0], [3.0]], [[0.0], [2.0]]], np.float32),
        np.zeros(2, np.float32),
    )
    found = bm25(query, words, [2.0, 1.0], [2.0, 20.0])
    for place, (counts, lengths) in enumerate([((1, 3), (2, 10)), ((0, 2), (4, 10))]):
        norms = [0.25 + 0.75 * length / mean for length, mean in zip(lengths, (2, 20), strict=True)]
        tf = 2 * counts[0] / norms[0] + counts[1] / norms[1]
        assert found[place] == pytest.approx(tf / (tf + 1.2) * 2.2, rel=1e-6)


def test_a_term_in_every_document_still_counts() -> None:
    idf = inverse_frequency(10, np.array([0, 1, 10, 12]))
    assert idf.tolist() == sorted(idf.tolist(), reverse=True)
    assert idf[0] == pytest.approx(math.log(1 + 10.5 / 0.5))
    assert idf[-1] > 0


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_features_are_finite_numbers_for_each_candidate(count: int) -> None:
    table = features(candidates(count))
    assert table.shape == (count, len(FEATURES))
    assert table.dtype == np.float32
    assert np.isfinite(table).all()


def test_features_of_no_candidates_and_of_no_words() -> None:
    assert features(candidates(0)).shape == (0, len(FEATURES))
    assert np.isfinite(features(candidates(5, terms=0))).all()


def test_features_do_not_depend_on_the_candidates_order() -> None:
    view = candidates(30, seed=5)
    table = features(view)
    order = np.random.default_rng(1).permutation(30)
    starts, hashes = view.words.starts, view.words.hashes
    rows = [hashes[starts[row] : starts[row + 1]].tolist() for row in order]
    words = find_words(view.query, packed([[row] for row in rows]), 1)
    moved = Candidates(
        view.query, words, view.bm25[order], view.cosines[order], view.likeness[order][:, order]
    )
    assert features(moved) == pytest.approx(table[order], abs=1e-5)


def test_features_say_what_their_names_do() -> None:
    query = asked([1, 2, 3])
    rows = packed([[[1, 2, 9]], [[2, 3]], [[8]]])
    words = find_words(query, rows, 1)
    likeness = np.eye(3, dtype=np.float32)
    scores = np.array([4.0, 2.0, 0.0], np.float32)
    view = Candidates(query, words, scores, np.array([0.2, 0.8, 0.4], np.float32), likeness)
    table = dict(zip(FEATURES, features(view).T.tolist(), strict=True))
    assert table["bm25_share"] == [1.0, 0.5, 0.0]
    assert table["bm25_rank"] == [0, 1, 2]
    assert table["cosine_rank"] == [2, 0, 1]
    assert table["found"] == pytest.approx([2 / 3, 2 / 3, 0])
    assert table["found_numbers"] == [1, 0, 0]
    assert table["missing_numbers"] == [0, 1, 1]
    assert table["found_pairs"] == [0.5, 0.5, 0]
    assert table["length"] == [3, 2, 1]
    assert table["query_terms"] == [3, 3, 3]


def test_fusion_follows_words_where_numbers_are_asked_for() -> None:
    view = candidates(20)
    assert view.asks_numbers
    ranker = Fusion(weight=1.0, weight_numbers=0.0)
    assert np.argsort(ranker.scores(view)).tolist() == np.argsort(view.bm25).tolist()
    plain = Candidates(
        view.query._replace(numbers=np.zeros(4, np.bool_)),
        view.words,
        view.bm25,
        view.cosines,
        view.likeness,
    )
    assert np.argsort(ranker.scores(plain)).tolist() == np.argsort(view.cosines).tolist()


def test_trees_send_each_row_to_its_leaves() -> None:
    table = np.zeros((3, len(FEATURES)), np.float32)
    table[:, 0] = [1.0, 1.5, 9.0]
    assert STUMP.evaluate(table).tolist() == [-0.75, 2.25, 2.25]
    assert STUMP.evaluate(table[:0]).shape == (0,)


LINEAR = Linear((0.5,) * len(FEATURES), (2.0,) * len(FEATURES), (0.1,) * len(FEATURES))
RANKERS = [Bm25(), Fusion(0.4, 0.1), LINEAR, STUMP, Average((STUMP, LINEAR, Bm25()))]


@pytest.mark.parametrize("ranker", RANKERS, ids=lambda ranker: type(ranker).__name__)
def test_a_ranker_that_was_written_ranks_the_same_when_read(ranker: Any) -> None:
    ranking = read_ranker(encode_ranker(Ranking(ranker, 50, report={"chosen": "x"})))
    assert (ranking.dense_rows, ranking.report) == (50, {"chosen": "x"})
    view = candidates(25)
    assert ranking.scores(view).tolist() == ranker.scores(view).tolist()
    assert ranking.scores(candidates(0)).shape == (0,)


def stump(**changes: object) -> dict[str, Any]:
    return {"format": 1, "ranker": {**msgspec.to_builtins(STUMP), **changes}}


@pytest.mark.parametrize(
    "content",
    [
        {"format": 1},
        {"format": 1, "ranker": {"type": "pickle"}},
        {"format": 1, "ranker": {"type": "fusion", "weight": 1.5, "weight_numbers": 0}},
        {"format": 1, "ranker": {"type": "bm25"}, "dense_rows": 10**6},
        {"format": 1, "ranker": {"type": "linear", "mean": [0], "scale": [1], "weight": [1]}},
        {"format": 1, "ranker": {"type": "average", "of": []}},
        stump(feature=[len(FEATURES), 0, 0, 0]),
        stump(feature=[-1, 0, 0, 0]),
        stump(left=[3, 1, 2, 3]),
        stump(left=[99, 1, 2, 3]),
        stump(roots=[4]),
        stump(roots=[]),
        stump(value=[1.0]),
        stump(depth=1000),
        stump(threshold=["a", 0, 0, 0]),
    ],
)
def test_a_ranker_that_is_none_is_refused(content: object) -> None:
    with pytest.raises(IndexCorrupt):
        read_ranker(msgspec.json.encode(content))


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe", b"null", b'{"format": "1"}', b"[]"])
def test_bytes_that_are_no_ranker_are_refused(raw: bytes) -> None:
    with pytest.raises(IndexCorrupt):
        read_ranker(raw)


def test_a_ranker_of_a_later_version_is_refused_as_such() -> None:
    with pytest.raises(IndexTooNew):
        read_ranker(b'{"format": 2, "ranker": {"type": "oracle"}}')
    with pytest.raises(IndexTooNew, match="features"):
        read_ranker(b'{"format": 1, "ranker": {"type": "bm25"}, "features": ["colour"]}')


@pytest.mark.parametrize(("terms", "weight", "numbers"), [(9.0, 0.1, 0.0), (150.0, 0.6, 0.6)])
def test_prose_is_ranked_by_meaning_and_titles_by_words(
    terms: float, weight: float, numbers: float
) -> None:
    manifest = IndexManifest(
        format=1,
        name="things",
        version=1,
        created_at="",
        id_field="id",
        fields=(Field("title"),),
        filters=(),
        stored=("id",),
        analysis=Analysis(),
        embedder=EmbedderFacts("e", "0" * 64, 8),
        documents=1,
        terms_mean=(terms,),
        segments=(),
    )
    assert default_ranker(manifest).ranker == Fusion(weight, numbers)
