"""An index in a bucket: served from a copy, written to by a queue, and kept up when S3 is down."""

from __future__ import annotations

import logging
import shutil
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from farthing.search import watching
from farthing.search.answerers import open_indexes
from farthing.search.errors import IndexUnavailable
from farthing.search.indexer import Indexer
from farthing.search.tiers import Room, retier
from farthing.settings import read_settings
from farthing.storage import LocalStorage, open_storage
from tests.functions.shop import build_shop
from tests.search.buckets import new_bucket, s3_running

if TYPE_CHECKING:
    from pathlib import Path

LAMBDA = {
    "AWS_LAMBDA_FUNCTION_NAME": "search",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
    "AWS_REGION": "us-east-1",
    "FARTHING_INDEX_WRITES": "queue",
    "FARTHING_INDEX_POLL_S": "60",
}


class Context:
    def get_remaining_time_in_millis(self) -> int:
        return 600_000


def found(answerer: Any) -> set[str]:
    work = answerer.prepare_search("chair", mode="bm25")
    return {hit.id for hit in answerer.compute(work).hits}


def test_a_bucket_is_searched_written_to_and_not_needed_to_go_on(
    tmp_path: Path,
    models_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    local = LocalStorage(build_shop(tmp_path / "shop", models=models_dir))
    with s3_running() as endpoint:
        address = new_bucket(endpoint)
        bucket = open_storage(address)
        for name in local.names():
            bucket.write(name, local.folder / name)
        environ = LAMBDA | {"FARTHING_MODELS": str(models_dir), "FARTHING_INDEX": address}
        settings = read_settings(environ, index_cache=tmp_path / "search")
        index: Any = open_indexes("search", settings)[0]
        assert found(index) == {"p8"}

        chair = {"sku": "p99", "title": "green garden chair"}
        changed = index.compute(index.prepare_change([chair], ["p8"]))
        assert list(bucket.names("writes/")) == [f"writes/{changed.receipt}.json"]
        indexer = Indexer(environ | {"FARTHING_INDEX_CACHE": str(tmp_path / "indexer")})
        (tended,) = indexer.handler({}, Context())["indexes"]
        assert (tended["version"], tended["applied"]) == (2, 2)

        assert found(index) == {"p8"}, "not before the time is over"
        clock_s = iter(range(10**9, 2 * 10**9, 1000))
        clock = SimpleNamespace(monotonic=clock_s.__next__, sleep=time.sleep)
        monkeypatch.setattr(watching, "time", clock)
        # A call waits until its look is over, however long a busy machine takes for it.
        monkeypatch.setattr(watching, "LOOK_S_MAX", 60.0)
        assert found(index) == {"p99"}
    with caplog.at_level(logging.WARNING, "farthing"):
        assert found(index) == {"p99"}, "S3 is gone, and the index is not"
    assert "stays as it is" in caplog.text


def test_cold_segments_of_a_bucket_are_searched_where_a_request_asks(
    tmp_path: Path, models_dir: Path
) -> None:
    folder = build_shop(tmp_path / "shop", models=models_dir)
    local = LocalStorage(folder)
    with s3_running() as endpoint:
        address = new_bucket(endpoint)
        bucket = open_storage(address)
        retier(local, tmp_path / "work", Room(segments=1), {"p8": 9}, regroup=True)
        for name in local.names():
            bucket.write(name, local.folder / name)
        environ = LAMBDA | {"FARTHING_MODELS": str(models_dir), "FARTHING_INDEX": address}
        settings = read_settings(environ, index_cache=tmp_path / "search")
        index: Any = open_indexes("search", settings)[0]

        def ids(query: str, tiers: str, top_k: int = 10) -> set[str]:
            asked = index.prepare_search(query, top_k=top_k, mode="bm25", tiers=tiers)
            return {hit.id for hit in index.compute(asked).hits}

        assert ids("chair", "hot") == {"p8"}
        assert ids("drill", "hot") == set()
        assert ids("chair", "auto", top_k=1) == {"p8"}
        assert ids("drill", "auto") == ids("drill", "all") != set()
        shutil.rmtree(next(tmp_path.glob("search/*-cold")))
        reopened: Any = open_indexes("search", settings)[0]
    asked = reopened.prepare_search("drill", mode="bm25", tiers="all")
    with pytest.raises(IndexUnavailable, match="cold segments cannot be brought"):
        reopened.compute(asked)
    asked = reopened.prepare_search("chair", mode="bm25", tiers="auto")
    assert {hit.id for hit in reopened.compute(asked).hits} == {"p8"}
