"""Buckets as storage: what S3's stand-in and OSS's keep, and what is said when they do not."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials

from farthing.billing.stores.credentials import Credentials
from farthing.billing.stores.signing import AWS, OSS, Signer, canonical_query
from farthing.errors import (
    FileArchived,
    FileMissing,
    PublishConflict,
    SettingsError,
    StorageUnavailable,
)
from farthing.storage import client as client_module
from farthing.storage import open_storage
from tests.core.test_storage import COUNTER, RUN_S_MAX
from tests.search import oss
from tests.search.buckets import new_bucket, s3_running
from tests.test_architecture import modules_after

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farthing.storage import Storage


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    with s3_running() as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def stand_in() -> Iterator[oss.Oss]:
    with oss.Oss().running() as running:
        yield running


@pytest.fixture(params=["s3", "oss"])
def storage(request: Any, s3_endpoint: str, stand_in: oss.Oss) -> Storage:
    if request.param == "s3":
        return open_storage(new_bucket(s3_endpoint))
    stand_in.objects.clear()
    stand_in.age_s = 0.0
    address = f"oss://shop-index/shop?region=cn-hangzhou&endpoint={stand_in.endpoint}"
    return open_storage(address, oss.ENVIRON)


def test_what_is_written_is_read_listed_and_deleted(storage: Storage, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(range(256)) * 20_000)
    etag = storage.write("segments/s1/words.bin", source)
    assert storage.etag("segments/s1/words.bin") == etag
    assert storage.read("segments/s1/words.bin") == source.read_bytes()
    assert b"".join(storage.stream("segments/s1/words.bin", 5_119_999)) == b"\xff"
    assert list(storage.stream("segments/s1/words.bin", 5_120_000)) == []
    storage.fetch("segments/s1/words.bin", tmp_path / "deep" / "copy")
    assert (tmp_path / "deep" / "copy").read_bytes() == source.read_bytes()
    for name in ("manifest.json", "segments/s2/a", "segments/s1/empty"):
        storage.write(name, b"")
    assert storage.read("manifest.json") == b""
    names = ["manifest.json", "segments/s1/empty", "segments/s1/words.bin", "segments/s2/a"]
    assert list(storage.names()) == names
    assert list(storage.names("segments/s1/")) == names[1:3]
    storage.delete("manifest.json")
    storage.delete("manifest.json")
    assert storage.etag("manifest.json") is None
    with pytest.raises(FileMissing, match=r"shop/manifest\.json is not there"):
        storage.read("manifest.json")


def test_a_write_that_expects_something_else_changes_nothing(storage: Storage) -> None:
    first = storage.write("manifest.json", b"1", expect=None)
    with pytest.raises(PublishConflict, match="another writer was first"):
        storage.write("manifest.json", b"2", expect=None)
    second = storage.write("manifest.json", b"2", expect=first)
    for stale in (first, "0" * 32):
        with pytest.raises(PublishConflict):
            storage.write("manifest.json", b"3", expect=stale)
    with pytest.raises(PublishConflict):
        storage.write("other.json", b"3", expect=first)
    assert (storage.read("manifest.json"), storage.etag("manifest.json")) == (b"2", second)
    assert list(storage.names()) == ["manifest.json"]


def test_a_writer_that_was_killed_keeps_oss_locked_for_a_minute(stand_in: oss.Oss) -> None:
    address = f"oss://shop-index/shop?region=cn-hangzhou&endpoint={stand_in.endpoint}"
    storage = open_storage(address, oss.ENVIRON)
    stand_in.objects.clear()
    etag = storage.write("manifest.json", b"1")
    lock = {"body": b"held", "class": "Standard", "restored": False}
    stand_in.objects["/shop-index/shop/.lock/manifest.json"] = lock
    stand_in.age_s = 50.0
    with pytest.raises(PublishConflict):
        storage.write("manifest.json", b"2", expect=etag)
    stand_in.age_s = 70.0
    storage.write("manifest.json", b"2", expect=etag)
    assert set(stand_in.objects) == {"/shop-index/shop/manifest.json"}


def test_threads_that_count_together_lose_no_count_in_oss(stand_in: oss.Oss) -> None:
    address = f"oss://shop-index/shop?region=cn-hangzhou&endpoint={stand_in.endpoint}"
    stand_in.objects.clear()
    stand_in.age_s = 0.0
    open_storage(address, oss.ENVIRON).write("count", b"0")

    def count() -> None:
        storage = open_storage(address, oss.ENVIRON)
        for _ in range(10):
            while True:
                etag = storage.etag("count")
                value = int(storage.read("count"))
                try:
                    storage.write("count", str(value + 1).encode(), expect=etag)
                    break
                except PublishConflict:
                    time.sleep(0.002)

    threads = [threading.Thread(target=count) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert open_storage(address, oss.ENVIRON).read("count") == b"30"


def test_processes_that_count_together_lose_no_count_in_s3(s3_endpoint: str) -> None:
    address = new_bucket(s3_endpoint)
    open_storage(address).write("count", b"0")
    code = COUNTER.replace("LocalStorage(Path(sys.argv[1]))", "open_storage(sys.argv[1])").replace(
        "import LocalStorage", "import open_storage"
    )
    command = [sys.executable, "-c", code, address, "10"]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(RUN_S_MAX) for process in processes] == [0] * 3
    assert open_storage(address).read("count") == b"30"


def test_an_archived_file_is_told_in_one_sentence(s3_endpoint: str) -> None:
    address = new_bucket(s3_endpoint)
    bucket = address.split("/")[2]
    boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1").put_object(
        Bucket=bucket, Key="shop/words.bin", Body=b"x", StorageClass="DEEP_ARCHIVE"
    )
    with pytest.raises(FileArchived, match=r"words\.bin lies in S3's archive.*up to 12 hours"):
        open_storage(address).read("words.bin")


def test_a_bucket_that_is_not_there_is_told(s3_endpoint: str) -> None:
    storage = open_storage(f"s3://no-such-bucket/shop?region=us-east-1&endpoint={s3_endpoint}")
    with pytest.raises(StorageUnavailable, match=r"refuses .* \(NoSuchBucket\)"):
        storage.read("manifest.json")
    with pytest.raises(StorageUnavailable, match="NoSuchBucket"):
        list(storage.names())


@pytest.mark.parametrize(
    ("address", "environ", "says"),
    [
        ("s3://bucket/shop", {}, "names no bucket in a region"),
        ("s3:///shop?region=eu-west-1", {}, "names no bucket in a region"),
        ("s3://bucket?region=eu-west-1", {}, "What lies in S3 needs AWS_ACCESS_KEY_ID"),
        ("oss://bucket?region=cn-hangzhou", {}, "What lies in OSS needs ALIBABA_CLOUD_ACCESS"),
        ("oss://bucket", oss.ENVIRON, r"Use oss://BUCKET/PREFIX\?region=REGION"),
    ],
)
def test_an_address_that_cannot_be_asked_is_refused(
    address: str, environ: dict[str, str], says: str
) -> None:
    with pytest.raises(SettingsError, match=says):
        open_storage(address, environ)


@contextmanager
def saying(*answers: bytes) -> Iterator[tuple[Storage, list[str]]]:
    """Storage behind a server that gives these answers in turn, and hangs up after each."""
    left, asked = list(answers), []

    class Handler(http.server.BaseHTTPRequestHandler):
        def handle(self) -> None:
            request = self.rfile.readline().decode()
            length, again = 0, ""
            while line := self.rfile.readline().decode().strip().lower():
                length = int(line[16:]) if line.startswith("content-length: ") else length
                again = line if line.startswith("range: ") else again
            self.rfile.read(length)
            asked.append(f"{request.split(' ')[0]} {again}".strip())
            self.wfile.write(left.pop(0) if left else b"")

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    address = f"s3://bucket/shop?region=us-east-1&endpoint=http://127.0.0.1:{server.server_port}"
    key = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secretEXAMPLE"}
    try:
        yield open_storage(address, key), asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "PAUSE_S", 0.0)


BUSY = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
TEN = b'HTTP/1.1 200 OK\r\nETag: "e"\r\nConnection: close\r\nContent-Length: 10\r\n\r\n'
REST = b'HTTP/1.1 206 OK\r\nETag: "e"\r\nConnection: close\r\nContent-Length: 6\r\n\r\n456789'
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    b"4\r\n0123\r\n6;x=y\r\n456789\r\n0\r\n\r\n"
)
WRITTEN = b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'
PRESENT = b"HTTP/1.1 412 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.mark.usefixtures("no_pauses")
def test_a_busy_or_silent_service_is_asked_again_and_not_for_ever() -> None:
    with saying(BUSY, b"", TEN + b"0123456789") as (storage, asked):
        assert storage.read("manifest.json") == b"0123456789"
        assert asked == ["GET"] * 3
    with saying(BUSY, BUSY, BUSY, BUSY) as (storage, asked):
        with pytest.raises(StorageUnavailable, match=r"HTTP 503"):
            storage.read("manifest.json")
        assert len(asked) == client_module.ATTEMPTS_MAX
    with saying() as (storage, asked):
        with pytest.raises(StorageUnavailable, match="S3 does not answer") as refused:
            storage.etag("manifest.json")
        assert len(asked) == client_module.ATTEMPTS_MAX
        assert "secretEXAMPLE" not in str(refused.value)


@pytest.mark.usefixtures("no_pauses")
def test_a_file_whose_connection_is_lost_goes_on_where_it_was() -> None:
    with saying(TEN + b"0123", REST) as (storage, asked):
        assert storage.read("words.bin") == b"0123456789"
        assert asked == ["GET", "GET range: bytes=4-"]
    with saying(CHUNKED) as (storage, _):
        assert storage.read("words.bin") == b"0123456789"


@pytest.mark.usefixtures("no_pauses")
def test_a_write_whose_answer_was_lost_is_not_taken_for_another_s() -> None:
    mine = TEN + b"0123456789"
    with saying(b"", PRESENT, WRITTEN, mine) as (storage, asked):
        assert storage.write("manifest.json", b"0123456789", expect="old") == "e"
        assert asked == ["PUT", "PUT", "HEAD", "GET"]
    with saying(b"", PRESENT, WRITTEN, mine) as (storage, _), pytest.raises(PublishConflict):
        storage.write("manifest.json", b"something else", expect="old")


@pytest.mark.parametrize("token", ["", "IQoJb3JpZ2luX2VjEXAMPLE//////////token=="])
@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("GET", "/shop/a%20b/manifest.json", {}),
        ("GET", "/", {"list-type": "2", "prefix": "shop/ä", "encoding-type": "url"}),
        ("POST", "/shop/words.bin", {"restore": ""}),
    ],
)
def test_a_signature_is_the_one_that_botocore_makes(
    method: str, path: str, query: dict[str, str], token: str
) -> None:
    at, host = "20261122T050000Z", "bucket.s3.eu-west-1.amazonaws.com"
    asked = canonical_query(query, AWS)
    request = AWSRequest(method, f"https://{host}{path}?{asked}".rstrip("?"), data=b"body")
    signer = S3SigV4Auth(
        BotocoreCredentials("AKIDEXAMPLE", "secret", token or None), "s3", "eu-west-1"
    )
    request.context["timestamp"] = at
    request.headers["X-Amz-Date"] = at
    if token:
        request.headers["X-Amz-Security-Token"] = token
    payload = request.headers["X-Amz-Content-SHA256"] = signer.payload(request)
    expected = signer.signature(
        signer.string_to_sign(request, signer.canonical_request(request)), request
    )
    headers = {name.lower(): value for name, value in request.headers.items()}
    ours = Signer(AWS, "s3", "eu-west-1").authorization(
        Credentials("AKIDEXAMPLE", "secret", token),
        at,
        method,
        path,
        asked,
        {**headers, "host": host, "range": "bytes=1-"},
        payload,
    )
    assert ours.endswith(f"Signature={expected}")


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "token", "signature"),
    [
        (
            "PUT",
            "/shop-index/a%20b/manifest.json",
            {},
            {"x-oss-forbid-overwrite": "true"},
            "",
            "8bbe9239c2870586d81abd261c9312c8c25b9bb4560a08e99ec5cebe03c6f2a0",
        ),
        (
            "POST",
            "/shop-index/archive/s1/words.bin",
            {"restore": ""},
            {"content-type": "application/xml"},
            "TOKEN",
            "3a38ab91b908a32f14ae065817b098cad7e5dab057341d5c5c67331a690ac546",
        ),
        (
            "GET",
            "/shop-index/",
            {"prefix": "shop/", "list-type": "2", "encoding-type": "url"},
            {},
            "",
            "5db294a49e2c46f5ca4c4cbbfd88fdca7ddb0431459deef2b22edc6b82dfa555",
        ),
    ],
)
def test_a_signature_is_the_one_that_oss_s_own_client_makes(
    method: str,
    path: str,
    query: dict[str, str],
    headers: dict[str, str],
    token: str,
    signature: str,
) -> None:
    """The signatures were made with alibabacloud-oss-v2 1.4.1."""
    at = "20261122T050000Z"
    sent = {
        **headers,
        "host": "shop-index.oss-cn-hangzhou.aliyuncs.com",
        "x-oss-date": at,
        "x-oss-content-sha256": "UNSIGNED-PAYLOAD",
    }
    if token:
        sent["x-oss-security-token"] = token
    made = Signer(OSS, "oss", "cn-hangzhou").authorization(
        Credentials("LTAIEXAMPLE", "secretEXAMPLE", token),
        at,
        method,
        path,
        canonical_query(query, OSS),
        sent,
        "UNSIGNED-PAYLOAD",
    )
    assert made == (
        "OSS4-HMAC-SHA256 Credential=LTAIEXAMPLE/20261122/cn-hangzhou/oss/aliyun_v4_request,"
        f"AdditionalHeaders=host,Signature={signature}"
    )


def test_a_bucket_is_read_without_boto3_and_its_like() -> None:
    code = "from farthing.storage import buckets; import farthing.search.local_copy"
    loaded = modules_after(code)
    assert not loaded & {"boto3", "botocore", "urllib3", "requests", "http", "ssl", "numpy"}
