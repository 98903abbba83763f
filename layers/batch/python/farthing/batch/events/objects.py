"""Objects that arrived, as the storages tell of them.

| who tells | what | its keys are |
| --- | --- | --- |
| S3 | `{"eventName": "ObjectCreated:Put", "s3": {…}}` | URL-encoded, `+` for a space |
| S3 by EventBridge | `{"detail-type": "Object Created", "detail": {…}}` | as they are |
| OSS | `{"eventName": "ObjectCreated:PutObject", "oss": {…}}` | as they are |
| Cloud Storage | `{"bucket": …, "name": …}`, as a CloudEvent | as they are |

https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
https://help.aliyun.com/zh/functioncompute/fc/user-guide/formats-of-event-for-different-triggers
https://googleapis.github.io/google-cloudevents/examples/structured/storage/StorageObjectData-simple.json
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_plus

import msgspec

CREATED = "ObjectCreated:"


class ObjectEvent(msgspec.Struct, frozen=True):
    """An object that was put somewhere.

    What an event says of its etag and size is of that moment, and left unread: what counts is what
    lies there when it is looked for.
    """

    uri: str


def s3_object(record: dict[str, Any]) -> ObjectEvent | None:
    """The object of a notification's record; None where none was created.

    Raises `KeyError` or `TypeError` for what is no such record.
    """
    if CREATED not in record["eventName"]:
        return None
    bucket, thing = record["s3"]["bucket"], record["s3"]["object"]
    return ObjectEvent(f"s3://{bucket['name']}/{unquote_plus(thing['key'])}")


def s3_object_of_bus(event: dict[str, Any]) -> ObjectEvent | None:
    """The object of an EventBridge event; as `s3_object`."""
    if event["detail-type"] != "Object Created":
        return None
    detail = event["detail"]
    return ObjectEvent(f"s3://{detail['bucket']['name']}/{detail['object']['key']}")


def oss_object(record: dict[str, Any]) -> ObjectEvent | None:
    """The object of an OSS event; as `s3_object`."""
    if CREATED not in record["eventName"]:
        return None
    bucket, thing = record["oss"]["bucket"], record["oss"]["object"]
    return ObjectEvent(f"oss://{bucket['name']}/{thing['key']}")


def gcs_object(data: dict[str, Any]) -> ObjectEvent:
    """The object of a Cloud Storage event; raises as `s3_object` does."""
    return ObjectEvent(f"gs://{data['bucket']}/{data['name']}")
