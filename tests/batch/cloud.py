"""S3 and SQS for batch functions, by moto, and what a test looks at there."""

from __future__ import annotations

import json
import os
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import s3fs

from tests.search.buckets import s3_running

if TYPE_CHECKING:
    from collections.abc import Iterator

REGION = "us-east-1"
HEADER = "id,text\n"


class Cloud:
    """One endpoint of both; names are made up, so that tests do not meet."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.s3 = boto3.client("s3")
        self.sqs = boto3.client("sqs")

    def bucket(self) -> str:
        name = f"b{uuid.uuid4().hex}"
        self.s3.create_bucket(Bucket=name)
        return name

    def address(self, bucket: str, prefix: str) -> str:
        """What `open_storage` takes."""
        return f"s3://{bucket}/{prefix}?region={REGION}&endpoint={self.endpoint}"

    def put(self, bucket: str, key: str, content: str | bytes) -> dict[str, Any]:
        """Puts an object there; gives the record that S3 would send."""
        raw = content.encode() if isinstance(content, str) else content
        etag = self.s3.put_object(Bucket=bucket, Key=key, Body=raw)["ETag"].strip('"')
        return {
            "eventSource": "aws:s3",
            "awsRegion": REGION,
            "eventName": "ObjectCreated:Put",
            "s3": {
                "bucket": {"name": bucket},
                "object": {"key": key, "size": len(raw), "eTag": etag},
            },
        }

    def queue(self, *, fifo: bool = False, dead_letters: str = "", receives_max: int = 3) -> str:
        """The URL of a new queue; with a policy of its own where dead letters have a place."""
        attributes: dict[str, str] = {"VisibilityTimeout": "1"}
        if fifo:
            attributes["FifoQueue"] = "true"
        if dead_letters:
            policy = {
                "deadLetterTargetArn": self.arn(dead_letters),
                "maxReceiveCount": receives_max,
            }
            attributes["RedrivePolicy"] = json.dumps(policy)
        name = f"q{uuid.uuid4().hex}{'.fifo' if fifo else ''}"
        url: str = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        return url

    def arn(self, queue: str) -> str:
        found = self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
        arn: str = found["Attributes"]["QueueArn"]
        return arn

    def take_all(self, queue: str) -> list[dict[str, Any]]:
        """The messages there, which are gone then."""
        taken: list[dict[str, Any]] = []
        while True:
            found = self.sqs.receive_message(
                QueueUrl=queue,
                MaxNumberOfMessages=10,
                AttributeNames=["All"],
                MessageAttributeNames=["All"],
            ).get("Messages", [])
            if not found:
                return taken
            taken += found
            for message in found:
                self.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])

    def letters(self, queue: str) -> list[tuple[str, str]]:
        """The kind of error and the reason of each dead letter, which is gone then."""
        return [
            tuple(message["MessageAttributes"][name]["StringValue"] for name in ("error", "reason"))
            for message in self.take_all(queue)
        ]  # type: ignore[misc]


@contextmanager
def cloud_running() -> Iterator[Cloud]:
    """This process's environment, and so its children's, leads there."""
    with pytest.MonkeyPatch.context() as patch, s3_running() as endpoint:
        for name, value in variables(endpoint).items():
            patch.setenv(name, value)
        # Clients that are remembered would ask the endpoint of another test.
        s3fs.S3FileSystem.clear_instance_cache()
        yield Cloud(endpoint)
        s3fs.S3FileSystem.clear_instance_cache()


def variables(endpoint: str) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": endpoint,
    }


def aws_variables() -> dict[str, str]:
    """Those of this process, for a child."""
    return {name: os.environ[name] for name in variables("")}


class Context:
    """What Lambda's runtime tells of a call; `remaining_ms` may be changed on the way."""

    def __init__(self, remaining_ms: int = 600_000, request_id: str = "") -> None:
        self.aws_request_id = request_id or str(uuid.uuid4())
        self.remaining_ms = remaining_ms

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


def sqs_event(
    *bodies: Any, times: int = 1, arn: str = "arn:aws:sqs:us-east-1:1:q"
) -> dict[str, Any]:
    """What Lambda makes of messages; their ids are their places."""
    return {
        "Records": [
            {
                "messageId": f"m{place}",
                "receiptHandle": f"r{place}",
                "body": body if isinstance(body, str) else json.dumps(body),
                "attributes": {"ApproximateReceiveCount": str(times), "MessageGroupId": "g"},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": arn,
                "awsRegion": REGION,
            }
            for place, body in enumerate(bodies)
        ]
    }


def csv_of(rows: int, start: int = 0) -> str:
    """So many rows, no two alike."""
    things = ("usb c charger", "garden chair", "phone case", "coffee maker", "desk lamp")
    return HEADER + "".join(
        f"r{number},{things[number % 5]} number {number}\n" for number in range(start, start + rows)
    )


def entries_of(output: str) -> list[dict[str, Any]]:
    """The entries among a function's lines, as plain JSON, repeated ones too."""
    lines = [line for line in output.splitlines() if line.startswith("farthing1 [{")]
    return [json.loads(line.removeprefix("farthing1 "))[0] for line in lines]
