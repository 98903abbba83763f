"""An index copied between a folder and a bucket is the same index, and sent once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farthing.errors import FileMissing, PublishConflict
from farthing.search.changes import Delete, Upsert
from farthing.search.copying import copy
from farthing.search.errors import IndexMissing
from farthing.search.publishing import read_manifest
from farthing.search.updates import apply
from farthing.search.verification import verify
from farthing.storage import LocalStorage, open_storage
from tests.search.buckets import new_bucket, s3_running
from tests.search.writing import HashEmbedder, held, new_index, record

if TYPE_CHECKING:
    from pathlib import Path


def test_a_copy_in_a_bucket_holds_the_same_and_is_sent_once(tmp_path: Path) -> None:
    source = new_index(tmp_path / "index")
    for key in "abc":
        apply(source, tmp_path, HashEmbedder(), [Upsert(record(key, f"shoe {key}")), Delete("b")])
    with s3_running() as endpoint:
        bucket = open_storage(new_bucket(endpoint))
        steps: list[tuple[int, int]] = []
        copied = copy(source, bucket, told=lambda done, total: steps.append((done, total)))
        assert copied.version == 1
        assert steps[-1][0] == steps[-1][1] > 10
        assert held(bucket, tmp_path / "work") == held(source, tmp_path)
        assert not verify(bucket).problems
        with pytest.raises(PublishConflict, match="--overwrite"):
            copy(source, bucket)

        apply(source, tmp_path, HashEmbedder(), [Upsert(record("d", "hat"))])
        sent_before = set(bucket.names("segments/"))
        assert copy(source, bucket, overwrite=True).version == 2
        (fresh,) = read_manifest(source).segments[-1:]
        sent = set(bucket.names("segments/")) - sent_before
        assert {name.split("/")[1] for name in sent} == {fresh.id}

        back = LocalStorage(tmp_path / "back")
        copy(bucket, back)
        assert held(back, tmp_path) == held(source, tmp_path)
        assert read_manifest(back).segments == read_manifest(source).segments


def test_what_is_not_there_is_not_copied(tmp_path: Path) -> None:
    with pytest.raises(IndexMissing):
        copy(LocalStorage(tmp_path / "none"), LocalStorage(tmp_path / "copy"))
    assert not (tmp_path / "copy").exists()


def test_a_copy_of_which_a_file_is_missing_is_not_published(tmp_path: Path) -> None:
    source = new_index(tmp_path / "index")
    apply(source, tmp_path, HashEmbedder(), [Upsert(record("a", "shoe")), Upsert(record("b", "x"))])
    apply(source, tmp_path, HashEmbedder(), [Delete("a")])
    (entry,) = read_manifest(source).segments
    (tmp_path / "index" / "deletions" / str(entry.deletions)).unlink()
    target = LocalStorage(tmp_path / "copy")
    with pytest.raises(FileMissing, match="deletions"):
        copy(source, target)
    assert target.etag("manifest.json") is None
