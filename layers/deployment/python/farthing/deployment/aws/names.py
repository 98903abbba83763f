"""What the rules call things: the functions of a project on AWS, and their ARNs in a stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.deployment.aws.intrinsics import ACCOUNT, STACK
from farthing.deployment.aws.stack import REGION

if TYPE_CHECKING:
    from farthing.deployment.aws.stack import Stack
    from farthing.deployment.project import Function, Project

ALIAS = "live"
CLASSIFY, EMBED = "classify", "embed"
BREAKER = "breaker"
SETTLE = "settle"
SEARCH = "search"
INDEXER = "indexer"
BATCH = "batch"
# The one bucket of template.yaml that is not the index's.
BATCH_BUCKET = "BatchBucket"
# The one table that is not the ledger's.
CACHE_TABLE = "CacheTable"
PLACE = f"{REGION}:{ACCOUNT}"
QUEUE = "AWS::SQS::Queue"
TABLE = "AWS::DynamoDB::Table"
ALARM = "AWS::CloudWatch::Alarm"
PERMISSION = "AWS::Lambda::Permission"
FUNCTION = "AWS::Serverless::Function"
STATE_MACHINE = "AWS::Serverless::StateMachine"
LOG_GROUP = "AWS::Logs::LogGroup"
# The topics that template.yaml has, by what they are for.
ALARM_TOPIC = f"arn:aws:sns:{PLACE}:AlarmTopic"
BUDGET_TOPIC = f"arn:aws:sns:{PLACE}:BudgetTopic"


def deployed(function: str) -> str:
    return f"{STACK}-{function}"


def function_arn(function: str) -> str:
    return f"arn:aws:lambda:{PLACE}:function:{deployed(function)}"


def alias_arn(function: str) -> str:
    return f"{function_arn(function)}:{ALIAS}"


def queue_arn(queue: str) -> str:
    return f"arn:aws:sqs:{PLACE}:{queue}"


def queue_url(queue: str) -> str:
    return f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{queue}"


def serving(project: Project) -> dict[str, Function]:
    """The functions that serve a model: callers reach them, and they are what costs."""
    return {name: it for name, it in project.on("aws").items() if it.serves}


def stopped(project: Project, stack: Stack) -> dict[str, Function]:
    """The functions that the breaker stops: those that callers reach, and batch."""
    working = {name: it for name, it in expected(project, stack).items() if name == BATCH}
    return {**serving(project), **working}


def expected(project: Project, stack: Stack) -> dict[str, Function]:
    """The functions of this scenario: settle keeps a ledger, the indexer an index, batch a queue.

    Instances need no breaker.
    """
    left_out = set() if stack.with_billing else {SETTLE}
    if not stack.with_bucket:
        left_out.add(INDEXER)
    if not stack.with_batch:
        left_out.add(BATCH)
    if stack.profile == "cpu":
        idle = {name for name, it in project.on("aws").items() if not it.serves}
        left_out |= idle - {SETTLE, INDEXER, BATCH}
    return {name: it for name, it in project.on("aws").items() if name not in left_out}
