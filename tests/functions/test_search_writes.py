"""Changes over HTTP: with the right key, applied at once or queued for the indexer."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest

from farthing.storage import LocalStorage
from tests.functions.knative import KNATIVE
from tests.functions.server import REQUEST_S, farthing, uvicorn
from tests.functions.shop import PRODUCTS
from tests.functions.test_indexer import run_program
from tests.functions.test_keys import entry, make_key

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Serve
    from tests.functions.server import Server

__all__ = ["entry"]

SEARCH, INDEX = "/v1/search", "/v1/index"
CHAIR = {"sku": "p99", "title": "green garden chair", "brand": "oak & sons", "price": 59}


@pytest.fixture
def shop(shop_index: Path, tmp_path: Path) -> Path:
    return shutil.copytree(shop_index, tmp_path / "shop")


def found(server: Server, query: str, **headers: str) -> tuple[int, set[str]]:
    """The version that answered, and the ids that it found by words."""
    request = {"query": query, "mode": "bm25"}
    answer = server.client.post(SEARCH, json=request, headers=headers).json()
    return answer["version"], {hit["id"] for hit in answer["results"]}


def test_a_server_applies_a_change_and_answers_with_its_version(serve: Serve, shop: Path) -> None:
    environ = {
        "FARTHING_INDEX": str(shop),
        "FARTHING_INDEX_WRITES": "apply",
        "FARTHING_INDEX_CACHE": str(shop.parent / "cache"),
    }
    server = serve(farthing("serve", "--port", "{port}"), environ)
    answer = server.client.post(INDEX, json={"upserts": [CHAIR], "deletes": ["p8", "p0"]})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["index"], body["accepted"], body["version"]) == ("shop", 3, 2)
    assert body["usage"]["prompt_tokens"] >= 5
    assert body["charge"]["total"] == answer.headers["x-farthing-cost-usd"] != "0"
    assert found(server, "chair") == (2, {"p99"})
    listed = {one["id"]: one for one in server.client.get("/v1/models").json()["data"]}
    assert listed["shop"]["documents"] == len(PRODUCTS)
    refused = server.client.post(INDEX, json={"upserts": [{"sku": "x", "colour": "red"}]})
    assert refused.status_code == 422
    assert "title, brand, price" in refused.json()["detail"]
    stop_and_serve_again = serve(farthing("serve", "--port", "{port}"), environ)
    assert found(stop_and_serve_again, "chair") == (2, {"p99"}), "it was published for good"


def test_a_queued_change_is_served_once_the_indexer_ran(
    serve: Serve, shop: Path, models_dir: Path
) -> None:
    environ = KNATIVE | {
        "FARTHING_INDEX": str(shop),
        "FARTHING_INDEX_WRITES": "queue",
        "FARTHING_INDEX_POLL_S": "1",
    }
    server = serve(uvicorn("search"), environ)
    answer = server.client.post(INDEX, json={"upserts": [CHAIR], "deletes": ["p8"]})
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert (body["accepted"], body["version"]) == (2, None)
    assert list(LocalStorage(shop).names("writes/")) == [f"writes/{body['receipt']}.json"]
    assert found(server, "chair") == (1, {"p8"})
    cache = str(shop.parent / "cache")
    models = {"FARTHING_MODELS": str(models_dir), "FARTHING_INDEX_CACHE": cache}
    assert run_program(environ | models).returncode == 0
    deadline_s = time.monotonic() + REQUEST_S
    while found(server, "chair")[0] < 2 and time.monotonic() < deadline_s:
        time.sleep(0.1)
    assert found(server, "chair") == (2, {"p99"})


def test_changing_needs_the_scope_index(
    serve: Serve,
    shop: Path,
    entry: str,
) -> None:
    environ = {"FARTHING_INDEX": str(shop), "FARTHING_INDEX_WRITES": "queue"}
    server = serve(farthing("serve", "--port", "{port}"), environ | {"FARTHING_KEYS": entry})
    reader = make_key("acme", entry, shop.parent, "--scope", "search")
    writer = make_key("acme", entry, shop.parent, "--scope", "index")
    change: dict[str, Any] = {"deletes": ["p8"]}

    def status(path: str, body: dict[str, Any], key: str | None) -> int:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        return server.client.post(path, json=body, headers=headers).status_code

    assert status(INDEX, change, None) == 401
    assert status(INDEX, change, reader) == 403
    assert status(INDEX, change, writer) == 202
    assert status(SEARCH, {"query": "chair"}, reader) == 200
    assert status(SEARCH, {"query": "chair"}, writer) == 403
    assert len(list(LocalStorage(shop).names("writes/"))) == 1
