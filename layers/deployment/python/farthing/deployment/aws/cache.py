"""The cache of answers: who is told of it, its table, and the way to a server that keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.deployment.answers import CACHE_VARIABLE, keeps_answers
from farthing.deployment.aws.names import CACHE_TABLE, TABLE, serving
from farthing.deployment.aws.stack import NETWORK, REGION
from farthing.deployment.aws.wanted import ABSENT, Rule, exactly, hold, missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.aws.stack import Stack
    from farthing.deployment.findings import Finding
    from farthing.deployment.project import Project

VARIABLE = f"Environment.Variables.{CACHE_VARIABLE}"
# What DynamoDbStore keeps its entries under, and when they end.
KEY, ENDS = "pk", "expires_at"


def check_cache(project: Project, stack: Stack) -> Iterator[Finding]:
    """A function that keeps answers is told where, and reaches it; others have no part in it."""
    wanted = stack.parameters.get("Cache")
    tables = [it for it in stack.of(TABLE) if it.id == CACHE_TABLE]
    if len(tables) != (wanted == "dynamodb"):
        yield missing(
            f"Resources.{CACHE_TABLE}",
            f"Cache is {wanted}, and there are {len(tables)} tables for it.",
            "Keep one, under the condition of that parameter.",
        )
        return
    for table in tables:
        yield from hold(table, _table())
        declared = stack.template["Resources"][table.id]
        for key in ("DeletionPolicy", "UpdateReplacePolicy"):
            if declared.get(key) not in (None, "Delete"):
                yield missing(
                    f"Resources.{table.id}.{key}",
                    f"It is {declared.get(key)}, and a cache left behind is paid for by nobody's "
                    "use.",
                    "Make it Delete.",
                )
    for name in serving(project):
        function = stack.function(name)
        if function is not None:
            yield from hold(function, _keeper(stack) if keeps_answers(name) else _bystander())


def is_in_network(stack: Stack) -> bool:
    """Whether functions stand in subnets; instances have the network of their provider."""
    return stack.parameters.get("Cache") == "redis" and stack.profile != "cpu"


def _table() -> Iterator[Rule]:
    yield Rule("BillingMode", exactly("PAY_PER_REQUEST"), "nothing is paid while nobody calls")
    yield Rule(
        "KeySchema",
        exactly([{"AttributeName": KEY, "KeyType": "HASH"}]),
        f"an answer is kept under {KEY} alone",
    )
    yield Rule(
        "AttributeDefinitions",
        exactly([{"AttributeName": KEY, "AttributeType": "B"}]),
        "a key is bytes",
    )
    life = "TimeToLiveSpecification."
    yield Rule(life + "AttributeName", exactly(ENDS), f"an answer's end is in {ENDS}")
    yield Rule(life + "Enabled", exactly(True), "what has expired would be kept, and paid for")
    recovery = "PointInTimeRecoverySpecification"
    yield Rule(recovery, ABSENT, "nobody restores a cache, and it is billed by the gigabyte")
    # Without it DynamoDB encrypts with a key of its own, for which no request is billed.
    yield Rule("SSESpecification", ABSENT, "a key of KMS is billed by the request")
    yield Rule("TableName", ABSENT, "a stack beside this one could not make its own")


def _keeper(stack: Stack) -> Iterator[Rule]:
    kind = stack.parameters.get("Cache")
    secret = stack.parameters.get("CacheUrlSecret")
    address = {
        "dynamodb": f"dynamodb:{CACHE_TABLE}?region={REGION}",
        "redis": f"{{{{resolve:secretsmanager:{secret}}}}}",
    }.get(str(kind), kind)
    yield Rule(
        VARIABLE,
        exactly(address),
        f"Cache is {kind}, and a server's address holds a password, so it comes from the secret "
        "that CacheUrlSecret names"
        if kind == "redis"
        else f"Cache is {kind}",
    )
    for key, value in NETWORK.items():
        yield Rule(
            f"VpcConfig.{key}",
            exactly(value) if is_in_network(stack) else ABSENT,
            f"Cache is {kind} and Profile {stack.profile}, and only a server's clients stand in "
            "your network",
        )


def _bystander() -> Iterator[Rule]:
    yield Rule(VARIABLE, ABSENT, "the function keeps no answers")
    yield Rule("VpcConfig", ABSENT, "it asks no server in your network")
