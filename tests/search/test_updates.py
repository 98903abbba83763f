"""Upserts, deletes and compactions leave exactly the documents that a dictionary would hold."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farthing.search.changes import Delete, Upsert
from farthing.search.compaction import SMALL_ROWS, compact, worn
from farthing.search.errors import EmbedderMismatch, IndexMissing
from farthing.search.manifest import SegmentEntry
from farthing.search.publishing import read_manifest
from farthing.search.updates import apply
from farthing.storage import LocalStorage
from tests.search.writing import (
    HashEmbedder,
    held,
    new_index,
    record,
    segments_of,
    terms_mean,
    vector_of,
)

KEYS = st.sampled_from(["a", "b", "c", "d", "Ä-5"])
WORDS = st.sampled_from(["red shoe", "64gb phone", "the", "blue  shoes, size 9", "电视 large"])
CHANGES = st.lists(
    st.one_of(st.builds(lambda key, title: (key, title), KEYS, WORDS), KEYS), max_size=4
)
STEPS = st.lists(st.one_of(CHANGES, st.just("compact")), max_size=5)


def as_changes(step: list[Any]) -> list[Any]:
    return [
        Delete(each) if isinstance(each, str) else Upsert(record(each[0], each[1])) for each in step
    ]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_any_changes_and_compactions_hold_what_a_dictionary_holds(steps: list[Any]) -> None:
    model: dict[str, tuple[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        storage, work = new_index(Path(folder) / "index"), Path(folder) / "work"
        for step in steps:
            if step == "compact":
                compact(storage, work, everything=True)
                continue
            apply(storage, work, HashEmbedder(), as_changes(step))
            for each in step:
                if isinstance(each, str):
                    model.pop(each, None)
                else:
                    model[each[0]] = (each[1], "")
        index = read_manifest(storage)
        assert held(storage, work) == model
        assert index.documents == len(model)
        assert index.terms_mean == pytest.approx(terms_mean(list(model.values())))
        for segment in segments_of(storage, work):
            for key, row in segment.rows_of(list(model)).items():
                expected = vector_of(model[key][0])
                assert segment.vectors(np.array([row]))[0] @ expected > 0.999
                assert row in segment.recall_near(_query(expected), 100)


def _query(vector: Any) -> Any:
    from farthing.search.segments import quantise

    return quantise(vector[None])[0]


def test_what_became_of_each_change_is_told(tmp_path: Path) -> None:
    storage = new_index(tmp_path / "index")
    first = [Upsert(record("a", "red shoe")), Upsert(record("b", "blue shoe"))]
    apply(storage, tmp_path, HashEmbedder(), first)
    done = apply(
        storage,
        tmp_path,
        HashEmbedder(),
        [
            Delete("a"),
            Delete("nobody"),
            Upsert(record("b", "green shoe")),
            Upsert(record("c", "first try")),
            Upsert(record("c", "second try")),
            Upsert(record("d", " ")),
            Upsert(record("e", "a hat", price="cheap")),
            Upsert({"sku": "f", "title": "a cap", "colour": "red"}),
            Upsert({"title": "nameless"}),
        ],
    )
    assert (done.added, done.replaced, done.deleted) == (1, 1, 1)
    assert done.unknown == ["nobody"]
    assert len(done.refused) == 4
    assert "no text" in done.refused[0]
    assert "'price'" in done.refused[1] and "cheap" not in done.refused[1]
    assert "not" in done.refused[2] and "colour" not in done.refused[2]
    assert "no id" in done.refused[3]
    assert held(storage, tmp_path) == {"b": ("green shoe", ""), "c": ("second try", "")}


def test_changes_without_effect_publish_no_version(tmp_path: Path) -> None:
    storage = new_index(tmp_path / "index")
    done = apply(storage, tmp_path, HashEmbedder(), [Delete("nobody")])
    assert done.manifest.version == 1
    assert read_manifest(storage).version == 1


def test_a_document_written_back_as_it_was_is_there_once(tmp_path: Path) -> None:
    storage = new_index(tmp_path / "index")
    for title in ("red shoe", "blue shoe", "red shoe"):
        apply(storage, tmp_path, HashEmbedder(), [Upsert(record("a", title))])
    assert held(storage, tmp_path) == {"a": ("red shoe", "")}
    assert len(read_manifest(storage).segments) == 1


def test_numbers_and_words_of_filters_survive_a_compaction(tmp_path: Path) -> None:
    storage = new_index(tmp_path / "index")
    for key in ("a", "b"):
        columns = {"brand": "Bosch", "price": "19.90", "text": "kept, though no hit shows it"}
        apply(storage, tmp_path, HashEmbedder(), [Upsert(record(key, "drill", **columns))])
    compact(storage, tmp_path, everything=True)
    (segment,) = segments_of(storage, tmp_path)
    assert segment.documents(np.array([0])) == [
        {"sku": "a", "title": "drill", "brand": "Bosch", "price": 19.9}
    ]
    (document, _) = segment.sources(np.array([0, 1]))
    assert document.filters == ("Bosch", 19.9)
    assert document.texts == ("drill", "kept, though no hit shows it")


def test_compaction_copies_vectors_bit_by_bit(tmp_path: Path) -> None:
    storage = new_index(tmp_path / "index")
    for key in "abc":
        apply(storage, tmp_path, HashEmbedder(), [Upsert(record(key, f"title {key}"))])
    before = {
        segment.ids(np.array([0]))[0]: segment.vectors(np.array([0]))[0]
        for segment in segments_of(storage, tmp_path)
    }
    compact(storage, tmp_path, everything=True)
    (segment,) = segments_of(storage, tmp_path)
    rows = segment.rows_of(["a", "b", "c"])
    for key, row in rows.items():
        assert np.array_equal(segment.vectors(np.array([row]))[0], before[key])


def entry(name: str, rows: int, deleted: int = 0, tier: Any = "hot") -> SegmentEntry:
    return SegmentEntry(name, "0" * 64, rows, 1, deleted=deleted, tier=tier)


def test_only_what_is_worth_it_is_merged() -> None:
    large = entry("large", SMALL_ROWS * 2, deleted=10)
    small = [entry(f"small-{number}", 5) for number in range(5)]
    assert worn([large, *small[:4]]) == []
    assert worn([large, *small]) == small
    assert worn([large, small[0]], everything=True) == [large, small[0]]
    assert worn([entry("one", 5)], everything=True) == []
    holed = entry("holed", SMALL_ROWS * 2, deleted=SMALL_ROWS)
    assert worn([large, holed]) == [holed]
    assert worn([msgspec.structs.replace(holed, tier="cold")]) == []


def test_another_embedder_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    storage = new_index(tmp_path / "index")
    stranger = HashEmbedder()
    stranger.bundle = type(stranger.bundle)(digest="b" * 64)
    with pytest.raises(EmbedderMismatch, match="hashes"):
        apply(storage, tmp_path, stranger, [Upsert(record("a", "red shoe"))])
    assert set(storage.names()) == {"manifest.json"}


def test_no_index_is_told(tmp_path: Path) -> None:
    with pytest.raises(IndexMissing, match="holds no index"):
        apply(LocalStorage(tmp_path / "none"), tmp_path, HashEmbedder(), [Delete("a")])
    with pytest.raises(IndexMissing, match="holds no index"):
        compact(LocalStorage(tmp_path / "none"), tmp_path)


def test_two_writers_at_once_both_count(tmp_path: Path) -> None:
    storage = new_index(tmp_path / "index")

    def write(name: str) -> None:
        for number in range(4):
            changes = [Upsert(record(f"{name}{number}", f"{name} {number}")), Delete("common")]
            changes.append(Upsert(record("common", name)))
            apply(storage, tmp_path / name, HashEmbedder(), changes)

    threads = [threading.Thread(target=write, args=(name,)) for name in ("left", "right")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = held(storage, tmp_path)
    assert found.pop("common") in {("left", ""), ("right", "")}
    assert found.keys() == {f"{name}{number}" for name in ("left", "right") for number in range(4)}
    index = read_manifest(storage)
    assert index.version == 9
    assert index.documents == 9
