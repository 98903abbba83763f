"""Segments together are looked into as one would be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from farthing.search.recall import Recall
from farthing.search.segments import Segment, groups
from farthing.search.segments.groups import quantise
from tests.search.engines import make_index

if TYPE_CHECKING:
    from pathlib import Path

WORDS = ("oak", "pine", "teak", "chair", "table", "lamp", "shelf", "stool", "desk", "bench")


@pytest.fixture
def recall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Recall, list[Segment]]:
    """3,000 titles in three segments whose rows are in groups."""
    monkeypatch.setattr(groups, "GROUPED_ROWS_MIN", 500)
    chance = np.random.default_rng(4)
    titles = {
        f"{number:04}": " ".join(chance.choice(WORDS, 3)) + f" {number}" for number in range(3000)
    }
    manifest = make_index(tmp_path / "index", titles, segments=3)
    opened = [Segment.open(tmp_path / "index", entry, manifest) for entry in manifest.segments]
    assert all(segment.facts.clusters > segment.probes for segment in opened)
    return Recall(manifest, opened), opened


def test_no_more_groups_are_looked_into_than_in_one_segment(
    recall: tuple[Recall, list[Segment]],
) -> None:
    whole, segments = recall
    query = quantise(segments[1].vectors(np.array([7])))[0]
    chosen = whole._groups(query)
    assert sum(len(some) for some in chosen if some is not None) == max(
        segment.probes for segment in segments
    )


def test_most_of_the_nearest_rows_are_found(recall: tuple[Recall, list[Segment]]) -> None:
    whole, segments = recall
    shares = []
    for row in range(0, 900, 90):
        query = quantise(segments[row % 3].vectors(np.array([row])))[0]
        exact = [
            (cosine, place, number)
            for place, segment in enumerate(segments)
            for number, cosine in enumerate(
                segment.cosines(query, np.arange(segment.rows)).tolist()
            )
        ]
        nearest = {(place, number) for _, place, number in sorted(exact, reverse=True)[:20]}
        found = whole.by_vector(query, 20, None)
        assert len(found.rows) == 20
        pairs = zip(found.segments.tolist(), found.rows.tolist(), strict=True)
        shares.append(len(nearest & set(pairs)) / 20)
    assert np.mean(shares) > 0.8
