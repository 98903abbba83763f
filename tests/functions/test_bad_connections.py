"""What no HTTP client would send: over bare sockets, and what the server makes of it."""

from __future__ import annotations

import json
import struct
import time
from contextlib import closing
from http.client import HTTPConnection
from socket import SO_LINGER, SOL_SOCKET
from typing import TYPE_CHECKING

import pytest

from tests.functions.server import LOOPBACK, REQUEST_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.functions.server import Server

MB = 1024 * 1024
TITLES = ["bosch fridge freezer 186cm", "sony alpha a7 iii body", "samsung ue55nu7100 tv"]
JSON = {"Content-Type": "application/json"}
LONG_TEXT = "stainless steel frost free fridge freezer 186cm " * 60


def post(body: bytes, path: str = "/v1/classify", length: int | None = None) -> bytes:
    """The bytes of a POST, its stated length true unless given."""
    stated = len(body) if length is None else length
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {stated}\r\n\r\n"
    ).encode() + body


def classify(title: str) -> bytes:
    return post(json.dumps({"inputs": title, "top_k": 1}).encode())


def assert_too_large(answer: httpx.Response) -> None:
    assert answer.status_code == 413
    assert answer.json()["type"] == "urn:farthing:problem:body-too-large"
    assert answer.json()["charge"]["total"] == "0"


def assert_answers(server: Server) -> None:
    answer = server.client.post("/v1/classify", json={"inputs": TITLES[0]})
    assert answer.status_code == 200


def test_a_body_too_large_by_its_stated_length_is_not_waited_for(local_server: Server) -> None:
    # Not one byte of the body follows, so an answer can only come of the header.
    answer = local_server.send_raw(post(b"", length=6 * MB + 1))
    assert_too_large(answer)
    assert_answers(local_server)


def test_a_connection_outlives_a_body_that_is_somewhat_too_large(local_server: Server) -> None:
    with closing(HTTPConnection(LOOPBACK, local_server.port, timeout=REQUEST_S)) as connection:
        connection.request("POST", "/v1/classify", b"a" * 7 * MB, JSON)
        refused = connection.getresponse()
        assert (refused.status, refused.getheader("connection")) == (413, None)
        refused.read()
        connection.request("GET", "/readyz")
        assert connection.getresponse().status == 200


def test_a_connection_that_a_huge_body_ends_is_said_to_end(local_server: Server) -> None:
    answer = local_server.send_raw(post(b"", length=17 * MB))
    assert_too_large(answer)
    assert answer.headers["connection"] == "close"


def test_a_body_that_grows_too_large_is_refused_on_the_way(local_server: Server) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'{"inputs": "'
        for _ in range(7):
            yield b"a" * MB
        yield b'"}'

    answer = local_server.client.post(
        "/v1/classify", content=chunks(), headers={"content-type": "application/json"}
    )
    assert_too_large(answer)
    assert_answers(local_server)


def test_a_body_in_chunks_is_read_whole(local_server: Server) -> None:
    body = json.dumps({"inputs": TITLES[0]}).encode()
    answer = local_server.client.post(
        "/v1/classify",
        content=iter([body[:5], body[5:6], body[6:]]),
        headers={"content-type": "application/json"},
    )
    whole = local_server.client.post("/v1/classify", content=body)
    assert answer.status_code == 200
    assert answer.json()["results"] == whole.json()["results"]


def test_requests_in_one_packet_are_answered_in_their_order(local_server: Server) -> None:
    expected = [
        local_server.client.post("/v1/classify", json={"inputs": title, "top_k": 1}).json()
        for title in TITLES
    ]
    with local_server.connect() as connection, connection.makefile("rb") as reader:
        connection.sendall(b"".join(map(classify, TITLES)))
        for answer in expected:
            assert reader.readline().startswith(b"HTTP/1.1 200 ")
            length = 0
            while (line := reader.readline().strip()) != b"":
                name, _, value = line.partition(b": ")
                if name.lower() == b"content-length":
                    length = int(value)
            assert json.loads(reader.read(length))["results"] == answer["results"]


@pytest.mark.parametrize("sent_bytes", [0, 20, 100, 10_000])
def test_a_client_that_goes_in_mid_request_leaves_the_server_answering(
    local_server: Server, sent_bytes: int
) -> None:
    request = post(json.dumps({"inputs": ["tv"] * 5_000}).encode())
    with local_server.connect() as connection:
        connection.sendall(request[:sent_bytes])
    assert_answers(local_server)


def test_a_client_that_goes_before_its_answer_leaves_the_server_answering(
    local_server: Server,
) -> None:
    body = json.dumps({"input": [LONG_TEXT] * 8, "encoding_format": "base64"}).encode()
    for _ in range(3):
        with local_server.connect() as connection:
            connection.sendall(post(body, "/v1/embeddings"))
            time.sleep(0.05)
            # Closing without lingering resets the connection under the server's answer.
            connection.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    # A slow machine may have too much to do until it has seen that they are gone.
    deadline_s = time.monotonic() + REQUEST_S
    while local_server.client.post("/v1/classify", json={"inputs": TITLES[0]}).status_code == 503:
        assert time.monotonic() < deadline_s, "The server has never room again."
        time.sleep(0.05)
    assert_answers(local_server)
    assert "Traceback" not in local_server.output


BROKEN_REQUESTS = {
    "no request line": b"\x00\x01\x02\r\n\r\n",
    "no HTTP version": b"POST /v1/classify\r\n\r\n",
    "two lengths": post(b"{}").replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n"),
    "a length below 0": post(b"{}", length=-1),
    "a length that is a word": post(b"{}").replace(b"Length: 2", b"Length: two"),
    "a length and chunks": post(b"{}").replace(b"Host:", b"Transfer-Encoding: chunked\r\nHost:"),
    "a chunk of no size": (
        b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    ),
    "a header without colon": b"GET /healthz HTTP/1.1\r\nHost localhost\r\n\r\n",
}


@pytest.mark.parametrize("name", BROKEN_REQUESTS)
def test_what_is_no_http_is_refused_and_its_connection_closed(
    local_server: Server, name: str
) -> None:
    with local_server.connect() as connection, connection.makefile("rb") as reader:
        connection.sendall(BROKEN_REQUESTS[name])
        status_line = reader.readline()
        assert status_line.startswith(b"HTTP/1.1 400 "), status_line
        # Whatever came after the broken part must not be taken for a request of its own.
        assert b"HTTP/1.1 " not in reader.read()
    assert_answers(local_server)
