"""What the rules call things: the functions of a project on AWS, and their ARNs in a stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.deployment.aws.intrinsics import ACCOUNT, STACK
from farthing.deployment.aws.stack import REGION

if TYPE_CHECKING:
    from farthing.deployment.project import Function, Project

ALIAS = "live"
BREAKER = "breaker"
PLACE = f"{REGION}:{ACCOUNT}"
QUEUE = "AWS::SQS::Queue"
ALARM = "AWS::CloudWatch::Alarm"
TOPIC = "AWS::SNS::Topic"
PERMISSION = "AWS::Lambda::Permission"
FUNCTION = "AWS::Serverless::Function"
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
