"""Batch jobs: a bucket whose files are scored, the queue between, and what fails for good."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from farthing.deployment.aws.buckets import (
    BUCKET,
    LIFECYCLE,
    check_closed,
    days,
    lifecycle,
)
from farthing.deployment.aws.intrinsics import ACCOUNT
from farthing.deployment.aws.names import (
    BATCH,
    BATCH_BUCKET,
    CLASSIFY,
    EMBED,
    PLACE,
    QUEUE,
    STATE_MACHINE,
    alias_arn,
    queue_arn,
    queue_url,
)
from farthing.deployment.aws.scheduled import check_schedule
from farthing.deployment.aws.stack import REGION
from farthing.deployment.aws.wanted import (
    ABSENT,
    Rule,
    Wanted,
    between,
    exactly,
    hold,
    missing,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.aws.stack import Resource, Stack
    from farthing.deployment.findings import Finding

MAPPING = "AWS::Lambda::EventSourceMapping"
VARIABLE = "Environment.Variables.FARTHING_"
# Where files, requests that can wait and batches of those arrive; what is kept for a time, and
# where Step Functions keeps its own account.
ARRIVES = ("in/", "jobs/in/", "jobs/batches/in/")
KEPT, MAP = "jobs/", "map/"
CREATED = "s3:ObjectCreated:*"
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html (2026-08): the queue
# hides a message six times as long as a call may take, and lets it be tried five times.
HIDDEN_CALLS, RECEIVES = 6, between(5, 20)
# More at once would need a window to wait in, and a call that ends early gives more back.
MESSAGES = between(1, 10)
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
AT_ONCE = between(2, 100)


def check_batch(stack: Stack) -> Iterator[Finding]:
    """With Batch on there are a bucket, a queue and what works it off; with off, nothing."""
    bucket = next((it for it in stack.of(BUCKET) if it.id == BATCH_BUCKET), None)
    yield from _only_with_batch(stack)
    for name in (CLASSIFY, EMBED):
        function = stack.function(name)
        if function is not None:
            yield from hold(function, _kept(stack, bucket))
    function = stack.function(BATCH)
    if not stack.with_batch or function is None:
        return
    queue = next((it for it in stack.of(QUEUE) if it.get("RedrivePolicy")), None)
    if bucket is None or queue is None:
        says = "Batch is on, and there is no bucket, or no queue whose failures go to another."
        yield missing("Resources", says, f"Restore {BATCH_BUCKET} and BatchQueue.")
        return
    yield from check_closed(stack, bucket, "what was scored")
    yield from _lifecycle(stack, bucket)
    yield from _notifications(stack, bucket, queue)
    yield from hold(queue, _queue(stack, function))
    yield from hold(function, [*_kept(stack, bucket), *_function(stack, bucket, queue)])
    yield from _mapping(stack, queue)
    yield from check_schedule(stack, function, BATCH, "webhooks that failed wait for it")
    yield from _told(stack, bucket, queue)


def dead_letters(queue: Resource) -> str:
    """The ARN of where a queue's failures go; "" where they go nowhere."""
    return str(queue.get("RedrivePolicy.deadLetterTargetArn") or "")


def _only_with_batch(stack: Stack) -> Iterator[Finding]:
    found = [
        *(it for it in stack.of(BUCKET) if it.id == BATCH_BUCKET),
        *(it for it in stack.of(QUEUE) if it.get("RedrivePolicy")),
        *stack.of(MAPPING),
        *stack.of(STATE_MACHINE),
    ]
    for resource in found if not stack.with_batch else ():
        says = "Batch is off, and it is there all the same."
        yield missing(f"Resources.{resource.id}.Condition", says, "Give it that parameter's.")


def _kept(stack: Stack, bucket: Resource | None) -> Iterator[Rule]:
    """What those that take requests and the one that answers them later have in common."""
    batch = f"Batch is {stack.parameters.get('Batch')}"
    address = _address(bucket, "jobs") if bucket and stack.with_batch else None
    yield Rule(f"{VARIABLE}JOBS", exactly(address) if address else ABSENT, batch)
    secret = stack.parameters.get("WebhookSecret") if stack.with_batch else None
    signs = exactly(f"{{{{resolve:secretsmanager:{secret}}}}}") if secret else ABSENT
    yield Rule(f"{VARIABLE}WEBHOOK_SECRET", signs, f"{batch}, and WebhookSecret names the secret")


def _function(stack: Stack, bucket: Resource, queue: Resource) -> Iterator[Rule]:
    for variable, parameter in (
        ("BATCH_TASK", "BatchTask"),
        ("BATCH_TEXT", "BatchText"),
        ("BATCH_ID", "BatchId"),
        ("BATCH_FORMAT", "BatchFormat"),
    ):
        given = stack.parameters.get(parameter)
        wanted = exactly(given) if given else ABSENT
        yield Rule(VARIABLE + variable, wanted, f"{parameter} says what becomes of a file")
    addresses = {
        "BATCH_OUT": (_address(bucket, "out"), "results go beside what arrives, never into it"),
        "BATCH_QUEUE": (
            queue_url(queue.id),
            "a file that is too large for a call is handed on by it",
        ),
        "BATCH_DEAD_LETTERS": (
            queue_url(dead_letters(queue).rpartition(":")[2]),
            "what cannot be done is kept there, with the reason",
        ),
        "BATCH_STATE_MACHINE": (
            next((_arn(it) for it in stack.of(STATE_MACHINE)), None),
            "a large file is handed to it",
        ),
    }
    for variable, (address, why) in addresses.items():
        yield Rule(VARIABLE + variable, exactly(address), why)
    yield Rule("FunctionUrlConfig", ABSENT, "nobody calls it")
    yield Rule("ProvisionedConcurrencyConfig", ABSENT, "nobody waits for it")
    yield Rule(
        "ReservedConcurrentExecutions",
        ABSENT,
        "a queue that is throttled loses its tries; its mapping and the state machine have caps",
    )


def _queue(stack: Stack, function: Resource) -> Iterator[Rule]:
    hidden_s = HIDDEN_CALLS * int(function.get("Timeout") or 0)
    letters = [it.id for it in stack.of(QUEUE) if not it.get("RedrivePolicy")]
    why = f"a message that is worked on would come again: {HIDDEN_CALLS} calls' time is asked for"
    yield Rule("VisibilityTimeout", between(hidden_s, 43_200), why)
    yield Rule("RedrivePolicy.maxReceiveCount", RECEIVES, "a throttled call counts as a try too")
    yield Rule(
        "RedrivePolicy.deadLetterTargetArn",
        Wanted(
            lambda it: str(it).rpartition(":")[2] in set(letters) - {"DeadLetters"},
            "a queue of its own for what fails",
        ),
        "`farthing batch redrive` sends back what it finds there",
    )


def _lifecycle(stack: Stack, bucket: Resource) -> Iterator[Finding]:
    kept_days = stack.parameters.get("JobsKeptDays")
    expire = {
        str(it.get("Prefix") or ""): days(it, "ExpirationInDays")
        for it in lifecycle(bucket)
        if "ExpirationInDays" in it or "ExpirationDate" in it
    }
    at = f"Resources.{bucket.id}.{LIFECYCLE}"
    for prefix in (KEPT, MAP):
        if expire.get(prefix) != kept_days:
            says = f"What is below {prefix} is not kept for JobsKeptDays, but for ever or less."
            yield missing(at, says, "Let it expire after JobsKeptDays.")
    if set(expire) - {KEPT, MAP}:
        yield missing(at, "A rule deletes files or results.", "Take its expiration out.")


def _notifications(stack: Stack, bucket: Resource, queue: Resource) -> Iterator[Finding]:
    """What comes into the bucket is told to the queue, which lets the bucket tell it."""
    path = "NotificationConfiguration.QueueConfigurations"
    found = bucket.get(path) or []
    for prefix in ARRIVES:
        wanted = {
            "Event": CREATED,
            "Queue": queue_arn(queue.id),
            "Filter": {"S3Key": {"Rules": [{"Name": "prefix", "Value": prefix}]}},
        }
        if wanted not in found:
            says = f"Nothing tells the queue of what comes below {prefix}."
            do = f"Notify it of {CREATED} with that prefix."
            yield missing(f"Resources.{bucket.id}.{path}", says, do)
    if len(found) != len(ARRIVES):
        says = f"{len(found)} notifications; what batch writes itself must call nobody."
        yield missing(f"Resources.{bucket.id}.{path}", says, f"Keep {', '.join(ARRIVES)}.")
    allowed = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn(queue.id),
        "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
    }
    policies = [
        it
        for it in stack.of("AWS::SQS::QueuePolicy")
        if it.get("PolicyDocument.Statement") == [allowed]
        and it.get("Queues") == [queue_url(queue.id)]
    ]
    if not policies:
        says = f"S3 may not tell {queue.id}, or others may too."
        yield missing("Resources", says, "Allow s3.amazonaws.com of this account sqs:SendMessage.")
    elif policies[0].id not in bucket.depends_on:
        says = f"S3 refuses a notification before {policies[0].id} lets it send."
        yield missing(f"Resources.{bucket.id}.DependsOn", says, f"Name {policies[0].id}.")


def _mapping(stack: Stack, queue: Resource) -> Iterator[Finding]:
    mapping = stack.one(MAPPING, EventSourceArn=queue_arn(queue.id), FunctionName=alias_arn(BATCH))
    if mapping is None:
        says = f"Nothing hands the messages of {queue.id} to the alias of {BATCH}."
        yield missing("Resources", says, f"Add an {MAPPING}.")
        return
    yield from hold(
        mapping,
        [
            Rule("BatchSize", MESSAGES, "a call has a quarter of an hour for all of them"),
            Rule(
                "FunctionResponseTypes",
                exactly(["ReportBatchItemFailures"]),
                "one that fails would bring the others back",
            ),
            Rule("ScalingConfig.MaximumConcurrency", AT_ONCE, "it caps what a full queue costs"),
            Rule("MaximumBatchingWindowInSeconds", ABSENT, "five messages wait for no sixth"),
            Rule("Enabled", Wanted(lambda it: it in (None, True), "true"), "nothing would be done"),
        ],
    )


def _told(stack: Stack, bucket: Resource, queue: Resource) -> Iterator[Finding]:
    wanted = {
        "where files are put": f"s3://{bucket.id}/{ARRIVES[0]}",
        "where results are": _address(bucket, "out"),
        "the queue": queue_url(queue.id),
        "the queue of what failed": queue_url(dead_letters(queue).rpartition(":")[2]),
        "the state machine": next((_arn(it) for it in stack.of(STATE_MACHINE)), ""),
    }
    for what, value in wanted.items():
        if value not in stack.outputs.values():
            yield missing("Outputs", f"No output gives {what}.", f"Add one of {value}.")


def _address(bucket: Resource, folder: str) -> str:
    return f"s3://{bucket.id}/{folder}?region={REGION}"


def _arn(machine: Any) -> str:
    return f"arn:aws:states:{PLACE}:stateMachine:{machine.get('Name')}"
