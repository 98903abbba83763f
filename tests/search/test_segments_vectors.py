"""INT8 vectors keep what float32 found, and groups keep what a scan of all rows finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from farthing.search.manifest import Analysis, EmbedderFacts, Field, IndexManifest
from farthing.search.segments import Document, Segment, SegmentWriter, quantise
from farthing.search.segments.forward import term_hashes
from farthing.search.segments.groups import (
    GROUPED_ROWS_MIN,
    RECALL_MIN,
    dots,
    grouped,
    inverse_norms,
    probes_needed,
)
from farthing.search.segments.vectors import Vectors, write

if TYPE_CHECKING:
    from pathlib import Path

DIMS = 24
ROWS = GROUPED_ROWS_MIN + 1_000


def topics(rows: int, seed: int) -> np.ndarray[Any, Any]:
    """float32[rows, DIMS] around a few hundred directions, as texts about products are."""
    chance = np.random.default_rng(seed)
    centres = np.random.default_rng(42).standard_normal((300, DIMS))
    noise = 0.4 * chance.standard_normal((rows, DIMS))
    vectors = centres[chance.integers(300, size=rows)] + noise
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def many() -> np.ndarray[Any, Any]:
    return quantise(topics(ROWS, 0))


def test_int8_finds_what_float32_finds() -> None:
    exact, queries = topics(5_000, 1), topics(200, 2)
    rows, asked = quantise(exact), quantise(queries)
    best = np.argsort(-(queries @ exact.T), axis=1)[:, :10]
    near = dots(asked, rows) * inverse_norms(rows)
    found = np.argsort(-near, axis=1)[:, :10]
    kept = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(best, found, strict=True)])
    assert kept > 0.97


@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 5), st.integers(1, 32)),
        elements=st.floats(-1, 1, width=32).map(lambda x: x if abs(x) > 1e-6 else 0.0),
    )
)
def test_quantising_keeps_directions_and_changes_nothing_the_second_time(vectors: Any) -> None:
    once = quantise(vectors)
    assert once.dtype == np.int8
    unit = (once * inverse_norms(once)[:, None]).astype(np.float32)
    assert (quantise(unit) == once).all()
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    cosines = np.einsum("nd,nd->n", unit, vectors) / np.where(lengths, lengths, 1)
    assert (cosines[lengths > 0] > 0.999).all()
    assert not once[lengths == 0].any()


def test_groups_hold_every_row_once_and_neighbours_together(many: Any) -> None:
    groups = grouped(many)
    assert sorted(groups.order.tolist()) == list(range(ROWS))
    assert groups.starts[0] == 0
    assert groups.starts[-1] == ROWS
    assert len(groups.starts) == len(groups.centroids) + 1
    assert (np.diff(groups.starts) >= 0).all()
    nearest = (dots(many[:500], groups.centroids) * inverse_norms(groups.centroids)).argmax(axis=1)
    places = np.empty(ROWS, np.int64)
    places[groups.order] = np.arange(ROWS)
    homes = np.searchsorted(groups.starts, places[:500], side="right") - 1
    assert (homes == nearest).all()


def test_groups_depend_on_nothing_but_the_rows(many: Any) -> None:
    for one, two in zip(grouped(many), grouped(many.copy()), strict=True):
        assert (one == two).all()


def test_few_rows_are_one_group_in_the_order_they_came() -> None:
    rows = quantise(topics(100, 5))
    groups = grouped(rows)
    assert groups.order.tolist() == list(range(100))
    assert probes_needed(rows, groups) == (1, 1.0)


def test_probed_groups_hold_what_was_promised_for_queries_never_seen(
    many: Any, tmp_path: Path
) -> None:
    grouping = write(tmp_path, many)
    assert grouping.probe_recall >= RECALL_MIN
    assert 1 < grouping.probes < grouping.clusters
    vectors = Vectors(tmp_path, grouping.probes)
    everything = np.ones(ROWS, np.bool_)
    shares = []
    for query in quantise(topics(100, 6)):
        exact = vectors.nearest(query, 100, everything)
        near = vectors.nearest(query, 100)
        assert len(near) == 100
        assert (np.diff(vectors.cosines(query, near)) <= 0).all()
        shares.append(len(np.intersect1d(exact, near)) / 100)
    assert np.mean(shares) > RECALL_MIN


def test_a_narrow_mask_finds_all_its_rows_wherever_they_are(many: Any, tmp_path: Path) -> None:
    vectors = Vectors(tmp_path, write(tmp_path, many).probes)
    mask = np.zeros(ROWS, np.bool_)
    mask[::300] = True
    (query,) = quantise(topics(1, 7))
    assert sorted(vectors.nearest(query, 1000, mask).tolist()) == np.flatnonzero(mask).tolist()
    mask[: ROWS // 2] = True
    exact = vectors.nearest(query, ROWS, np.ones(ROWS, np.bool_))
    assert vectors.nearest(query, 50, mask).tolist() == exact[mask[exact]][:50].tolist()
    assert not vectors.nearest(query, 10, np.zeros(ROWS, np.bool_)).size


def test_words_documents_and_vectors_of_a_row_are_of_one_document(tmp_path: Path) -> None:
    vectors = topics(ROWS, 0)
    fields = (Field("title"),)
    (tmp_path / "segments").mkdir()
    with SegmentWriter(tmp_path / "segments", fields, (), Analysis(), DIMS) as writer:
        for number, vector in enumerate(vectors):
            name = f"n{number}"
            writer.add(Document(name, (name,), (), {"id": name}), vector)
        entry = writer.finish()
    embedder = EmbedderFacts("tiny", "0" * 64, DIMS)
    manifest = IndexManifest(
        1, "shop", 1, "2026-01-01T00:00:00Z", "id", fields, (), ("id",), Analysis(),
        embedder, ROWS, (3.0,), (entry,),
    )  # fmt: skip
    segment = Segment.open(tmp_path, entry, manifest)
    assert segment.facts.clusters > 1
    numbers = [0, 5_000, 20_999]
    names = [f"n{number}" for number in numbers]
    rows = np.array([segment.rows_of(names)[name] for name in names])
    assert rows.tolist() != numbers
    assert segment.ids(rows) == names
    assert [segment.recall_words([name], 5).tolist() for name in names] == rows[:, None].tolist()
    cosines = np.einsum("nd,nd->n", segment.vectors(rows), vectors[numbers])
    assert (cosines > 0.999).all()
    forward = segment.forward(rows)
    assert forward.terms[forward.starts[:-1]].tolist() == term_hashes(names).tolist()
