"""The published description: what it promises is what the server does, and /docs needs no net."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import pytest
import schemathesis

from tests.functions.server import REQUEST_S, SCRIPTS, clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.functions.server import Server

    SampleEvent = Callable[[str, str], Any]

# Deterministic: with these, schemathesis sends the same 300 or so requests every time.
EXAMPLES_PER_OPERATION = 80
CASES_MIN = 250
# For a machine that is busy with other things.
RUN_S = 900
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
TITLE = "bosch series 4 free-standing fridge freezer 186cm stainless steel"
ANSWERED = {
    "one text": ("/v1/classify", {"inputs": TITLE}),
    "the best label": ("/v1/classify", {"inputs": [TITLE, "beko 8kg"], "top_k": 1}),
    "a vector": ("/v1/embeddings", {"input": TITLE}),
    "short vectors": ("/v1/embeddings", {"input": [TITLE, "beko 8kg"], "dimensions": 8}),
    "a vector as text": ("/v1/embeddings", {"input": TITLE, "encoding_format": "base64"}),
    "a refused text": ("/v1/classify", {"inputs": ""}),
    "a refused model": ("/v1/embeddings", {"input": TITLE, "model": "gpt-4"}),
}


@pytest.fixture(scope="module")
def described(local_server: Server) -> dict[str, Any]:
    return local_server.client.get("/openapi.json").json()


def test_no_generated_request_meets_an_answer_that_is_not_described(
    local_server: Server, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    run = subprocess.run(
        [
            *(str(SCRIPTS / "schemathesis"), "--no-color", "run"),
            f"{local_server.url}/openapi.json",
            *("--phases", "examples,coverage,fuzzing"),
            *("--max-examples", str(EXAMPLES_PER_OPERATION)),
            "--generation-deterministic",
            "--continue-on-failure",
            *("--checks", ",".join(CHECKS)),
            *("--request-timeout", str(REQUEST_S)),
            # How long it takes to think of a request says nothing of the answer.
            *("--suppress-health-check", "too_slow"),
            *("--report", "json", "--report-json-path", str(report)),
        ],
        cwd=tmp_path,  # it leaves caches where it runs
        env=clean_environment({}),
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    found = json.loads(report.read_text(encoding="utf-8"))
    assert found["operations"]["tested"] == found["operations"]["total"] > 0
    assert found["test_cases"]["generated"] >= CASES_MIN
    assert found["test_cases"]["errored"] == found["test_cases"]["with_failures"] == 0
    assert local_server.client.get("/readyz").status_code == 200


@pytest.mark.parametrize("name", ANSWERED)
def test_an_answer_is_as_its_description_says(local_server: Server, name: str) -> None:
    path, body = ANSWERED[name]
    schema = schemathesis.openapi.from_url(f"{local_server.url}/openapi.json")
    case = schema[path]["POST"].Case(body=body, media_type="application/json")
    response = case.call()
    case.validate_response(response)
    assert response.status_code == (200 if "refused" not in name else response.json()["status"])


def test_every_described_route_is_served(local_server: Server, described: dict[str, Any]) -> None:
    for path, operations in described["paths"].items():
        for method in operations:
            answer = local_server.client.request(method.upper(), path)
            assert answer.status_code not in {404, 405}, f"{method} {path}"


def test_every_charge_field_of_an_answer_is_described(
    local_server: Server, described: dict[str, Any]
) -> None:
    schemas = described["components"]["schemas"]
    answer = local_server.client.post("/v1/classify", json={"inputs": TITLE}).json()
    assert answer["usage"].keys() == schemas["Usage"]["properties"].keys()
    # Only a cascade has several models to tell of, and then stages.
    assert answer["charge"].keys() == schemas["Charge"]["properties"].keys() - {"models"}
    asked = {"inputs": TITLE, "model": "retail-banking-cascade"}
    staged = local_server.client.post("/v1/classify", json=asked).json()["charge"]
    described_here = schemas["Charge"]["properties"] | schemas["StagedCharge"]["properties"]
    assert staged.keys() == described_here.keys()
    problem = local_server.client.post("/v1/classify", json={}).json()
    assert problem.keys() == schemas["Problem"]["properties"].keys()


def test_the_page_loads_everything_from_this_server(local_server: Server) -> None:
    page = local_server.client.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert not re.search(r"https?://|[\"'(]//", page.text)
    assets = re.findall(r"(?:src|href)=[\"']([^\"']+)", page.text)
    assets += re.findall(r"url: *[\"']([^\"']+)", page.text)
    assert {".js", ".css", ".png", ".json"} <= {_suffix(asset) for asset in assets}
    for asset in assets:
        answer = local_server.client.get(urljoin("/docs", asset))
        assert answer.status_code == 200, asset
        assert answer.content, asset
        if _suffix(asset) == ".css":
            # A style sheet loads fonts and other sheets by itself.
            assert not re.search(r"@import|url\([\"']?(https?:)?//", answer.text)


def _suffix(asset: str) -> str:
    return "." + urlsplit(asset).path.rpartition(".")[2]
