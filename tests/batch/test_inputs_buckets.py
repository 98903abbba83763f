"""Files in buckets are read as those on disk are, against a stand-in of S3."""

from __future__ import annotations

import socket
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from farthing.batch.errors import InputChanged, InputInvalid
from farthing.batch.inputs import Reader, find_inputs, plan_shards, sources
from farthing.errors import StorageUnavailable
from tests.batch.files import ENDINGS, flat, job_of, read_all, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Bucket = Callable[[str], str]

PAIRS = [(str(row), f"text {row}") for row in range(2_000)]


@pytest.fixture
def client(moto_server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    return boto3.client("s3", endpoint_url=moto_server, region_name="us-east-1")


@pytest.fixture
def bucket(client: Any) -> str:
    name = f"b{uuid.uuid4().hex}"
    client.create_bucket(Bucket=name)
    return name


@pytest.fixture
def uri(bucket: str, moto_server: str) -> Bucket:
    return lambda key: f"s3://{bucket}/{key}?region=us-east-1&endpoint={moto_server}"


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address at which nobody answers, and nobody else begins to."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def put(client: Any, bucket: str, key: str, content: bytes) -> None:
    client.put_object(Bucket=bucket, Key=key, Body=content)


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_objects_rows_are_those_of_the_file(
    tmp_path: Path, client: Any, bucket: str, uri: Bucket, ending: str
) -> None:
    file = write(tmp_path / f"rows.{ending}", PAIRS)
    put(client, bucket, f"in/rows.{ending}", file.read_bytes())
    there = job_of(uri(f"in/rows.{ending}"), shard_rows=700)
    here = job_of(file, shard_rows=700)
    assert flat(read_all(there, 300)) == flat(read_all(here, 300))
    assert there.inputs[0].bytes == here.inputs[0].bytes
    assert there.inputs[0].uri == uri(f"in/rows.{ending}")


def test_a_pattern_finds_objects_with_their_etags(
    tmp_path: Path, client: Any, bucket: str, uri: Bucket
) -> None:
    content = write(tmp_path / "rows.csv", PAIRS).read_bytes()
    for key in ("in/b.csv", "in/a.csv", "in/deep/c.csv", "in/x.csv.gz", "in/100%+#.csv"):
        put(client, bucket, key, content)
    found = find_inputs([uri("in/*.csv")])
    assert [given.uri for given in found] == [
        uri("in/100%+#.csv"), uri("in/a.csv"), uri("in/b.csv")
    ]  # fmt: skip
    etag = client.head_object(Bucket=bucket, Key="in/a.csv")["ETag"].strip('"')
    assert {given.etag for given in found} == {etag}
    assert find_inputs([uri("in/a.csv")]) == found[1:2]
    assert len(flat(read_all(job_of(uri("in/100%+#.csv"), shard_rows=900), 900))) == len(PAIRS)


def test_an_object_that_is_put_again_has_changed_unless_its_bytes_are_the_same(
    tmp_path: Path, client: Any, bucket: str, uri: Bucket
) -> None:
    content = write(tmp_path / "rows.csv", PAIRS).read_bytes()
    put(client, bucket, "rows.csv", content)
    job = job_of(uri("rows.csv"), shard_rows=1_000)
    first, second = plan_shards(job).shards
    put(client, bucket, "rows.csv", content)
    with Reader(job) as reader:
        assert sum(len(rows.texts) for rows in reader.rows(first, 64)) == 1_000
        put(client, bucket, "rows.csv", content.replace(b"text", b"TEXT"))
        with pytest.raises(InputChanged, match=r"rows\.csv has changed since the job was planned"):
            list(reader.rows(second, 64))
    with Reader(job) as reader, pytest.raises(InputChanged):
        list(reader.rows(first, 64))
    client.delete_object(Bucket=bucket, Key="rows.csv")
    with Reader(job) as reader, pytest.raises(InputChanged):
        list(reader.rows(first, 64))


def test_an_open_object_gives_no_byte_of_the_one_put_in_its_place(
    tmp_path: Path,
    client: Any,
    bucket: str,
    uri: Bucket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # So little is read ahead that the rest must be asked for after the change.
    monkeypatch.setattr(sources, "AHEAD_BYTES", 1 << 10)
    content = write(tmp_path / "rows.csv", [(str(n), "text " * 99) for n in range(9_000)])
    put(client, bucket, "rows.csv", content.read_bytes())
    job = job_of(uri("rows.csv"), shard_rows=9_000)
    (shard,) = plan_shards(job).shards
    with Reader(job) as reader:
        rows = reader.rows(shard, 64)
        given = [next(rows)]
        put(client, bucket, "rows.csv", content.read_bytes().replace(b"text", b"TEXT"))
        with pytest.raises(InputChanged):
            given.extend(rows)
    assert len(given) < 9_000 / 64
    assert not any("TEXT" in text for window in given for text in window.texts)


def test_objects_that_are_not_there_are_refused(
    tmp_path: Path, client: Any, bucket: str, uri: Bucket, moto_server: str
) -> None:
    put(client, bucket, "in/rows.csv", write(tmp_path / "rows.csv", PAIRS).read_bytes())
    with pytest.raises(InputInvalid, match=rf"s3://{bucket}/in/none\.csv is not there"):
        find_inputs([uri("in/none.csv")])
    with pytest.raises(InputInvalid, match="no file matches it"):
        find_inputs([uri("in/*.jsonl")])
    with pytest.raises(InputInvalid, match=rf"is a directory.*'s3://{bucket}/in/\*\.csv'"):
        find_inputs([uri("in/")])
    absent = f"s3://absent{bucket}/rows.csv?region=us-east-1&endpoint={moto_server}"
    with pytest.raises(InputInvalid, match="is not there"):
        find_inputs([absent])


class Refusing(BaseHTTPRequestHandler):
    """Answers as S3 does to a key that it does not know, and repeats the key as it does."""

    def do_GET(self) -> None:
        body = b"<Error><Code>InvalidAccessKeyId</Code><Message>no testing-key</Message></Error>"
        self.send_response(403)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 (the handler's own names)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.mark.parametrize("key", ["rows.csv", "*.csv"])
def test_refused_credentials_are_told_without_them(client: Any, key: str) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        address = f"s3://bucket/{key}?region=r&endpoint=http://127.0.0.1:{server.server_port}"
        with pytest.raises(InputInvalid, match="may not be read with the credentials") as caught:
            find_inputs([address])
        server.shutdown()
        thread.join()
    assert "testing" not in str(caught.value)
    assert "endpoint" not in str(caught.value)


def test_missing_credentials_are_told(
    client: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nobody: str
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    address = f"s3://bucket/rows.csv?region=r&endpoint={nobody}"
    with pytest.raises(InputInvalid, match="Give it a key or a role"):
        find_inputs([address])


def test_a_store_that_does_not_answer_is_told(
    client: Any, monkeypatch: pytest.MonkeyPatch, nobody: str
) -> None:
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    address = f"s3://bucket/rows.csv?region=r&endpoint={nobody}"
    with pytest.raises(StorageUnavailable, match=r"s3://bucket/rows\.csv cannot be read now"):
        find_inputs([address])


def test_oss_is_read_through_its_s3_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, client: Any, bucket: str, moto_server: str
) -> None:
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "testing")
    put(client, bucket, "rows.csv", write(tmp_path / "rows.csv", PAIRS).read_bytes())
    job = job_of(
        f"oss://{bucket}/rows.csv?region=oss-cn-hangzhou&endpoint={moto_server}", shard_rows=900
    )
    assert len(flat(read_all(job, 900))) == len(PAIRS)
