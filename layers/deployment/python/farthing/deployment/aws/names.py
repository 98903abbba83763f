"""What the rules call things: the functions of a project on AWS, and their ARNs in a stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.deployment.aws.intrinsics import ACCOUNT, STACK
from farthing.deployment.aws.stack import REGION

if TYPE_CHECKING:
    from farthing.deployment.aws.stack import Stack
    from farthing.deployment.project import Function, Project

ALIAS = "live"
BREAKER = "breaker"
SETTLE = "settle"
PLACE = f"{REGION}:{ACCOUNT}"
QUEUE = "AWS::SQS::Queue"
ALARM = "AWS::CloudWatch::Alarm"
TOPIC = "AWS::SNS::Topic"
PERMISSION = "AWS::Lambda::Permission"
FUNCTION = "AWS::Serverless::Function"
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


def serving(project: Project) -> dict[str, Function]:
    """The functions that serve a model: callers reach them, and they are what costs."""
    return {name: it for name, it in project.on("aws").items() if it.models}


def expected(project: Project, stack: Stack) -> dict[str, Function]:
    """The functions of this scenario: settle keeps a ledger, and instances need no breaker."""
    left_out = set() if stack.with_billing else {SETTLE}
    if stack.profile == "cpu":
        left_out |= {name for name, it in project.on("aws").items() if not it.models} - {SETTLE}
    return {name: it for name, it in project.on("aws").items() if name not in left_out}
