"""What an event asks for, in whatever it comes: one file each, by its very key."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from farthing.batch.errors import JobInvalid
from farthing.batch.events.envelopes import JobAsked, ShardsAsked, WaitingAsked, work_in
from farthing.batch.events.objects import ObjectEvent

if TYPE_CHECKING:
    from collections.abc import Callable

BUCKET = "farthing-batchbucket-1a2b3c4d5e6f7"
KEY = "in/price list 2026.csv"
S3 = f"s3://{BUCKET}/{KEY}"


def body_of(event: dict[str, Any]) -> str:
    """What a server is sent, without its headers."""
    return event["body"] if "platform" in event else json.dumps(event)


@pytest.mark.parametrize(
    ("name", "uri"),
    [
        ("s3", S3),
        ("sns-s3", S3),
        ("sqs-s3", S3),
        ("sqs-sns-s3", S3),
        ("sqs-eventbridge-s3", S3),
        ("eventbridge-s3", S3),
        ("cloudevent-s3", S3),
        ("cloudevent-gcs", f"gs://farthing-batch/{KEY}"),
        ("fc-oss", f"oss://farthing-batch/{KEY}"),
        ("fc-eventbridge", f"oss://farthing-batch/{KEY}"),
        ("fc-mns", f"oss://farthing-batch/{KEY}"),
    ],
)
def test_every_way_leads_to_the_same_object(
    sample_event: Callable[[str, str], Any], name: str, uri: str
) -> None:
    assert work_in(body_of(sample_event("batch", name))) == [ObjectEvent(uri)]


def test_a_job_in_so_many_words_is_one(sample_event: Callable[[str, str], Any]) -> None:
    event = sample_event("batch", "cloudevent-job")
    data = json.loads(event["body"])
    (work,) = work_in(
        {"specversion": "1.0", "id": "1", "type": "farthing.batch.job.v1", "data": data}
    )
    assert work == JobAsked(
        inputs=(f"s3://{BUCKET}/in/*.parquet",),
        task="embed",
        text="title",
        id="sku",
        format="parquet",
    )


@pytest.mark.parametrize("name", ["sqs-fifo", "stepfunctions-items"])
def test_shards_are_asked_for_by_number(sample_event: Callable[[str, str], Any], name: str) -> None:
    works = work_in(sample_event("batch", name))
    assert all(isinstance(work, ShardsAsked) for work in works)
    numbers = [number for work in works if isinstance(work, ShardsAsked) for number in work.shards]
    assert numbers == {"sqs-fifo": [7, 8, 9, 10, 11], "stepfunctions-items": [7, 8]}[name]


PING = {"specversion": "1.0", "id": "1", "type": "dev.knative.sources.ping"}


@pytest.mark.parametrize("name", ["schedule", "fc-timer"])
def test_a_clock_asks_for_what_waits(sample_event: Callable[[str, str], Any], name: str) -> None:
    body = body_of(sample_event("batch", name))
    assert work_in(body) == [WaitingAsked()]
    # As a rule of EventBridge puts it into a queue.
    message = {"messageId": "1", "eventSource": "aws:sqs", "body": body}
    assert work_in({"Records": [message]}) == [WaitingAsked()]


@pytest.mark.parametrize("data", [{}, {"data": {}}, {"data": ""}, {"data": "text"}])
def test_a_ping_asks_for_what_waits_whatever_it_carries(data: dict[str, Any]) -> None:
    assert work_in(PING | data) == [WaitingAsked()]


def record(key: str, name: str = "ObjectCreated:Put") -> dict[str, Any]:
    return {"eventName": name, "s3": {"bucket": {"name": "b"}, "object": {"key": key}}}


def test_several_records_are_several_files_in_their_order() -> None:
    works = work_in({"Records": [record("a.csv"), record("%C3%A9%2Bt+1.csv")]})
    assert [work.uri for work in works if isinstance(work, ObjectEvent)] == [
        "s3://b/a.csv",
        "s3://b/é+t 1.csv",
    ]


def test_a_bus_does_not_encode_keys() -> None:
    detail = {"bucket": {"name": "b"}, "object": {"key": "a+b%20c.csv"}}
    (work,) = work_in({"detail-type": "Object Created", "detail": detail})
    assert isinstance(work, ObjectEvent)
    assert work.uri == "s3://b/a+b%20c.csv"


@pytest.mark.parametrize(
    "event",
    [
        {"Records": [record("a.csv", "ObjectRemoved:Delete")]},
        {"Records": [record("in/")]},
        {"Records": [record("a.csv", "s3:ObjectRemoved:DeleteMarkerCreated")]},
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"},
        {"detail-type": "Object Deleted", "detail": {}},
        {
            "specversion": "1.0",
            "id": "1",
            "type": "google.cloud.storage.object.v1.deleted",
            "data": {"bucket": "b", "name": "a.csv"},
        },
        {"Records": []},
        [],
    ],
)
def test_what_starts_nothing_is_no_work(event: Any) -> None:
    assert work_in(event) == []


def test_a_message_may_be_packed_in_base64() -> None:
    text = json.dumps({"Records": [record("a.csv")]})
    packed = base64.b64encode(text.encode()).decode()
    assert work_in({"Message": packed, "TopicName": "files"}) == work_in(text)


DEEP: Any = {"Message": json.dumps({"Records": [record("a.csv")]})}
for _ in range(9):
    DEEP = {"Message": json.dumps(DEEP)}


@pytest.mark.parametrize(
    "event",
    [
        None,
        7,
        "",
        "hello",
        "{}",
        {},
        {"inputs": ["a.csv"]},
        {"Records": "a.csv"},
        {"Records": [{"eventSource": "aws:kinesis", "kinesis": {}}]},
        {"Records": [{"eventName": "ObjectCreated:Put", "s3": {}}]},
        {"events": [{"eventName": "LogFileCreated", "eventSource": "cdn"}]},
        {"job": "out", "shards": 7},
        {"job": "out", "shards": ["7; rm"]},
        {"shards": [7]},
        {"BatchInput": {}, "Items": [1]},
        {"triggerTime": "2026-11-22T06:00:00Z", "payload": ""},
        {"specversion": "1.0", "id": "1", "type": "farthing.batch.job.v1", "data": {"inputs": 1}},
        {
            "specversion": "1.0",
            "id": "1",
            "type": "farthing.batch.job.v1",
            "data": {"inputs": ["s3://b/a.csv"], "tenant": "somebody-else"},
        },
        {"specversion": "1.0", "id": "1", "type": "com.example.sale", "data": {"amount": 3}},
        DEEP,
    ],
)
def test_what_nobody_understands_is_refused_with_what_is_understood(event: Any) -> None:
    with pytest.raises(JobInvalid, match=r"S3 or OSS .*farthing\.batch\.job\.v1.*shards"):
        work_in(event)


def test_a_refusal_repeats_nothing_of_the_event() -> None:
    with pytest.raises(JobInvalid) as refusal:
        work_in({"secret": "a customer's words"})
    assert "customer" not in str(refusal.value)
