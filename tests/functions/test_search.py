"""Search on every host: the same hits, their version, and a price that is told by stage."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis

from tests.functions.emulator import Emulator
from tests.functions.knative import KNATIVE, assert_charged
from tests.functions.server import START_S, farthing, run_to_end, uvicorn
from tests.functions.shop import PRODUCTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Serve
    from tests.functions.server import Server

    SampleEvent = Callable[[str, str], Any]

SEARCH = "/v1/search"
# No machine loads the libraries, the model and the index sooner.
START_MS_MIN = 50
STAGES = ["request", "embed", "lexical", "dense", "rank", "fetch", "other"]
FC = {
    "FARTHING_PLATFORM": "fc",
    "FARTHING_MEMORY_MB": "1024",
    "FARTHING_VCPU_MILLI": "1000",
}


def ids(answer: dict[str, Any]) -> list[str]:
    return [hit["id"] for hit in answer["results"]]


def assert_staged(answer: dict[str, Any]) -> None:
    """Stages in their order, whose amounts and times add up."""
    charge = answer["charge"]
    names = [stage["stage"] for stage in charge["stages"]]
    assert names == [name for name in STAGES if name in names]
    assert {"request", "other"} <= set(names)
    assert sum(Decimal(stage["amount"]) for stage in charge["stages"]) == Decimal(charge["total"])
    busy_ms = sum(stage["busy_ms"] for stage in charge["stages"])
    assert busy_ms == pytest.approx(answer["usage"]["busy_ms"])


def assert_carries_the_start(answer: dict[str, Any]) -> None:
    """What is billed beside the call's own time is of no stage but `other`."""
    usage, charge = answer["usage"], answer["charge"]
    [by_time] = [line for line in charge["lines"] if line["rule"].startswith("lambda.duration")]
    [other] = [stage for stage in charge["stages"] if stage["stage"] == "other"]
    start_ms = Decimal(str(usage["billed_ms"])) - Decimal(str(usage["busy_ms"]))
    start = Decimal(by_time["amount"]) * start_ms / usage["billed_ms"]
    assert start_ms > START_MS_MIN
    assert Decimal(other["amount"]) >= start


def test_the_best_comes_first_with_what_it_cost(shop_server: Server) -> None:
    response = shop_server.client.post(SEARCH, json={"query": "bosch cordless drill", "top_k": 3})
    assert response.status_code == 200, response.text
    answer = response.json()
    assert (answer["index"], answer["version"]) == ("shop", 1)
    assert ids(answer)[:2] == ["p2", "p3"]
    assert answer["results"][0]["document"] == {
        "sku": "p2",
        "title": "bosch cordless drill 18v with two batteries",
        "brand": "bosch",
        "price": 129.0,
    }
    scores = [hit["score"] for hit in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    assert answer["usage"]["prompt_tokens"] > 3
    assert_staged(answer)
    assert response.headers["x-farthing-cost-usd"] == answer["charge"]["total"]
    timing = [part.partition(";")[0] for part in response.headers["server-timing"].split(", ")]
    assert timing[:2] == ["prepare", "compute"]
    assert {"embed", "lexical", "rank", "fetch"} <= set(timing)


def test_a_search_by_words_alone_embeds_nothing(shop_server: Server) -> None:
    request = {"query": "drill", "mode": "bm25", "explain": True}
    answer = shop_server.client.post(SEARCH, json=request).json()
    assert set(ids(answer)) == {"p2", "p3"}
    embedding = [one for one in answer["charge"]["stages"] if one["stage"] == "embed"]
    assert not any(one["busy_ms"] for one in embedding)
    assert all(isinstance(hit["explain"], dict) for hit in answer["results"])
    assert_staged(answer)


@pytest.mark.parametrize(
    ("narrowed", "found"),
    [
        ({"brand": "makita"}, {"p3"}),
        ({"brand": ["makita", "bosch"]}, {"p2", "p3"}),
        ({"price": {"lt": 100}}, {"p3"}),
        ({"price": {"gte": 100, "lte": 129}}, {"p2"}),
        ({"brand": "bosch", "price": {"gt": 129}}, set()),
    ],
)
def test_a_filter_narrows(shop_server: Server, narrowed: dict[str, Any], found: set[str]) -> None:
    request = {"query": "drill", "mode": "bm25", "filter": narrowed, "top_k": 100}
    answer = shop_server.client.post(SEARCH, json=request).json()
    assert set(ids(answer)) == found


def test_the_index_is_listed_beside_the_models(shop_server: Server) -> None:
    listed = {one["id"]: one for one in shop_server.client.get("/v1/models").json()["data"]}
    shop = listed["shop"]
    assert (shop["task"], shop["documents"], shop["version"]) == ("search", len(PRODUCTS), 1)
    assert shop["embedder"]["name"] == "all-minilm-l6-v2"
    assert shop["embedder"]["digest"] == listed["all-minilm-l6-v2"]["digest"]
    assert shop["licence"] == "CC0-1.0"
    assert shop["bytes"] > 0
    assert listed["all-minilm-l6-v2"]["task"] == "embed"


def test_the_other_functions_are_served_beside_it(shop_server: Server) -> None:
    assert shop_server.client.post("/v1/classify", json={"inputs": "a drill"}).status_code == 200
    assert shop_server.client.post("/v1/embeddings", json={"input": "a drill"}).status_code == 200


def test_without_an_index_the_others_are_served_and_a_line_says_why(
    serve: Serve, tmp_path: Path
) -> None:
    server = serve(farthing("serve", "--port", "{port}"), {"FARTHING_INDEXES": str(tmp_path)})
    assert server.client.post("/v1/classify", json={"inputs": "a drill"}).status_code == 200
    assert server.client.post(SEARCH, json={"query": "a drill"}).status_code == 404
    assert "no index" in server.output


def test_an_index_that_is_not_there_is_told_in_a_sentence(tmp_path: Path, models_dir: Path) -> None:
    environ = {"FARTHING_MODELS": str(models_dir), "XDG_STATE_HOME": str(tmp_path)}
    done = run_to_end(farthing("serve", "--port", "0", "--index", str(tmp_path / "none")), environ)
    assert done.returncode == 1
    assert done.stderr.startswith("farthing: ")
    assert "Traceback" not in done.stderr


def test_one_search_without_a_server_shows_hits_stages_and_price(
    shop_index: Path, models_dir: Path
) -> None:
    environ = {"FARTHING_MODELS": str(models_dir), "COLUMNS": "200"}
    command = farthing("invoke", "search", "cordless", "drill", "--index", str(shop_index))
    shown = run_to_end(command, environ)
    assert shown.returncode == 0, shown.stderr
    assert "p2" in shown.stdout
    assert "lexical" in shown.stdout
    answer = json.loads(run_to_end([*command, "--json"], environ).stdout)
    assert_staged(answer)
    assert set(ids(answer)) >= {"p2", "p3"}


@pytest.mark.parametrize("name", ["direct", "cloudevent-structured"])
def test_a_sample_event_is_replayed(shop_index: Path, models_dir: Path, name: str) -> None:
    event = f"functions/search/events/{name}.json"
    command = farthing("invoke", "search", "--event", event, "--index", str(shop_index), "--json")
    done = run_to_end(command, {"FARTHING_MODELS": str(models_dir)})
    assert done.returncode == 0, done.stderr
    assert ids(json.loads(done.stdout))[0] == "p2"


def test_lambda_answers_every_kind_of_event(
    shop_index: Path, models_dir: Path, tmp_path: Path, sample_event: SampleEvent
) -> None:
    environ = {"FARTHING_MODELS": str(models_dir), "FARTHING_INDEX": str(shop_index)}
    with Emulator("search", environ, tmp_path / "emulator.log") as emulator:
        first = emulator.invoke(sample_event("search", "direct"))
        assert ids(first)[0] == "p2", first
        assert first["usage"]["cold"] is True
        assert_staged(first)
        assert_carries_the_start(first)
        for name in ("apigateway-http-v2", "function-url", "alb"):
            answer = emulator.invoke(sample_event("search", name))
            assert answer["statusCode"] == 200, answer
            body = json.loads(answer["body"])
            assert ids(body)[0] == "p2"
            assert_staged(body)
        event = sample_event("search", "function-url")
        event["requestContext"]["http"]["path"] = event["rawPath"] = "/rerank"
        event["isBase64Encoded"], event["body"] = (
            False,
            json.dumps({"query": "a drill", "texts": ["a kettle", "a hammer drill"]}),
        )
        ranked = emulator.invoke(event)
        assert [one["index"] for one in json.loads(ranked["body"])] == [1, 0]
        assert json.loads(ranked["headers"]["x-farthing-charge"])["basis"] == "measured"


def test_function_compute_answers_http_and_invocations(
    serve: Serve, shop_index: Path, sample_event: SampleEvent
) -> None:
    server = serve(uvicorn("search"), FC | {"FARTHING_INDEX": str(shop_index)})
    for name in ("fc-http", "fc-invoke"):
        event = sample_event("search", name)
        answer = server.client.post(event["path"], content=event["body"], headers=event["headers"])
        assert answer.status_code == 200, answer.text
        assert ids(answer.json())[0] == "p2"
        assert answer.json()["charge"]["basis"] == "measured"
        assert_staged(answer.json())


def test_knative_answers_http_and_cloud_events(
    serve: Serve, shop_index: Path, sample_event: SampleEvent
) -> None:
    server = serve(uvicorn("search"), KNATIVE | {"FARTHING_INDEX": str(shop_index)})
    binary = sample_event("search", "cloudevent-binary")
    answers = [
        server.client.post("/", content=binary["body"], headers=binary["headers"]),
        server.client.post(
            "/",
            content=json.dumps(sample_event("search", "cloudevent-structured")),
            headers={"content-type": "application/cloudevents+json"},
        ),
        server.client.post(SEARCH, json={"query": "cordless drill 18v with two batteries"}),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert ids(answer.json())[0] == "p2"
        assert_charged(answer.json())
        assert_staged(answer.json())


def test_without_an_index_a_function_does_not_start(serve: Serve, tmp_path: Path) -> None:
    environ = KNATIVE | {"FARTHING_INDEXES": str(tmp_path)}
    server = serve(uvicorn("search"), environ, wait=False)
    assert server.process.wait(START_S) != 0
    assert "farthing index build" in server.output


DESCRIBED = {
    "a search": (SEARCH, {"query": "cordless drill", "explain": True}, 200),
    "a filter": (SEARCH, {"query": "drill", "filter": {"price": {"lt": 100}}}, 200),
    "a refused filter": (SEARCH, {"query": "drill", "filter": {"colour": "red"}}, 422),
    "a ranking": ("/v2/rerank", {"query": "drill", "documents": ["a", ""], "top_n": 1}, 200),
    "an older ranking": (
        "/v1/rerank",
        {"query": "drill", "documents": [{"text": "a"}], "return_documents": True},
        200,
    ),
    "TEI's ranking": ("/rerank", {"query": "drill", "texts": ["a", "b"]}, 200),
    "a refused change": ("/v1/index", {"deletes": ["p1"]}, 403),
}


@pytest.fixture(scope="module")
def described(shop_server: Server) -> Any:
    return schemathesis.openapi.from_url(f"{shop_server.url}/openapi.json")


@pytest.mark.parametrize("name", DESCRIBED)
def test_an_answer_is_as_its_description_says(described: Any, name: str) -> None:
    path, body, status = DESCRIBED[name]
    case = described[path]["POST"].Case(body=body, media_type="application/json")
    response = case.call()
    assert response.status_code == status
    case.validate_response(response)
