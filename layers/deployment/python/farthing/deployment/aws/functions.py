"""Functions: each is there, as large as pyproject.toml says, packed, named and set up to serve."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from farthing.deployment.aws.names import (
    ALIAS,
    FUNCTION,
    LOG_GROUP,
    QUEUE,
    deployed,
    expected,
    serving,
)
from farthing.deployment.aws.packages import check_package
from farthing.deployment.aws.stack import CAP, TEMPLATE
from farthing.deployment.aws.wanted import (
    ABSENT,
    Rule,
    between,
    exactly,
    hold,
    missing,
    one_of,
)
from farthing.deployment.findings import Finding
from farthing.settings import PREFIX, known_variables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.aws.stack import Resource, Stack
    from farthing.deployment.project import Function, Project

INSTANCE_MEMORY_MB = 2048
PROVIDER = "AWS::Serverless::CapacityProvider"
SECRET = re.compile(r"(KEYS?|WEBHOOK_SECRET|TOKEN|PASSWORD)$")
FROM_SECRET = re.compile(r"\{\{resolve:secretsmanager:[^{}]+\}\}")
GRADUAL = tuple(
    [f"Canary10Percent{minutes}Minutes" for minutes in (5, 10, 15, 30)]
    + ["Linear10PercentEvery1Minute"]
    + [f"Linear10PercentEvery{minutes}Minutes" for minutes in (2, 3, 10)]
)


def check_functions(project: Project, stack: Stack) -> Iterator[Finding]:
    served = serving(project)
    wanted = expected(project, stack)
    for name, function in wanted.items():
        resource = stack.function(name)
        if resource is None:
            yield missing(
                "Resources",
                f"pyproject.toml deploys {name} on aws, but no function is named "
                f"${{AWS::StackName}}-{name} with Profile {stack.profile}.",
                f"Add it, or take aws out of the clouds of {name}.",
            )
            continue
        yield from hold(resource, _common(name, function, stack))
        yield from _failures(stack, resource)
        yield from check_package(project, name, function, resource)
        yield from _variables(resource)
        if name in served:
            yield from hold(resource, _serving(stack, function))
    for resource in stack.of(FUNCTION):
        name = str(resource.get("FunctionName")).removeprefix(deployed(""))
        if name not in project.on("aws"):
            yield missing(
                f"Resources.{resource.id}.Properties.FunctionName",
                f"This function is named {resource.get('FunctionName')}, and pyproject.toml "
                "deploys none of that name on aws.",
                "Name it ${AWS::StackName}-NAME, as pyproject.toml does, or describe it there.",
            )
        elif name not in wanted:
            yield missing(
                f"Resources.{resource.id}.Condition",
                f"{name} is deployed with Profile {stack.profile}, Billing "
                f"{stack.parameters.get('Billing')}, Index {stack.parameters.get('Index')} and "
                f"Batch {stack.parameters.get('Batch')}, where nothing calls it.",
                "Give it a condition.",
            )


def _common(name: str, function: Function, stack: Stack) -> Iterator[Rule]:
    memory_mb = function.memory_mb
    if stack.profile == "cpu" and function.serves:
        memory_mb = max(memory_mb, INSTANCE_MEMORY_MB)
    described = f"pyproject.toml gives {name}"
    yield Rule("MemorySize", exactly(memory_mb), f"{described} {memory_mb} MB")
    yield Rule("Timeout", exactly(function.timeout_s), f"{described} {function.timeout_s} s")
    yield Rule("AutoPublishAlias", exactly(ALIAS), f"callers, alarms and scaling use {ALIAS}")
    yield Rule(
        "AutoPublishAliasAllProperties",
        exactly(True),
        "without it a changed timeout or role never reaches the alias",
    )
    yield Rule("PropagateTags", exactly(True), "what SAM makes beside a function is billed too")
    yield Rule("Tags.function", exactly(name), "the bill is divided by this tag")
    traced = stack.chosen.get("Tracing") == "on"
    yield Rule(
        "Tracing",
        exactly("Active") if traced else one_of("PassThrough", None),
        f"the parameter Tracing is {'on' if traced else 'off'}",
    )


def _serving(stack: Stack, function: Function) -> Iterator[Rule]:
    profile = stack.profile
    snapshot = stack.chosen.get("SnapStart") == "on"
    yield Rule(
        "SnapStart.ApplyOn",
        exactly("PublishedVersions") if snapshot else ABSENT,
        f"the parameter SnapStart is {'on' if snapshot else 'off'}",
    )
    capped = "ReservedConcurrency" in stack.chosen
    yield Rule(
        "ReservedConcurrentExecutions",
        exactly(str(CAP)) if capped else ABSENT,
        "the parameter ReservedConcurrency is the hard cap of the bill, and empty sets none",
    )
    yield Rule(
        "ProvisionedConcurrencyConfig.ProvisionedConcurrentExecutions",
        between(1, 100) if profile == "warm" else ABSENT,
        "Profile warm keeps environments ready, and the others pay for none",
    )
    if profile == "cpu":
        yield from _on_instances(stack, function)
        return
    yield Rule("CapacityProviderConfig", ABSENT, f"Profile {profile} runs on no instances")
    yield Rule("DeploymentPreference.Type", one_of(*GRADUAL), "a new version takes calls gradually")
    yield Rule("DeploymentPreference.Enabled", one_of(None, True), "new versions come gradually")
    yield Rule(
        "DeploymentPreference.PassthroughCondition",
        exactly(True),
        "the function has a condition, and its deployment group must have the same",
    )


def _on_instances(stack: Stack, function: Function) -> Iterator[Rule]:
    most = stack.parameters.get("MaxVCpuCount")
    most_vcpu = float(most) if isinstance(most, int | float) else 0
    config = "CapacityProviderConfig."
    arns = [
        f"arn:aws:lambda:us-east-1:123456789012:capacity-provider:{it.get('CapacityProviderName')}"
        for it in stack.of(PROVIDER)
    ]
    yield Rule(config + "Arn", one_of(*arns), "Profile cpu runs on the stack's capacity provider")
    yield Rule(
        config + "PerExecutionEnvironmentMaxConcurrency",
        exactly(function.concurrency),
        f"pyproject.toml gives it a concurrency of {function.concurrency}",
    )
    yield Rule(
        config + "ExecutionEnvironmentMemoryGiBPerVCpu",
        exactly(max(function.memory_mb, INSTANCE_MEMORY_MB) // 1024),
        "2, 4 or 8 are possible, and this many give each environment one vCPU",
    )
    # One environment has one vCPU, and each of its processes an equal part of that.
    vcpu_milli = 1000 // function.concurrency
    environment = "Environment.Variables."
    yield Rule(
        environment + "FARTHING_VCPU_MILLI",
        exactly(str(vcpu_milli)),
        f"an answer is priced by the {vcpu_milli} thousandths of a vCPU that its process has",
    )
    nodes = [it.get("InstanceRequirements.AllowedTypes") for it in stack.of(PROVIDER)]
    yield Rule(
        environment + "FARTHING_NODE",
        one_of(*(kinds[0] for kinds in nodes if kinds)),
        "an answer is priced by the instance that the capacity provider buys",
    )
    scaling = "FunctionScalingConfig."
    yield Rule(
        scaling + "MinExecutionEnvironments",
        between(3, most_vcpu),
        "instances stand in three zones, and an environment in each",
    )
    yield Rule(
        scaling + "MaxExecutionEnvironments",
        between(3, most_vcpu),
        f"MaxVCpuCount allows {most_vcpu:.0f} vCPU, and each environment has one",
    )


def _failures(stack: Stack, resource: Resource) -> Iterator[Finding]:
    path = "EventInvokeConfig.DestinationConfig.OnFailure."
    queues = [
        f"arn:aws:sqs:us-east-1:123456789012:{it.id}"
        for it in stack.of(QUEUE)
        if not it.get("RedrivePolicy")
    ]
    why = "an asynchronous call that fails for good would be lost"
    yield from hold(
        resource,
        [
            Rule(path + "Type", exactly("SQS"), why),
            Rule(path + "Destination", one_of(*queues), why),
        ],
    )
    group = stack.one(LOG_GROUP, LogGroupName=resource.get("LoggingConfig.LogGroup"))
    name = f"/aws/lambda/{resource.get('FunctionName')}"
    if group is None or group.get("LogGroupName") != name:
        yield missing(
            f"Resources.{resource.id}.Properties.LoggingConfig.LogGroup",
            "Its log group is not one of this template's, so Lambda would make one that keeps "
            "its logs for ever.",
            f"Refer to an AWS::Logs::LogGroup of the name {name}.",
        )


def _variables(resource: Resource) -> Iterator[Finding]:
    for variable, value in (resource.get("Environment.Variables") or {}).items():
        if SECRET.search(variable) and not FROM_SECRET.fullmatch(str(value)):
            yield Finding(
                TEMPLATE,
                f"Resources.{resource.id}.Environment.Variables.{variable}",
                "It is a secret, and is not read from Secrets Manager.",
                "Write {{resolve:secretsmanager:NAME}}.",
            )
        if variable.startswith(PREFIX) and variable not in known_variables():
            yield Finding(
                TEMPLATE,
                f"Resources.{resource.id}.Environment.Variables.{variable}",
                "Farthing knows no such setting, so it would do nothing.",
                "Correct its name; README.md lists the settings.",
            )
