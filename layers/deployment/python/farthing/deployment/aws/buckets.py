"""Buckets: closed to strangers, encrypted, kept when the stack goes, and without leftovers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from farthing.deployment.aws.wanted import (
    ABSENT,
    Rule,
    check_retained,
    exactly,
    hold,
    missing,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.aws.stack import Resource, Stack
    from farthing.deployment.findings import Finding

BUCKET = "AWS::S3::Bucket"
POLICY = "AWS::S3::BucketPolicy"
CLOSED = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
LIFECYCLE = "LifecycleConfiguration.Rules"


def check_closed(stack: Stack, bucket: Resource, what: str) -> Iterator[Finding]:
    """What holds for every bucket; `what` it holds is "the catalogue", say."""
    yield from hold(bucket, _rules(what))
    yield from check_retained(stack, bucket, what)
    yield from _over_tls(stack, bucket)
    if not any(
        1 <= days(it.get("AbortIncompleteMultipartUpload"), "DaysAfterInitiation") <= 7
        for it in lifecycle(bucket)
        if not {"Prefix", "TagFilters"} & it.keys()
    ):
        yield missing(
            f"Resources.{bucket.id}.{LIFECYCLE}",
            "No rule is so: what was never finished uploading is billed for ever, and shown by no "
            "list.",
            "Abort multipart uploads after a day.",
        )


def lifecycle(bucket: Resource) -> list[dict[str, Any]]:
    """The rules of its lifecycle that are on."""
    found = bucket.get(LIFECYCLE) or []
    return [it for it in found if isinstance(it, dict) and it.get("Status") == "Enabled"]


def days(part: Any, key: str) -> int:
    """The days that a part of a rule states under that key; 0 for none."""
    found = part.get(key) if isinstance(part, dict) else None
    return int(str(found)) if str(found).isdecimal() else 0


def _rules(what: str) -> Iterator[Rule]:
    for key in CLOSED:
        path = f"PublicAccessBlockConfiguration.{key}"
        yield Rule(path, exactly(True), f"{what} is nobody else's to read")
    yield Rule(
        "OwnershipControls.Rules",
        exactly([{"ObjectOwnership": "BucketOwnerEnforced"}]),
        "its policy alone says who may do what",
    )
    yield Rule(
        "BucketEncryption.ServerSideEncryptionConfiguration",
        exactly([{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]),
        "it lies encrypted, and a key of KMS is billed by the request",
    )
    yield Rule("BucketName", ABSENT, "a retained bucket would stand in the way of the next stack")


def _over_tls(stack: Stack, bucket: Resource) -> Iterator[Finding]:
    arn = f"arn:aws:s3:::{bucket.id}"
    wanted = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    statements = [
        it
        for policy in stack.of(POLICY)
        if policy.get("Bucket") == bucket.id and policy.get("PolicyDocument.Version")
        for it in policy.get("PolicyDocument.Statement") or []
    ]
    at = f"Resources.{bucket.id}"
    if wanted not in statements:
        says = "No policy refuses calls without TLS."
        yield missing(at, says, f"Add an {POLICY} that denies s3:* where aws:SecureTransport is.")
    if any(it.get("Effect") != "Deny" for it in statements):
        says = "Its policy lets somebody in; roles say who may."
        yield missing(at, says, "Take the statement out.")
