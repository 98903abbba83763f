"""Who may call `farthing serve`: anyone on loopback, and only bearers of a key where keys are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.functions.knative import KNATIVE
from tests.functions.server import Server, farthing, run_to_end, uvicorn

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Serve

TITLE = "bosch series 4 free-standing fridge freezer 186cm stainless steel"
ROUTES = (
    ("POST", "/v1/classify", {"inputs": TITLE}),
    ("POST", "/v1/embeddings", {"input": TITLE}),
    ("GET", "/v1/models", None),
)
OPEN_PATHS = ("/healthz", "/readyz", "/openapi.json", "/docs")


def make_key(tenant: str, entry: str, state: Path, *options: str) -> str:
    """A tenant's fresh key, from the command that makes them."""
    environ = {"FARTHING_KEYS": entry, "XDG_STATE_HOME": str(state)}
    made = run_to_end(farthing("keys", "create", "--tenant", tenant, "--json", *options), environ)
    key: str = json.loads(made.stdout)["key"]
    return key


@pytest.fixture(scope="module")
def entry() -> str:
    """A secret that signs keys, from the command that makes them."""
    return run_to_end(farthing("keys", "init"), {}).stdout.strip().removeprefix("FARTHING_KEYS=")


@pytest.fixture(scope="module")
def keys(entry: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    state = tmp_path_factory.mktemp("state")
    return {tenant: make_key(tenant, entry, state) for tenant in ("acme", "bolt")}


@pytest.fixture(scope="module")
def keyed_server(serve_for_session: Serve, entry: str) -> Server:
    return serve_for_session(farthing("serve", "--port", "{port}"), {"FARTHING_KEYS": entry})


@pytest.mark.parametrize("tenant", ["acme", "bolt"])
@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_a_known_key_is_let_in(
    keyed_server: Server,
    keys: dict[str, str],
    tenant: str,
    method: str,
    path: str,
    body: dict[str, str] | None,
) -> None:
    headers = {"authorization": f"Bearer {keys[tenant]}"}
    answer = keyed_server.client.request(method, path, json=body, headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer fk-wrong",
        "Bearer {key}x",
        "Bearer {entry}",
        "Bearer {secret}",
        "Basic {key}",
        "{key}",
        "Bearer {key}, Bearer {key}",
        "Bearer k\u00e9y",
    ],
)
@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_anything_but_a_known_key_is_kept_out_free_of_charge(
    keyed_server: Server,
    entry: str,
    keys: dict[str, str],
    authorization: str | None,
    method: str,
    path: str,
    body: dict[str, str] | None,
) -> None:
    key = keys["acme"]
    headers = {}
    if authorization is not None:
        text = authorization.format(key=key, entry=entry, secret=entry.partition("=")[2])
        headers["authorization"] = text.encode("latin-1")
    answer = keyed_server.client.request(method, path, json=body, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["type"] == "urn:farthing:problem:unauthorized"
    assert answer.json()["charge"]["total"] == "0"
    assert key not in answer.text


@pytest.mark.parametrize("path", OPEN_PATHS)
def test_health_and_documentation_need_no_key(keyed_server: Server, path: str) -> None:
    assert keyed_server.client.get(path).status_code == 200


def test_events_need_a_key_where_keys_are(serve: Serve, entry: str, keys: dict[str, str]) -> None:
    key = keys["acme"]
    environ = KNATIVE | {"FARTHING_ACCESS": "keys", "FARTHING_KEYS": entry}
    server = serve(uvicorn("embed"), environ)
    event = {
        "ce-specversion": "1.0",
        "ce-id": "1",
        "ce-source": "/shop",
        "ce-type": "a",
        "content-type": "application/json",
    }
    refused = server.client.post("/", json={"input": TITLE}, headers=event)
    assert refused.status_code == 401
    event["authorization"] = f"Bearer {key}"
    assert server.client.post("/", json={"input": TITLE}, headers=event).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_public_address_without_keys_is_refused(models_dir: Path, host: str) -> None:
    command = farthing("serve", "--host", host, "--port", "0")
    ended = run_to_end(command, {"FARTHING_MODELS": str(models_dir)})
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"farthing: {host} can be reached from outside")
    assert "FARTHING_KEYS" in ended.stderr


@pytest.mark.parametrize(
    "wrong", ["k1=hunter2", "hunter2", "{entry},k2=hunter2", "{entry},{entry}", "hunter2{entry}="]
)
def test_a_wrong_entry_is_refused_and_not_repeated(
    models_dir: Path, entry: str, wrong: str
) -> None:
    environ = {
        "FARTHING_MODELS": str(models_dir),
        "FARTHING_KEYS": wrong.format(entry=entry),
    }
    ended = run_to_end(farthing("serve", "--port", "0"), environ)
    assert ended.returncode == 1
    assert "FARTHING_KEYS" in ended.stderr
    assert "Traceback" not in ended.stderr
    for secret in ("hunter2", entry):
        assert secret not in ended.stderr + ended.stdout
