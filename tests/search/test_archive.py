"""Versions put away in a bucket's archive, and brought back as the current one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto.moto_api import state_manager

from farthing.errors import FileArchived, SettingsError, StorageUnavailable
from farthing.search.archive import cool, put_away, restore, versions
from farthing.search.errors import IndexMissing
from farthing.search.publishing import garbage_collect, read_manifest
from farthing.search.segments import Segment
from farthing.search.tiers import Room, retier
from farthing.storage import LocalStorage, open_storage
from tests.search import oss
from tests.search.buckets import new_bucket, s3_running
from tests.search.shelves import found_ids, publish_index

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farthing.storage import Storage

CHAIRS = {f"c{number}": f"bosch chair number {number}" for number in range(5)}
LAMPS = {f"l{number}": f"miele lamp number {number}" for number in range(5)}


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    with s3_running() as address:
        yield address


@pytest.fixture(scope="module")
def stand_in() -> Iterator[oss.Oss]:
    with oss.Oss().running() as running:
        yield running


class S3:
    """Restores when told to."""

    def __init__(self, endpoint: str) -> None:
        self.storage = open_storage(new_bucket(endpoint))
        self._client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
        state_manager.set_transition("s3::keyrestore", {"progression": "manual", "times": 3})

    def classes(self) -> dict[str, str]:
        bucket = self.storage.client.bucket  # type: ignore[attr-defined]
        found = self._client.list_objects_v2(Bucket=bucket)["Contents"]
        return {each["Key"].removeprefix("shop/"): each["StorageClass"] for each in found}

    def hours_pass(self) -> None:
        """moto counts how often a file's state is asked for."""


class Oss:
    def __init__(self, stand_in: oss.Oss) -> None:
        stand_in.objects.clear()
        self._stand_in = stand_in
        address = f"oss://shop-index/shop?region=cn-hangzhou&endpoint={stand_in.endpoint}"
        self.storage = open_storage(address, oss.ENVIRON)

    def classes(self) -> dict[str, str]:
        found = self._stand_in.objects.items()
        return {key.removeprefix("/shop-index/shop/"): each["class"] for key, each in found}

    def hours_pass(self) -> None:
        for each in self._stand_in.objects.values():
            each["restored"] = each.get("asked", False)


@pytest.fixture(params=["s3", "oss"])
def cloud(request: Any, s3_endpoint: str, stand_in: oss.Oss) -> Iterator[S3 | Oss]:
    yield S3(s3_endpoint) if request.param == "s3" else Oss(stand_in)
    state_manager.unset_transition("s3::keyrestore")


def searched(storage: Storage, cache: Path) -> set[str]:
    manifest = read_manifest(storage)
    for entry in manifest.segments:
        for name in storage.names(f"segments/{entry.id}/"):
            storage.fetch(name, cache / name)
    segments = [Segment.open(cache, entry, manifest) for entry in manifest.segments]
    return found_ids(segments, "number")


def test_a_version_put_away_comes_back_after_hours(cloud: S3 | Oss, tmp_path: Path) -> None:
    storage = cloud.storage
    first = publish_index(storage, CHAIRS, LAMPS)
    done = put_away(storage)
    assert (done.version, done.copied) == (1, done.files)
    assert put_away(storage) == done._replace(copied=0)
    archived = {name for name, kind in cloud.classes().items() if kind.title() != "Standard"}
    assert archived == {name for name in cloud.classes() if name.startswith("archive/")}
    # Its documents are gone from the index, and its files with them.
    second = publish_index(storage, {"x": "neff sofa number"})
    for _ in range(2):
        garbage_collect(storage, keep_versions=0, grace_s=0.0)
    assert not list(storage.names(f"segments/{first.segments[0].id}/"))
    assert [each.version for each in versions(storage)] == [1]

    begun = restore(storage, 1, speed="standard")
    assert (begun.asked, begun.readable, begun.coming) == (done.files, 0, 0)
    assert begun.published is None
    assert "hours" in begun.waits or "12" in begun.waits
    assert restore(storage, 1).coming > 0
    assert read_manifest(storage) == second
    cloud.hours_pass()
    for _ in range(5):
        came = restore(storage, 1)
        if came.published:
            break
    assert came.published is not None
    assert came.published.version == 3
    assert came.published.segments == first.segments
    assert searched(storage, tmp_path) == {*CHAIRS, *LAMPS}


def test_a_version_that_is_still_there_comes_back_at_once(cloud: S3 | Oss, tmp_path: Path) -> None:
    storage = cloud.storage
    publish_index(storage, CHAIRS)
    publish_index(storage, LAMPS)
    back = restore(storage, 1)
    assert back.published is not None
    assert (back.published.version, back.asked) == (3, 0)
    assert searched(storage, tmp_path) == set(CHAIRS)
    assert restore(storage, 3).published == back.published


def test_cold_segments_beyond_the_room_are_archived_and_told(
    cloud: S3 | Oss, tmp_path: Path
) -> None:
    storage = cloud.storage
    publish_index(storage, CHAIRS, LAMPS)
    index = retier(storage, tmp_path / "work", Room(segments=1), {"c1": 3})
    chairs, lamps = index.segments
    assert cool(storage, index, 1000.0) == []
    assert cool(storage, index, 0.0) == [lamps.id]
    assert cool(storage, index, 0.0) == [lamps.id]
    assert storage.read(f"segments/{chairs.id}/segment.json")
    with pytest.raises(FileArchived, match="hours"):
        storage.read(f"segments/{lamps.id}/segment.json")
    assert restore(storage, index.version).published is None
    cloud.hours_pass()
    for _ in range(5):
        came = restore(storage, index.version)
        if came.published:
            break
    assert came.published == index
    assert {kind.title() for kind in cloud.classes().values()} == {"Standard"}
    assert searched(storage, tmp_path) == {*CHAIRS, *LAMPS}


def test_what_cannot_be_restored_is_told(cloud: S3 | Oss) -> None:
    storage = cloud.storage
    with pytest.raises(IndexMissing, match="holds no index"):
        put_away(storage)
    first = publish_index(storage, CHAIRS)
    with pytest.raises(IndexMissing, match="has no version 7 to restore"):
        restore(storage, 7)
    publish_index(storage, LAMPS)
    for name in list(storage.names(f"segments/{first.segments[0].id}/")):
        storage.delete(name)
    with pytest.raises(IndexMissing, match=f"lost segment {first.segments[0].id} of version 1"):
        restore(storage, 1)


def test_a_folder_has_no_archive(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    publish_index(storage, CHAIRS)
    for ask in (lambda: put_away(storage), lambda: restore(storage, 1)):
        with pytest.raises(SettingsError, match="which has no archive"):
            ask()


def test_a_bucket_that_is_not_there_archives_nothing(s3_endpoint: str) -> None:
    elsewhere = open_storage(f"s3://no-such-bucket/shop?region=us-east-1&endpoint={s3_endpoint}")
    with pytest.raises(StorageUnavailable, match="NoSuchBucket"):
        put_away(elsewhere)
