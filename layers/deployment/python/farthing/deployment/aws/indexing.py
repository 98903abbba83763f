"""The index in a bucket: who may read it, what becomes of what is old, and its one writer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from farthing.deployment.aws.buckets import (
    BUCKET,
    LIFECYCLE,
    check_closed,
    days,
    lifecycle,
)
from farthing.deployment.aws.names import BATCH_BUCKET, INDEXER, SEARCH, deployed
from farthing.deployment.aws.scheduled import check_rule, check_schedule, rules_of
from farthing.deployment.aws.stack import REGION
from farthing.deployment.aws.wanted import (
    ABSENT,
    Rule,
    between,
    exactly,
    hold,
    missing,
    one_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.aws.stack import Resource, Stack
    from farthing.deployment.findings import Finding

VARIABLE = "Environment.Variables."
# What search appends to its queue, and where old versions are put away.
WRITES, ARCHIVE = "writes/", "archive/"
FREE_DISK_MB = 512
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-class-intro.html (2026-08)
DEEP_ARCHIVE, BILLED_DAYS_MIN = "DEEP_ARCHIVE", 180


def check_indexing(stack: Stack) -> Iterator[Finding]:
    """With Index bucket there is a bucket with one writer; with sample there is none."""
    buckets = [it for it in stack.of(BUCKET) if it.id != BATCH_BUCKET]
    if len(buckets) != stack.with_bucket:
        yield missing(
            "Resources",
            f"Index is {stack.parameters.get('Index')}, and there are {len(buckets)} buckets.",
            "Keep one bucket, under the condition of that parameter.",
        )
        return
    address = f"s3://{buckets[0].id}?region={REGION}" if buckets else None
    for bucket in buckets:
        yield from check_closed(stack, bucket, "the catalogue")
        yield from hold(bucket, _kept())
        yield from _lifecycle(stack, bucket)
        if address not in stack.outputs.values():
            yield missing("Outputs", "No output gives the index's address.", "Add it.")
    search, indexer = stack.function(SEARCH), stack.function(INDEXER)
    if search is not None:
        yield from hold(search, _search(stack, address))
    if indexer is not None and address is not None:
        yield from hold(indexer, _indexer(stack, address))
        why = "what a run left behind waits for it"
        yield from check_schedule(stack, indexer, INDEXER, why)
        yield from _writes(stack, buckets[0])


def _kept() -> Iterator[Rule]:
    yield Rule(
        "VersioningConfiguration.Status", exactly("Enabled"), "what was deleted by mistake is lost"
    )
    yield Rule(
        "NotificationConfiguration.EventBridgeConfiguration.EventBridgeEnabled",
        exactly(True),
        "the indexer hears of writes by EventBridge",
    )


def _lifecycle(stack: Stack, bucket: Resource) -> Iterator[Finding]:
    rules = lifecycle(bucket)
    everywhere = [it for it in rules if not {"Prefix", "TagFilters"} & it.keys()]
    moved_days = stack.parameters.get("ArchiveAfterDays")
    put_away = {"StorageClass": DEEP_ARCHIVE, "TransitionInDays": moved_days}
    wanted = [
        (
            any(
                it.get("Prefix") == ARCHIVE and it.get("Transitions") == [put_away] for it in rules
            ),
            f"what is below {ARCHIVE} stays in the dearest class",
            f"Move it to {DEEP_ARCHIVE} after ArchiveAfterDays.",
        ),
        (
            any(it.get("NoncurrentVersionTransitions") == [put_away] for it in everywhere),
            "replaced versions stay in the dearest class",
            f"Move them to {DEEP_ARCHIVE} after ArchiveAfterDays.",
        ),
        (
            any(_expires_late(it, moved_days) for it in everywhere),
            f"replaced versions go before {DEEP_ARCHIVE}'s {BILLED_DAYS_MIN} days, or never",
            "Let them expire, and their markers, after 365 days.",
        ),
    ]
    for holds, says, do in wanted:
        if not holds:
            yield missing(f"Resources.{bucket.id}.{LIFECYCLE}", f"No rule is so: {says}.", do)
    if any("ExpirationInDays" in it or "ExpirationDate" in it for it in rules):
        says = "A rule deletes what the index is made of."
        yield missing(f"Resources.{bucket.id}.{LIFECYCLE}", says, "Take its expiration out.")


def _expires_late(rule: dict[str, Any], moved_days: Any) -> bool:
    gone = days(rule.get("NoncurrentVersionExpiration"), "NoncurrentDays")
    moved = int(moved_days) if str(moved_days).isdecimal() else 0
    return gone >= moved + BILLED_DAYS_MIN and rule.get("ExpiredObjectDeleteMarker") is True


def _search(stack: Stack, address: str | None) -> Iterator[Rule]:
    chosen = f"Index is {stack.parameters.get('Index')}"
    yield Rule(f"{VARIABLE}FARTHING_INDEX", exactly(address) if address else ABSENT, chosen)
    yield Rule(
        f"{VARIABLE}FARTHING_INDEX_WRITES",
        exactly("queue") if address else one_of(None, "off"),
        f"{chosen}, and an instance that publishes by itself would be one writer of many",
    )
    disk_mb = stack.parameters.get("IndexDiskMb") if address and stack.profile != "cpu" else None
    yield from _disk(disk_mb)


def _indexer(stack: Stack, address: str) -> Iterator[Rule]:
    yield Rule(f"{VARIABLE}FARTHING_INDEX", exactly(address), "it publishes the stack's own index")
    yield from _disk(stack.parameters.get("IndexDiskMb"))
    yield Rule("ReservedConcurrentExecutions", exactly(1), "an index has one writer at a time")
    yield Rule("ProvisionedConcurrencyConfig", ABSENT, "nobody waits for it")
    yield Rule("FunctionUrlConfig", ABSENT, "nobody calls it")
    yield Rule("Timeout", between(60, 900), "a cut-off run begins again")


def _disk(disk_mb: Any) -> Iterator[Rule]:
    given = exactly(disk_mb) if disk_mb else ABSENT
    why = "IndexDiskMb is the disk" if disk_mb else f"{FREE_DISK_MB} MB are there without it"
    yield Rule("EphemeralStorage.Size", given, why)
    yield Rule(f"{VARIABLE}FARTHING_DISK_MB", given, f"{why}, and part of the price")


def _writes(stack: Stack, bucket: Resource) -> Iterator[Finding]:
    """An object below writes/ calls the indexer."""
    wanted = {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [bucket.id]}, "object": {"key": [{"prefix": WRITES}]}},
    }
    rules = [it for it in rules_of(stack, INDEXER) if it.get("EventPattern") == wanted]
    if not rules:
        yield missing(
            "Resources",
            f"No rule calls the alias of {deployed(INDEXER)} when an object comes below {WRITES}.",
            "Add an AWS::Events::Rule on Object Created of that bucket, with that prefix.",
        )
    for rule in rules:
        yield from check_rule(stack, rule, INDEXER)
