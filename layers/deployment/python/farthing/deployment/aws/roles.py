"""Roles and policies: each may do what it must, on named resources, and nothing by wildcard."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from farthing.deployment.aws.names import (
    ALARM_TOPIC,
    BATCH,
    BREAKER,
    BUDGET_TOPIC,
    FUNCTION,
    INDEXER,
    SEARCH,
    SETTLE,
    STATE_MACHINE,
    deployed,
)
from farthing.deployment.aws.rights import NETWORKING, rights_of
from farthing.deployment.aws.wanted import missing, show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.aws.stack import Resource, Stack
    from farthing.deployment.findings import Finding
    from farthing.deployment.project import Project

ROLE = "AWS::IAM::Role"
POLICIES = ("AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy")
VERSION = "2012-10-17"
ACTION = re.compile(r"[a-z0-9-]+:[A-Z][A-Za-z]+")
LOGGING = ("logs:CreateLogStream", "logs:PutLogEvents")
# X-Ray knows no resources: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html
TRACING = ("xray:PutTraceSegments", "xray:PutTelemetryRecords")
SAMPLING = ("xray:GetSamplingRules", "xray:GetSamplingTargets")
# Functions with a role of their own, which has nothing to spare.
NARROW = {BREAKER, SETTLE, SEARCH, INDEXER, BATCH}
ACCOUNT_ONLY = {"StringEquals": {"aws:SourceAccount": "123456789012"}}


def check_roles(project: Project, stack: Stack) -> Iterator[Finding]:
    for role in stack.of(ROLE):
        yield from _trust(stack, role)
        for index, policy in enumerate(role.get("Policies") or []):
            yield from _narrow(
                policy.get("PolicyDocument"), f"Resources.{role.id}.Policies.{index}"
            )
    for function in stack.of(FUNCTION):
        yield from _needs(project, stack, function)
    for kind in POLICIES:
        for policy in stack.of(kind):
            yield from _narrow(policy.get("PolicyDocument"), f"Resources.{policy.id}")
    yield from _publishing(stack)


def is_role_of(user: Resource, role: Resource) -> bool:
    """Whether a function or a state machine runs with that role."""
    return str(user.get("Role")).endswith(f"role/{role.id}")


def granted_by(role: Resource) -> set[tuple[str, str]]:
    """Every (action, resource) that the role's own policies allow."""
    return {
        it for policy in role.get("Policies") or [] for it in granted(policy.get("PolicyDocument"))
    }


def granted(document: Any) -> set[tuple[str, str]]:
    """Every (action, resource) that the document allows without a condition."""
    return {
        (str(action), str(resource))
        for statement in (document or {}).get("Statement", [])
        if statement.get("Effect") == "Allow"
        for action in _several(statement.get("Action"))
        for resource in _several(statement.get("Resource"))
    }


def _needs(project: Project, stack: Stack, function: Resource) -> Iterator[Finding]:
    role = next((it for it in stack.of(ROLE) if is_role_of(function, it)), None)
    at = f"Resources.{function.id}.Role"
    if role is None:
        yield missing(
            at,
            "It is no role of this template, so SAM would make one that may write every log.",
            "Refer to a role with statements of its own.",
        )
        return
    has = granted_by(role)
    needs = {
        (action, f"arn:aws:logs:us-east-1:123456789012:log-group:{_group(function)}:*")
        for action in LOGGING
    }
    failures = function.get("EventInvokeConfig.DestinationConfig.OnFailure.Destination")
    needs.add(("sqs:SendMessage", str(failures)))
    if function.get("Tracing") == "Active":
        needs |= {(action, "*") for action in TRACING}
    name = str(function.get("FunctionName")).removeprefix(deployed(""))
    needs |= rights_of(project, stack, name)
    for action, resource in sorted(has - needs):
        if name in NARROW or action.startswith(("dynamodb:", "ec2:", "s3:")):
            yield missing(
                f"Resources.{role.id}",
                f"The function {name} may {action} on {resource}, which it has no use for.",
                "Take it away.",
            )
    for action, resource in sorted(needs - has):
        yield missing(
            f"Resources.{role.id}",
            f"It does not allow {action} on {show(resource)}, which {function.id} needs.",
            "Allow it in a statement of its own.",
        )


def _narrow(document: Any, at: str) -> Iterator[Finding]:
    document = document if isinstance(document, dict) else {}
    if document.get("Version") != VERSION:
        yield missing(
            f"{at}.Version",
            f"It is {document.get('Version')}, under which IAM reads policies by old rules.",
            f"Make it '{VERSION}'.",
        )
    for index, statement in enumerate(document.get("Statement") or []):
        here = f"{at}.Statement.{index}"
        if statement.get("Effect") not in ("Allow", "Deny"):
            yield missing(f"{here}.Effect", f"It is {statement.get('Effect')}.", "Make it Allow.")
        actions = _several(statement.get("Action"))
        for action in actions or ["missing"]:
            if not ACTION.fullmatch(str(action)):
                yield missing(
                    f"{here}.Action",
                    f"It is {action}, which is not one named action.",
                    "Name each action.",
                )
        if "*" in _several(statement.get("Resource")) and not set(actions) <= {
            *NETWORKING,
            *TRACING,
            *SAMPLING,
        }:
            yield missing(
                f"{here}.Resource", "It is every resource there is.", "Name the resources."
            )


def _trust(stack: Stack, role: Resource) -> Iterator[Finding]:
    path = "AssumeRolePolicyDocument"
    is_of_states = any(is_role_of(it, role) for it in stack.of(STATE_MACHINE))
    service, bound = ("states", {"Condition": ACCOUNT_ONLY}) if is_of_states else ("lambda", {})
    wanted = {
        "Effect": "Allow",
        "Principal": {"Service": f"{service}.amazonaws.com"},
        "Action": "sts:AssumeRole",
        **bound,
    }
    document = role.get(path) or {}
    if document.get("Version") != VERSION or document.get("Statement") != [wanted]:
        yield missing(
            f"Resources.{role.id}.{path}",
            f"{service.capitalize()} cannot assume it, or others can.",
            f"Let {service}.amazonaws.com use sts:AssumeRole, in version '{VERSION}'"
            + (", with aws:SourceAccount." if bound else "."),
        )


def _publishing(stack: Stack) -> Iterator[Finding]:
    publishers = {
        ALARM_TOPIC: {"cloudwatch.amazonaws.com", "budgets.amazonaws.com"},
        BUDGET_TOPIC: {"budgets.amazonaws.com"},
    }
    for topic, services in publishers.items():
        allowed: set[str] = set()
        for policy in stack.of("AWS::SNS::TopicPolicy"):
            for statement in (policy.get("PolicyDocument") or {}).get("Statement") or []:
                if (
                    topic in (policy.get("Topics") or [])
                    and statement.get("Effect") == "Allow"
                    and statement.get("Action") == "sns:Publish"
                    and statement.get("Resource") == topic
                    and statement.get("Condition") == ACCOUNT_ONLY
                ):
                    allowed |= set(_several((statement.get("Principal") or {}).get("Service")))
        if allowed != services:
            yield missing(
                "Resources",
                f"{', '.join(sorted(services ^ allowed))} should and may not, or may and should "
                f"not, publish to {topic.rpartition(':')[2]} for this account.",
                "Allow sns:Publish to each service, on that topic, with aws:SourceAccount.",
            )


def _group(function: Resource) -> str:
    return str(function.get("LoggingConfig.LogGroup"))


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
