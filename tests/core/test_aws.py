"""The light client signs as AWS's own does, and asks again exactly where that is safe."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.billing.stores import aws, credentials, open_store
from farthing.billing.stores.aws import DynamoDbClient, Refused
from farthing.billing.stores.credentials import Credentials, credentials_of
from farthing.errors import SettingsError, StoreUnavailable
from tests.functions.server import refusing_port
from tests.test_architecture import modules_after

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
THROTTLE = 400, {"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException"}
CONDITION = 400, {"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"}
BROKEN = 500, {"__type": "com.amazonaws.dynamodb.v20120810#InternalServerError"}
FINE = 200, {"Item": {}}
# A bound for a machine that is busy with other things; only silence is waited for in earnest.
PATIENCE_S = 60.0


@pytest.fixture(autouse=True, scope="module")
def patience() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        for module, bound in (
            (aws, "CONNECT_S_MAX"),
            (aws, "READ_S_MAX"),
            (credentials, "AGENT_S_MAX"),
        ):
            patched.setattr(module, bound, PATIENCE_S)
        yield


@settings(deadline=None, max_examples=60)
@given(
    body=st.binary(max_size=200),
    host=st.sampled_from(["dynamodb.eu-west-1.amazonaws.com", "127.0.0.1:8000"]),
    region=st.sampled_from(["eu-west-1", "cn-north-1"]),
    operation=st.sampled_from(["GetItem", "TransactWriteItems"]),
    token=st.sampled_from(["", "IQoJb3JpZ2luX2VjEXAMPLE//////////token=="]),
)
def test_a_signature_is_the_one_that_botocore_makes(
    body: bytes, host: str, region: str, operation: str, token: str
) -> None:
    target = f"DynamoDB_20120810.{operation}"
    credentials = Credentials(KEY.key_id, KEY.secret, token)
    moment = time.gmtime(1_795_325_400)
    at = time.strftime("%Y%m%dT%H%M%SZ", moment)
    ours = aws.signed_headers(host, target, body, region, credentials, at)
    headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": target}
    request = AWSRequest("POST", f"https://{host}/", headers=headers, data=body)
    signer = SigV4Auth(
        BotocoreCredentials(KEY.key_id, KEY.secret, token or None), "dynamodb", region
    )
    request.context["timestamp"] = at
    if token:
        request.headers["X-Amz-Security-Token"] = token
    request.headers["X-Amz-Date"] = at
    canonical = signer.canonical_request(request)
    expected = signer.signature(signer.string_to_sign(request, canonical), request)
    assert ours["authorization"].endswith(f"Signature={expected}")
    assert f"Credential={KEY.key_id}/{signer.credential_scope(request)}," in ours["authorization"]


class Scripted:
    """A server that answers as it was told: a status and body, "hang", or "drop"."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.bodies, self.connections = list(answers), [], 0
        self.done = threading.Event()

    @contextmanager
    def running(self) -> Iterator[DynamoDbClient]:
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                scripted.connections += 1
                super().setup()

            def do_POST(self) -> None:
                scripted.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                answer = scripted.answers.pop(0) if len(scripted.answers) > 1 else scripted.last()
                if answer == "hang":
                    scripted.done.wait(PATIENCE_S)
                if answer in ("hang", "drop"):
                    self.close_connection = True
                    return
                content = json.dumps(answer[1]).encode()
                self.send_response(answer[0])
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        client = DynamoDbClient("us-east-1", lambda: KEY, f"http://127.0.0.1:{server.server_port}")
        try:
            yield client
        finally:
            self.done.set()
            client.close()
            server.shutdown()
            socketserver.TCPServer.server_close(server)
            thread.join()

    def last(self) -> Any:
        return self.answers[0]


def test_a_connection_is_kept_for_the_next_request() -> None:
    server = Scripted(FINE)
    with server.running() as client:
        for _ in range(5):
            assert client.call("GetItem", TableName="t") == {"Item": {}}
    assert server.connections == 1


def test_threads_take_a_bounded_number_of_connections() -> None:
    server = Scripted(FINE)
    with server.running() as client:
        threads = [threading.Thread(target=client.call, args=("GetItem",)) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(server.bodies) == 40
    assert server.connections <= aws.CONNECTIONS_MAX


@pytest.mark.parametrize("first", [BROKEN, THROTTLE, (503, {}), "drop"])
def test_what_may_pass_is_asked_once_more_with_the_same_token(first: Any) -> None:
    server = Scripted(first, FINE)
    with server.running() as client:
        assert client.call("TransactWriteItems", TransactItems=[]) == {"Item": {}}
    assert len(server.bodies) == 2
    assert server.bodies[0] == server.bodies[1]
    assert len(json.loads(server.bodies[0])["ClientRequestToken"]) == 32


def test_every_transaction_has_a_token_of_its_own() -> None:
    server = Scripted(FINE)
    with server.running() as client:
        client.call("TransactWriteItems", TransactItems=[])
        client.call("TransactWriteItems", TransactItems=[])
    first, second = (json.loads(body)["ClientRequestToken"] for body in server.bodies)
    assert first != second


def test_a_connection_that_went_stale_is_replaced() -> None:
    server = Scripted(FINE, "drop", FINE)
    with server.running() as client:
        client.call("GetItem")
        assert client.call("GetItem") == {"Item": {}}
    assert server.connections == 2


@pytest.mark.parametrize(("answer", "code"), [(BROKEN, "InternalServerError"), ((502, []), "502")])
def test_what_stays_broken_is_told(answer: Any, code: str) -> None:
    server = Scripted(answer)
    with server.running() as client, pytest.raises(StoreUnavailable, match=code):
        client.call("GetItem")
    assert len(server.bodies) == 2


def test_a_refusal_is_not_asked_again() -> None:
    server = Scripted(CONDITION)
    with server.running() as client, pytest.raises(Refused) as refused:
        client.call("PutItem")
    assert refused.value.code == "ConditionalCheckFailedException"
    assert len(server.bodies) == 1


def test_silence_ends_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws, "READ_S_MAX", 0.2)
    server = Scripted("hang")
    with server.running() as client:
        with pytest.raises(StoreUnavailable, match="does not answer"):
            client.call("GetItem")
        # A server may come to a request after its client has gone.
        until_s = time.monotonic() + PATIENCE_S
        while len(server.bodies) < 2 and time.monotonic() < until_s:
            time.sleep(0.01)
    assert len(server.bodies) == 2


def test_nobody_there_is_told_without_the_address() -> None:
    with refusing_port() as port:
        client = DynamoDbClient("us-east-1", lambda: KEY, f"http://127.0.0.1:{port}")
        with pytest.raises(StoreUnavailable) as told:
            client.call("GetItem")
    assert "127.0.0.1" not in str(told.value)


def test_an_access_key_is_needed_and_never_shown() -> None:
    with pytest.raises(SettingsError, match="AWS_ACCESS_KEY_ID"):
        credentials_of({"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE"})
    role = {
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "s3cret",
        "AWS_SESSION_TOKEN": "t0ken",
    }
    assert credentials_of(role)() == Credentials("AKIDEXAMPLE", "s3cret", "t0ken")
    assert "s3cret" not in repr(credentials_of(role)())


def test_a_region_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    with pytest.raises(SettingsError, match="AWS_REGION"):
        open_store("dynamodb://ledger")


def test_a_cold_start_loads_no_sdk_and_no_http_before_it_asks() -> None:
    loaded = modules_after(
        "from farthing.billing.stores import open_store\n"
        "open_store('dynamodb://ledger?region=us-east-1')",
        AWS_ACCESS_KEY_ID="AKIDEXAMPLE",
        AWS_SECRET_ACCESS_KEY="s3cret",
    )
    assert not {"boto3", "botocore", "asyncio", "ssl", "http", "sqlalchemy", "numpy"} & loaded


class Agent(BaseHTTPRequestHandler):
    """Hands out the key that its server holds to whoever bears the token."""

    def do_GET(self) -> None:
        server: Any = self.server
        server.asked += 1
        allowed = self.headers["authorization"] == "open sesame"
        self.send_response(200 if allowed else 403)
        self.end_headers()
        if allowed:
            self.wfile.write(json.dumps(server.told).encode())

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""


@contextmanager
def agent(expiration: str) -> Iterator[tuple[Any, dict[str, str]]]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Agent) as server:
        held: Any = server
        held.asked = 0
        held.told = {
            "AccessKeyId": "AKIDAGENT",
            "SecretAccessKey": "s3cret",
            "Token": "t0ken",
            "Expiration": expiration,
        }
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/role"
        yield (
            server,
            {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": address,
                "AWS_CONTAINER_AUTHORIZATION_TOKEN": "open sesame",
            },
        )
        server.shutdown()


def test_a_snapshots_key_comes_from_its_agent_and_is_kept_while_it_lasts() -> None:
    with agent("2999-01-01T00:00:00Z") as (server, environ):
        key = credentials_of(environ)
        assert key() == key() == Credentials("AKIDAGENT", "s3cret", "t0ken")
        assert server.asked == 1


def test_a_key_that_is_about_to_end_is_asked_for_again() -> None:
    with agent("2001-01-01T00:00:00Z") as (server, environ):
        key = credentials_of(environ)
        assert key() == key()
        assert server.asked == 2


def test_an_agent_that_gives_none_leaves_the_store_unavailable() -> None:
    with agent("2999-01-01T00:00:00Z") as (_, environ):
        environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "wrong"
        with pytest.raises(StoreUnavailable, match="agent gives no AWS access key"):
            credentials_of(environ)()


@pytest.mark.parametrize("address", ["http://example.com/role", "file:///etc/passwd", "role"])
def test_a_key_is_not_fetched_from_just_anywhere(address: str) -> None:
    with pytest.raises(SettingsError, match="AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        credentials_of({"AWS_CONTAINER_CREDENTIALS_FULL_URI": address})
