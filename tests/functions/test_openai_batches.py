"""OpenAI's own client sends files and batches to `farthing serve`, which may be killed."""

from __future__ import annotations

import json
import random
import time
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.functions.books import entries_of
from tests.functions.knative import KNATIVE
from tests.functions.server import farthing, run_to_end, uvicorn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx
    from openai.types import Batch

    from tests.conftest import Serve
    from tests.functions.server import Server

    Client = Callable[..., openai.OpenAI]

MODEL = "all-minilm-l6-v2"
EMBED, CLASSIFY = "/v1/embeddings", "/v1/classify"
SETTLED = {"completed", "failed", "cancelled", "expired"}
SETTLE_S = 300
ATTEMPTS = 5
WORDS = ["bosch", "beko", "fridge", "freezer", "washer", "tv", "186cm", "4k", "white", "steel"]


def titles(count: int, seed: int = 7) -> list[str]:
    chosen = random.Random(seed)
    return [" ".join(chosen.choices(WORDS, k=chosen.randint(2, 14))) for _ in range(count)]


def requests_of(texts: list[str]) -> bytes:
    lines = [
        {
            "custom_id": f"request-{number}",
            "method": "POST",
            "url": EMBED,
            "body": {"model": MODEL, "input": text},
        }
        for number, text in enumerate(texts)
    ]
    return "\n".join(map(json.dumps, lines)).encode()


def make_key(tenant: str, entry: str, state: Path, *options: str) -> str:
    environ = {"FARTHING_KEYS": entry, "XDG_STATE_HOME": str(state)}
    made = run_to_end(farthing("keys", "create", "--tenant", tenant, "--json", *options), environ)
    key: str = json.loads(made.stdout)["key"]
    return key


@pytest.fixture(scope="module")
def entry() -> str:
    return run_to_end(farthing("keys", "init"), {}).stdout.strip().removeprefix("FARTHING_KEYS=")


@pytest.fixture(scope="module")
def keys(entry: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    state = tmp_path_factory.mktemp("state")
    return {
        "acme": make_key("acme", entry, state),
        "bolt": make_key("bolt", entry, state),
        "classifier": make_key("acme", entry, state, "--scope", "classify"),
        "bookkeeper": make_key("acme", entry, state, "--scope", "usage"),
    }


@pytest.fixture(scope="module")
def server(serve_for_session: Serve, entry: str) -> Server:
    return serve_for_session(farthing("serve", "--port", "{port}"), {"FARTHING_KEYS": entry})


def client_of(server: Server, key: str = "unused") -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{server.url}/v1",
        api_key=key,
        max_retries=0,
        http_client=openai.DefaultHttpxClient(trust_env=False),
    )


@pytest.fixture
def client(server: Server, keys: dict[str, str]) -> Iterator[openai.OpenAI]:
    with client_of(server, keys["acme"]) as opened:
        yield opened


def begin(client: openai.OpenAI, content: bytes, endpoint: Any = EMBED) -> Batch:
    file = client.files.create(file=("requests.jsonl", content), purpose="batch")
    return client.batches.create(
        input_file_id=file.id,
        endpoint=endpoint,
        completion_window="24h",
        metadata={"night": "1"},
    )


def settled(client: openai.OpenAI, batch_id: str) -> Batch:
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline:
        batch = client.batches.retrieve(batch_id)
        if batch.status in SETTLED:
            return batch
        time.sleep(0.05)
    raise AssertionError(f"the batch is still {batch.status}")


def lines_of(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    assert file_id is not None
    return [json.loads(line) for line in client.files.content(file_id).text.splitlines()]


def status_of(raised: pytest.ExceptionInfo[openai.APIStatusError]) -> int:
    return raised.value.status_code


def test_a_batch_is_answered_as_the_same_calls_one_by_one(client: openai.OpenAI) -> None:
    texts = titles(40)
    batch = begin(client, requests_of(texts))
    assert (batch.object, batch.status, batch.metadata) == ("batch", "validating", {"night": "1"})
    done = settled(client, batch.id)
    assert done.status == "completed"
    assert done.request_counts is not None
    assert done.request_counts.to_dict() == {"total": 40, "completed": 40, "failed": 0}
    answers = lines_of(client, done.output_file_id)
    assert [one["custom_id"] for one in answers] == [f"request-{i}" for i in range(40)]
    for text, one in zip(texts, answers, strict=True):
        single = client.embeddings.create(model=MODEL, input=text, encoding_format="float")
        body = one["response"]["body"]
        assert body["data"][0]["embedding"] == single.data[0].embedding
        assert body["usage"]["prompt_tokens"] == single.usage.prompt_tokens
    told = done.to_dict()
    charged = sum(Fraction(one["response"]["body"]["charge"]["total"]) for one in answers)
    assert Fraction(told["charge"]["total"]) == charged > 0  # type: ignore[index]
    assert done.usage is not None
    assert done.usage.total_tokens == sum(
        one["response"]["body"]["usage"]["total_tokens"] for one in answers
    )


def test_files_are_listed_fetched_and_deleted(client: openai.OpenAI) -> None:
    content = requests_of(titles(3))
    files = [client.files.create(file=(f"{i}.jsonl", content), purpose="batch") for i in range(3)]
    listed = [file.id for file in client.files.list(limit=2, purpose="batch")]
    assert listed[:3] == [file.id for file in reversed(files)]
    found = client.files.retrieve(files[0].id)
    assert (found.filename, found.bytes, found.purpose) == ("0.jsonl", len(content), "batch")
    assert client.files.content(files[0].id).read() == content
    assert client.files.delete(files[0].id).deleted is True
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(files[0].id)


def test_batches_are_listed_page_by_page(client: openai.OpenAI) -> None:
    made = [begin(client, requests_of(titles(1))).id for _ in range(3)]
    listed = [batch.id for batch in client.batches.list(limit=2)]
    assert listed[:3] == list(reversed(made))
    assert len(listed) == len(set(listed))


def test_a_batch_that_is_cancelled_is_not_computed_to_its_end(client: openai.OpenAI) -> None:
    batch = begin(client, requests_of(titles(6000)))
    cancelled = client.batches.cancel(batch.id)
    assert cancelled.status in {"cancelling", "cancelled"}
    done = settled(client, batch.id)
    assert done.status == "cancelled"
    assert done.request_counts is not None
    assert done.request_counts.failed > 0
    undone = lines_of(client, done.error_file_id)
    assert len(undone) == done.request_counts.failed
    assert {one["error"]["code"] for one in undone} == {"batch_cancelled"}
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(batch.id)


def test_lines_that_are_wrong_fail_the_batch_and_are_named(client: openai.OpenAI) -> None:
    content = requests_of(titles(2)) + b"\nnot json\n" + requests_of(titles(1))
    done = settled(client, begin(client, content).id)
    assert done.status == "failed"
    assert done.errors is not None and done.errors.data is not None
    assert [(one.code, one.line) for one in done.errors.data] == [
        ("invalid_json_line", 3),
        ("duplicate_custom_id", 4),
    ]


def test_another_tenant_finds_nothing(
    client: openai.OpenAI, server: Server, keys: dict[str, str]
) -> None:
    batch = begin(client, requests_of(titles(1)))
    settled(client, batch.id)
    with client_of(server, keys["bolt"]) as other:
        assert list(other.files.list()) == []
        assert list(other.batches.list()) == []
        attempts: list[Callable[[], object]] = [
            lambda: other.batches.retrieve(batch.id),
            lambda: other.batches.cancel(batch.id),
            lambda: other.files.retrieve(batch.input_file_id),
            lambda: other.files.content(batch.input_file_id),
            lambda: other.files.delete(batch.input_file_id),
            lambda: other.batches.create(
                input_file_id=batch.input_file_id,
                endpoint="/v1/embeddings",
                completion_window="24h",
            ),
        ]
        for attempt in attempts:
            with pytest.raises(openai.NotFoundError):
                attempt()


def test_a_key_reaches_the_endpoints_of_its_scope(
    client: openai.OpenAI, server: Server, keys: dict[str, str]
) -> None:
    batch = begin(client, requests_of(titles(1)))
    with client_of(server, keys["classifier"]) as narrow:
        with pytest.raises(openai.PermissionDeniedError):
            begin(narrow, requests_of(titles(1)))
        with pytest.raises(openai.PermissionDeniedError):
            narrow.batches.retrieve(batch.id)
        assert begin(narrow, b"{}", CLASSIFY).status == "validating"
    with client_of(server, keys["bookkeeper"]) as none, pytest.raises(openai.PermissionDeniedError):
        none.files.list()
    with client_of(server) as stranger, pytest.raises(openai.AuthenticationError):
        stranger.files.list()


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"endpoint": "/v1/chat/completions"}, 422),
        ({"endpoint": "/v1/rerank"}, 422),
        ({"completion_window": "1h"}, 422),
        ({"input_file_id": "file-" + "0" * 44}, 404),
        ({"input_file_id": "../../bolt/file"}, 422),
        ({"metadata": {"k" * 65: "v"}}, 422),
        ({"metadata": {str(i): "v" for i in range(17)}}, 422),
        ({"stream": True}, 422),
    ],
)
def test_a_batch_that_cannot_be_is_refused_at_once(
    server: Server,
    keys: dict[str, str],
    client: openai.OpenAI,
    changes: dict[str, Any],
    status: int,
) -> None:
    file = client.files.create(file=("a.jsonl", b"{}"), purpose="batch")
    asked = {"input_file_id": file.id, "endpoint": EMBED, "completion_window": "24h"}
    answer = post(server, keys, "/v1/batches", json={**asked, **changes})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["charge"]["total"] == "0"


def post(server: Server, keys: dict[str, str], path: str, **options: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {keys['acme']}"}
    return server.client.post(path, headers=headers, **options)


def test_what_a_batch_came_to_is_no_file_for_a_batch(client: openai.OpenAI) -> None:
    done = settled(client, begin(client, requests_of(titles(1))).id)
    assert done.output_file_id is not None
    with pytest.raises(openai.UnprocessableEntityError, match="purpose"):
        client.batches.create(
            input_file_id=done.output_file_id, endpoint="/v1/embeddings", completion_window="24h"
        )


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"json": {"purpose": "batch"}}, 415),
        ({"content": b"x", "params": {"purpose": "batch"}}, 415),
        ({"data": {"purpose": "fine-tune"}, "files": {"file": ("a", b"{}")}}, 422),
        ({"data": {"purpose": "batch"}, "files": {"file": ("a", b"")}}, 422),
        ({"data": {"purpose": "batch"}, "files": {"other": ("a", b"{}")}}, 422),
        ({"files": {"file": ("a", b"{}")}}, 422),
    ],
)
def test_an_upload_that_is_none_is_refused(
    server: Server, keys: dict[str, str], options: dict[str, Any], status: int
) -> None:
    answer = post(server, keys, "/v1/files", **options)
    assert (answer.status_code, answer.json()["status"]) == (status, status)


def test_an_upload_that_is_too_large_is_refused_before_it_is_sent(
    server: Server, keys: dict[str, str]
) -> None:
    head = (
        f"POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {keys['acme']}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 200000000\r\n\r\n"
    )
    assert server.send_raw(head.encode()).status_code == 413


@pytest.mark.parametrize(
    "name", ["..%2F..%2Fetc%2Fpasswd", "file-%00", "batch_", "%2e%2e", "file-" + "F" * 44]
)
def test_a_trick_with_paths_names_nothing(server: Server, keys: dict[str, str], name: str) -> None:
    headers = {"Authorization": f"Bearer {keys['acme']}"}
    for kind in ("files", "batches"):
        for path in (f"/v1/{kind}/{name}", f"/v1/{kind}/{name}/content"):
            assert server.client.get(path, headers=headers).status_code in {404, 405, 422}


def test_where_nothing_is_kept_the_refusal_says_what_to_set(serve: Serve) -> None:
    server = serve(uvicorn("embed"), KNATIVE)
    answer = server.client.get("/v1/files")
    assert answer.status_code == 404
    assert "FARTHING_JOBS" in answer.json()["detail"]


def test_a_batch_whose_server_is_killed_is_finished_by_the_next_and_billed_once(
    serve: Serve, tmp_path: Path
) -> None:
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    texts = titles(3000)
    killed = serve(farthing("serve", "--port", "{port}"), state)
    with client_of(killed) as client:
        batch = begun(client, requests_of(texts))
    killed.process.kill()
    killed.process.wait()
    restarted = serve(farthing("serve", "--port", "{port}"), state)
    with client_of(restarted) as client:
        done = settled(client, batch.id)
        assert done.status == "completed"
        answers = lines_of(client, done.output_file_id)
        chosen = random.Random(3).sample(range(3000), 25)
        for number in chosen:
            single = client.embeddings.create(
                model=MODEL, input=texts[number], encoding_format="float"
            )
            body = answers[number]["response"]["body"]
            assert body["data"][0]["embedding"] == single.data[0].embedding
    assert [one["custom_id"] for one in answers] == [f"request-{i}" for i in range(3000)]
    restarted.terminate()
    kept = tmp_path / "state" / "farthing"
    entries = entries_of(f"sqlite:///{kept / 'ledger.db'}", kept / "spool")
    booked = sorted((one.number, one.tenant) for one in entries if one.writer == batch.id)
    assert booked == [(number, "local") for number in range(1, 4)]


def begun(client: openai.OpenAI, content: bytes) -> Batch:
    """A batch of which something is done and something is not."""
    for _ in range(ATTEMPTS):
        batch = begin(client, content)
        deadline = time.monotonic() + SETTLE_S
        while time.monotonic() < deadline:
            counts = client.batches.retrieve(batch.id).request_counts
            if counts is not None and counts.completed:
                break
            time.sleep(0.02)
        assert counts is not None and counts.completed
        if counts.completed < counts.total:
            return batch
    raise AssertionError("A batch is always done before it is looked at again.")
