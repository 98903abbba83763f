"""Popular segments are hot; others are fetched when asked for, and told where they cannot be."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.errors import FileArchived, SettingsError
from farthing.search.archive import cool
from farthing.search.cold import ColdSegments
from farthing.search.engine import Engine
from farthing.search.errors import IndexCorrupt
from farthing.search.local_copy import materialise
from farthing.search.manifest import SegmentEntry
from farthing.search.publishing import publish, read_manifest
from farthing.search.segments import Segment
from farthing.search.tiered import TieredEngine, open_engine
from farthing.search.tiers import Room, by_room, retier
from farthing.storage import LocalStorage, open_storage
from tests.search.buckets import new_bucket, s3_running
from tests.search.shelves import found_ids, publish_index, vector

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farthing.search.manifest import IndexManifest

CHAIRS = {f"c{number}": f"bosch chair number {number}" for number in range(20)}
LAMPS = {f"l{number}": f"miele lamp number {number}" for number in range(20)}
TABLES = {f"t{number}": f"neff sofa number {number}" for number in range(20)}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_running() as address:
        yield address


def tiers(manifest: IndexManifest) -> list[str]:
    return [entry.tier for entry in manifest.segments]


def open_all(folder: Path, manifest: IndexManifest, tier: str) -> list[Segment]:
    return [Segment.open(folder, e, manifest) for e in manifest.segments if e.tier == tier]


def test_the_segments_found_most_are_hot(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "index")
    publish_index(storage, CHAIRS, LAMPS, TABLES)
    hits = {"l3": 7, "t1": 5, "t2": 1, "c0": 1, "gone": 100}
    manifest = retier(storage, tmp_path / "work", Room(segments=1), hits)
    assert tiers(manifest) == ["cold", "hot", "cold"]
    assert manifest == read_manifest(storage)
    assert tiers(retier(storage, tmp_path / "work", Room(segments=2), hits)) == [
        "cold",
        "hot",
        "hot",
    ]
    assert tiers(retier(storage, tmp_path / "work", Room(mb=0.000001), {"c1": 1})) == [
        "hot",
        "cold",
        "cold",
    ]
    assert tiers(retier(storage, tmp_path / "work", Room(mb=1000), {})) == ["hot"] * 3


def test_nothing_is_published_where_nothing_changes(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "index")
    before = publish_index(storage, CHAIRS, LAMPS)
    assert retier(storage, tmp_path / "work", Room(segments=2), {"c1": 1}) == before


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=8),
    segments=st.none() | st.integers(1, 8),
    mb=st.none() | st.integers(1, 30),
    counts=st.lists(st.integers(0, 5), min_size=8, max_size=8),
)
def test_hot_segments_keep_to_the_room_and_none_more_popular_is_cold(
    sizes: list[int], segments: int | None, mb: int | None, counts: list[int]
) -> None:
    entries = [
        SegmentEntry(f"s{place}", "0" * 64, 1, size * 1_000_000) for place, size in enumerate(sizes)
    ]
    found = {entry.id: count for entry, count in zip(entries, counts, strict=False)}
    chosen = by_room(entries, found, Room(segments, mb))
    hot = [entry for entry in chosen if entry.tier == "hot"]
    assert [entry.id for entry in chosen] == [entry.id for entry in entries]
    assert hot
    if len(hot) > 1:
        assert Room(segments, mb).holds(len(hot), sum(entry.bytes for entry in hot))
    best = max(found[entry.id] / entry.bytes for entry in entries)
    assert max(found[entry.id] / entry.bytes for entry in hot) == best


def test_documents_that_were_found_share_a_hot_segment_after_regrouping(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "index")
    before = publish_index(storage, CHAIRS, LAMPS, TABLES)
    hits = {"c1": 3, "l1": 2, "t1": 1, "t2": 0, "gone": 9}
    manifest = retier(storage, tmp_path / "work", Room(segments=1), hits, regroup=True)
    assert tiers(manifest) == ["hot", "cold"]
    (hot,), (cold,) = (open_all(tmp_path / "index", manifest, tier) for tier in ("hot", "cold"))
    assert found_ids([hot], "number") == {"c1", "l1", "t1"}
    assert found_ids([cold], "number") == {*CHAIRS, *LAMPS, *TABLES} - {"c1", "l1", "t1"}
    assert (manifest.documents, manifest.terms_mean) == (before.documents, before.terms_mean)
    row = hot.rows_of(["l1"])["l1"]
    found = hot.vectors([row])[0]  # type: ignore[arg-type]
    assert found @ vector(LAMPS["l1"]) > 0.999
    # The room takes the most popular where not all fit.
    small = Room(mb=1.5 * sum(e.bytes for e in manifest.segments) / 60 / 1e6)
    manifest = retier(storage, tmp_path / "work", small, hits, regroup=True)
    assert found_ids(open_all(tmp_path / "index", manifest, "hot"), "number") == {"c1"}


def test_regrouping_by_nothing_that_is_there_is_refused(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "index")
    before = publish_index(storage, CHAIRS)
    with pytest.raises(SettingsError, match="so nothing would be hot"):
        retier(storage, tmp_path / "work", Room(segments=1), {"gone": 1}, regroup=True)
    assert read_manifest(storage) == before


def cold_index(address: str, tmp_path: Path) -> IndexManifest:
    storage = open_storage(address)
    publish_index(storage, CHAIRS, LAMPS, TABLES)
    return retier(storage, tmp_path / "work", Room(segments=1), {"c1": 1})


def test_a_cold_segment_comes_when_it_is_asked_for(endpoint: str, tmp_path: Path) -> None:
    address = new_bucket(endpoint)
    manifest = cold_index(address, tmp_path)
    folder = materialise(address, tmp_path / "cache")
    assert len(list((folder / "segments").iterdir())) == 1
    cold = ColdSegments(open_storage(address), manifest, tmp_path / "cold", mb_max=100)
    entries = [entry for entry in manifest.segments if entry.tier == "cold"]
    assert found_ids([cold(entry) for entry in entries], "lamp") == set(LAMPS)
    assert cold(entries[0]) is cold(entries[0])
    # Another process begins with what is there.
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "cold").rglob("*.bin")}
    again = ColdSegments(open_storage(address), manifest, tmp_path / "cold", mb_max=100)
    assert found_ids([again(entry) for entry in entries], "sofa") == set(TABLES)
    assert before == {file: file.stat().st_mtime_ns for file in (tmp_path / "cold").rglob("*.bin")}


def test_the_segments_used_last_are_kept(endpoint: str, tmp_path: Path) -> None:
    address = new_bucket(endpoint)
    storage = open_storage(address)
    manifest = publish_index(storage, CHAIRS, LAMPS, TABLES)
    size_mb = max(entry.bytes for entry in manifest.segments) / 1e6
    cold = ColdSegments(storage, manifest, tmp_path / "cold", mb_max=1)
    cold._bytes_max = int(2.2 * size_mb * 1e6)
    chairs, lamps, tables = manifest.segments
    first = cold(chairs)
    cold(lamps)
    assert cold(chairs) is first
    second = cold(lamps)
    cold(chairs)
    cold(tables)
    kept = {home.name for home in (tmp_path / "cold" / "segments").iterdir()}
    assert kept == {chairs.id, tables.id}
    # Who searches a segment whose files go is not disturbed, and the next one fetches it again.
    assert found_ids([second], "lamp") == set(LAMPS)
    assert found_ids([cold(lamps)], "lamp") == set(LAMPS)


def test_threads_share_what_one_of_them_fetches(endpoint: str, tmp_path: Path) -> None:
    address = new_bucket(endpoint)
    manifest = publish_index(open_storage(address), CHAIRS)
    cold = ColdSegments(open_storage(address), manifest, tmp_path / "cold", mb_max=100)
    got: list[Segment] = []
    threads = [
        threading.Thread(target=lambda: got.append(cold(manifest.segments[0]))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 4
    assert len(set(map(id, got))) == 1


def test_a_cold_segment_of_a_folder_is_opened_where_it_lies(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "index")
    manifest = publish_index(storage, CHAIRS)
    cold = ColdSegments(storage, manifest, tmp_path / "cold", mb_max=1)
    assert found_ids([cold(manifest.segments[0])], "chair") == set(CHAIRS)
    assert not (tmp_path / "cold").exists()


def test_a_cold_segment_that_is_archived_or_changed_is_told(endpoint: str, tmp_path: Path) -> None:
    address = new_bucket(endpoint)
    storage = open_storage(address)
    manifest = publish_index(storage, CHAIRS, LAMPS)
    chairs, lamps = manifest.segments
    name = next(
        name for name in storage.names(f"segments/{chairs.id}/") if "segment" not in name[26:]
    )
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    bucket = address.split("/")[2]
    client.put_object(
        Bucket=bucket, Key=f"shop/{name}", Body=storage.read(name), StorageClass="DEEP_ARCHIVE"
    )
    cold = ColdSegments(storage, manifest, tmp_path / "cold", mb_max=100)
    with pytest.raises(FileArchived, match="lies in S3's archive"):
        cold(chairs)
    wrong = msgspec.structs.replace(lamps, digest="0" * 64)
    with pytest.raises(IndexCorrupt, match=r"segment\.json"):
        cold(wrong)
    assert found_ids([cold(lamps)], "lamp") == set(LAMPS)


class Letters:
    """Embeds by letters, and counts how often."""

    name = "letters"
    bundle = SimpleNamespace(digest="0" * 64)

    def prepare(self, texts: list[str]) -> Any:
        return SimpleNamespace(texts=texts, tokens=len(texts[0].split()), truncated=0)

    def compute(self, prepared: Any) -> Any:
        return self.vectors(prepared.texts)

    def vectors(self, texts: list[str]) -> Any:
        return np.stack([vector(text) for text in texts])


def tiered(address: str, tmp_path: Path, *, mb_max: int = 100) -> TieredEngine:
    folder = materialise(address, tmp_path / "cache")
    engine = open_engine(address, folder, Letters(), cold_mb_max=mb_max)  # type: ignore[arg-type]
    assert isinstance(engine, TieredEngine)
    return engine


def test_an_index_that_is_all_at_hand_needs_no_more_than_an_engine(
    endpoint: str, tmp_path: Path
) -> None:
    address = new_bucket(endpoint)
    publish_index(open_storage(address), CHAIRS)
    folder = materialise(address, tmp_path / "cache")
    for where in (address, str(folder)):
        engine = open_engine(where, folder, Letters(), cold_mb_max=1)  # type: ignore[arg-type]
        assert type(engine) is Engine


def test_hot_segments_answer_alone_where_they_suffice(endpoint: str, tmp_path: Path) -> None:
    address = new_bucket(endpoint)
    cold_index(address, tmp_path)
    engine = tiered(address, tmp_path)
    found = engine.search("chair number 7", top_k=5)
    assert found.hits[0].id == "c7"
    assert "cold" not in found.stages_ns
    assert len(list((tmp_path / "cache").iterdir())) == 1
    # Words that no hot document has, and more hits than there are hot documents.
    for query, top_k, best in (("lamp number 7", 5, "l7"), ("number", 50, None)):
        found = engine.search(query, top_k=top_k)
        assert found.stages_ns["cold"] > 0
        assert len(found.hits) == top_k
        assert best is None or found.hits[0].id == best
    assert engine.search("lamp number 7", tiers="hot").hits[0].id.startswith("c")
    everything = engine.search("number 7", tiers="all", top_k=60)
    assert {hit.id for hit in everything.hits} == {*CHAIRS, *LAMPS, *TABLES}
    assert engine.search("zzz", mode="bm25").hits == []
    engine.close()


def test_cold_segments_answer_as_if_all_were_hot(endpoint: str, tmp_path: Path) -> None:
    address = new_bucket(endpoint)
    cold_index(address, tmp_path)
    whole = materialise(address, tmp_path / "whole", tiers=("hot", "cold"))
    engine = Engine.open(whole, Letters())  # type: ignore[arg-type]
    for query in ("lamp number 3", "bosch sofa", "neff number 19"):
        one = engine.search(query, top_k=20)
        other = tiered(address, tmp_path, mb_max=0).search(query, top_k=20, tiers="all")
        assert [(hit.id, hit.score) for hit in one.hits] == [
            (hit.id, hit.score) for hit in other.hits
        ]


def test_an_archive_is_told_only_to_who_asks_for_all(endpoint: str, tmp_path: Path) -> None:
    address = new_bucket(endpoint)
    index = cold_index(address, tmp_path)
    cool(open_storage(address), index, 0.0)
    engine = tiered(address, tmp_path)
    assert engine.search("lamp number 7").hits
    with pytest.raises(FileArchived, match="up to 12 hours"):
        engine.search("lamp number 7", tiers="all")


def test_a_segment_that_became_cold_leaves_the_copy_with_the_next_version(
    endpoint: str, tmp_path: Path
) -> None:
    address = new_bucket(endpoint)
    storage = open_storage(address)
    publish_index(storage, CHAIRS, LAMPS)
    folder = materialise(address, tmp_path / "cache")
    for hits in ({"c1": 1}, {"c1": 2}):
        retier(storage, tmp_path / "work", Room(segments=1), hits)
        publish(storage, lambda current: msgspec.structs.replace(current, licence="x"))
        materialise(address, tmp_path / "cache")
    assert len(list((folder / "segments").iterdir())) == 1
