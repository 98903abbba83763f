"""Rights: what each function has to be allowed, by what it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.deployment.answers import keeps_answers
from farthing.deployment.aws.cache import is_in_network
from farthing.deployment.aws.names import (
    BATCH,
    BATCH_BUCKET,
    BREAKER,
    CACHE_TABLE,
    CLASSIFY,
    EMBED,
    INDEXER,
    LOG_GROUP,
    PLACE,
    QUEUE,
    SEARCH,
    SETTLE,
    STATE_MACHINE,
    TABLE,
    alias_arn,
    function_arn,
    serving,
    stopped,
)

if TYPE_CHECKING:
    from farthing.deployment.aws.stack import Stack
    from farthing.deployment.project import Project

# What the store asks of DynamoDB; a transaction needs the permissions of its parts:
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
LEDGER = (
    "dynamodb:BatchGetItem",
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:UpdateItem",
)
CACHE = ("dynamodb:BatchGetItem", "dynamodb:BatchWriteItem")
# What Lambda's own policy for a function in a network allows, less its logs; EC2 knows no resources
# for it: https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html
NETWORKING = (
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
)
# Search reads the index and queues writes; only the indexer publishes.
INDEX = {
    SEARCH: (("s3:ListBucket", ""), ("s3:GetObject", "/*"), ("s3:PutObject", "/writes/*")),
    INDEXER: (
        ("s3:ListBucket", ""),
        ("s3:DeleteObject", "/*"),
        ("s3:GetObject", "/*"),
        ("s3:PutObject", "/*"),
    ),
}
# Requests that can wait lie below jobs/. Batch reads what arrives, and writes elsewhere.
KEPT = (
    ("s3:ListBucket", ""),
    ("s3:DeleteObject", "/jobs/*"),
    ("s3:GetObject", "/jobs/*"),
    ("s3:PutObject", "/jobs/*"),
)
JOBS = {
    CLASSIFY: KEPT,
    EMBED: KEPT,
    BATCH: (
        ("s3:ListBucket", ""),
        ("s3:GetObject", "/*"),
        ("s3:DeleteObject", "/jobs/*"),
        ("s3:PutObject", "/jobs/*"),
        ("s3:DeleteObject", "/out/*"),
        ("s3:PutObject", "/out/*"),
    ),
}
TAKES = (
    "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:ReceiveMessage",
)


def rights_of(project: Project, stack: Stack, name: str) -> set[tuple[str, str]]:
    """(action, resource) of what one function needs and others have no use for."""
    if name == BREAKER:
        return _stops(project, stack)
    needs: set[tuple[str, str]] = set()
    if name in {SETTLE, BATCH} or name in serving(project):
        tables = [it.id for it in stack.of(TABLE) if it.id != CACHE_TABLE]
        needs |= {(action, _table(it)) for action in LEDGER for it in tables}
    if keeps_answers(name):
        tables = [it.id for it in stack.of(TABLE) if it.id == CACHE_TABLE]
        needs |= {(action, _table(it)) for action in CACHE for it in tables}
        needs |= {(action, "*") for action in NETWORKING if is_in_network(stack)}
    if name == SETTLE:
        needs |= _reads(stack)
    for bucket in stack.of("AWS::S3::Bucket"):
        paths = JOBS if bucket.id == BATCH_BUCKET else INDEX
        for action, path in paths.get(name, ()):
            needs.add((action, f"arn:aws:s3:::{bucket.id}{path}"))
    return needs | _works(stack) if name == BATCH else needs


def _table(name: str) -> str:
    return f"arn:aws:dynamodb:{PLACE}:table/{name}"


def _stops(project: Project, stack: Stack) -> set[tuple[str, str]]:
    names = stopped(project, stack)
    stops = {("lambda:PutFunctionConcurrency", function_arn(name)) for name in names}
    if stack.profile == "warm":
        stops |= {("lambda:DeleteProvisionedConcurrencyConfig", alias_arn(name)) for name in names}
    return stops


def _reads(stack: Stack) -> set[tuple[str, str]]:
    """What settle reads: every log of the stack, and the secret that it signs with."""
    secret = stack.parameters.get("SigningKeySecret")
    named = f"arn:aws:secretsmanager:{PLACE}:secret:{secret}-??????"
    reads = {
        ("logs:FilterLogEvents", f"arn:aws:logs:{PLACE}:log-group:{it.get('LogGroupName')}:*")
        for it in stack.of(LOG_GROUP)
    }
    return reads | {("secretsmanager:GetSecretValue", named)}


def _works(stack: Stack) -> set[tuple[str, str]]:
    """What batch takes from its queue and puts there, and the executions that it starts."""
    works: set[tuple[str, str]] = set()
    for queue in stack.of(QUEUE):
        arn = f"arn:aws:sqs:{PLACE}:{queue.id}"
        if queue.get("RedrivePolicy"):
            works |= {(action, arn) for action in TAKES}
        works.add(("sqs:SendMessage", arn))
    for machine in stack.of(STATE_MACHINE):
        name = machine.get("Name")
        works.add(("states:StartExecution", f"arn:aws:states:{PLACE}:stateMachine:{name}"))
        executions = f"arn:aws:states:{PLACE}:execution:{name}:*"
        works |= {(f"states:{it}", executions) for it in ("DescribeExecution", "RedriveExecution")}
    return works
