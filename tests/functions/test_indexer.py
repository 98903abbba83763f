"""The indexer on each host: what waits becomes a new version, once, whoever calls."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from farthing.search.changes import Delete, Upsert
from farthing.search.errors import IndexMissing
from farthing.search.indexer import Indexer
from farthing.search.publishing import read_manifest
from farthing.search.writes import submit
from farthing.storage import LocalStorage
from tests.functions.knative import KNATIVE
from tests.functions.server import REFUSE_S, ROOT, clean_environment, uvicorn
from tests.functions.shop import PRODUCTS, build_shop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Serve

LAMBDA = {
    "AWS_LAMBDA_FUNCTION_NAME": "farthing-indexer",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
    "AWS_REGION": "us-east-1",
}
CHAIR = Upsert({"sku": "p99", "title": "green garden chair", "brand": "oak & sons", "price": 59})


class Context:
    """Ten minutes left, as Lambda's runtime would tell it."""

    def get_remaining_time_in_millis(self) -> int:
        return 600_000


@pytest.fixture
def shop(tmp_path: Path, models_dir: Path) -> LocalStorage:
    return LocalStorage(build_shop(tmp_path / "shop", models=models_dir))


def environ_of(shop: LocalStorage, models_dir: Path, **more: str) -> dict[str, str]:
    return {
        "FARTHING_MODELS": str(models_dir),
        "FARTHING_INDEX": str(shop.folder),
        "FARTHING_INDEX_CACHE": str(shop.folder.parent / "cache"),
        **more,
    }


def waiting(shop: LocalStorage) -> list[str]:
    return list(shop.names("writes/"))


def test_lambda_publishes_what_waits_and_a_second_run_finds_nothing(
    shop: LocalStorage,
    models_dir: Path,
    sample_event: Callable[[str, str], Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    submit(shop, [CHAIR, Delete("p1")])
    submit(shop, [Delete("p2")])
    indexer = Indexer(LAMBDA | environ_of(shop, models_dir))
    first = indexer.handler(sample_event("indexer", "s3-object-created"), Context())
    second = indexer.handler(sample_event("indexer", "schedule"), Context())
    (tended,) = first["indexes"]
    assert (tended["index"], tended["version"], tended["applied"]) == ("shop", 2, 3)
    assert (second["indexes"][0]["version"], second["indexes"][0]["applied"]) == (2, 0)
    assert read_manifest(shop).documents == len(PRODUCTS) - 1
    assert waiting(shop) == []
    line = json.loads(capsys.readouterr().out.splitlines()[0])
    assert line["indexer"] == first


def test_a_program_runs_once_and_exits(shop: LocalStorage, models_dir: Path) -> None:
    submit(shop, [CHAIR])
    done = run_program(KNATIVE | environ_of(shop, models_dir))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["indexer"]["indexes"][0]["applied"] == 1
    assert read_manifest(shop).version == 2


def test_without_an_index_a_program_says_so_in_a_sentence(models_dir: Path, tmp_path: Path) -> None:
    environ = {"FARTHING_MODELS": str(models_dir), "FARTHING_INDEXES": str(tmp_path)}
    done = run_program(KNATIVE | environ)
    assert done.returncode == 1
    assert done.stderr.startswith("farthing: ")
    assert "FARTHING_INDEX" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["fc-timer", "fc-oss", "cloudevent-binary"])
def test_a_server_runs_for_every_event(
    serve: Serve,
    shop: LocalStorage,
    models_dir: Path,
    sample_event: Callable[[str, str], Any],
    name: str,
) -> None:
    server = serve(uvicorn("indexer"), KNATIVE | environ_of(shop, models_dir))
    event = sample_event("indexer", name)
    submit(shop, [CHAIR])
    answer = server.client.post(event["path"], content=event["body"], headers=event["headers"])
    assert answer.status_code == 200, server.output
    assert answer.headers["x-fc-status"] == "200"
    assert answer.json()["indexes"][0]["applied"] == 1
    assert waiting(shop) == []


def test_a_failure_asks_for_the_event_again_and_tells_the_caller_nothing(
    serve: Serve, tmp_path: Path, models_dir: Path
) -> None:
    environ = {"FARTHING_MODELS": str(models_dir), "FARTHING_INDEX": str(tmp_path / "nowhere")}
    server = serve(uvicorn("indexer"), KNATIVE | environ)
    answer = server.client.post("/invoke")
    assert answer.status_code == 503
    assert answer.headers["x-fc-status"] == "404"
    assert "nowhere" not in answer.text
    assert "nowhere" in server.output


def test_one_broken_index_keeps_no_other_waiting(
    shop: LocalStorage, tmp_path: Path, models_dir: Path
) -> None:
    submit(shop, [CHAIR])
    environ = environ_of(shop, models_dir)
    environ["FARTHING_INDEX"] = f"{tmp_path / 'nowhere'},{shop.folder}"
    with pytest.raises(IndexMissing):
        Indexer(LAMBDA | environ).handler({}, Context())
    assert read_manifest(shop).version == 2


def test_many_small_segments_become_one(shop: LocalStorage, models_dir: Path) -> None:
    indexer = Indexer(LAMBDA | environ_of(shop, models_dir))
    for number in range(6):
        document = {"sku": f"n{number}", "title": f"chair number {number}"}
        submit(shop, [Upsert(document)])
        (tended,) = indexer.handler({}, Context())["indexes"]
    assert len(read_manifest(shop).segments) < 6
    assert read_manifest(shop).documents == len(PRODUCTS) + 6
    assert tended["waiting"] == 0


def run_program(environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "functions.indexer.app"],
        cwd=ROOT,
        env=clean_environment(environ),
        capture_output=True,
        text=True,
        timeout=REFUSE_S,
        check=False,
    )
