"""Scaling: zero keeps nothing, warm holds utilisation at 0.7, cpu holds 70 % and no zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.deployment.aws.names import ALIAS, deployed, serving
from farthing.deployment.aws.stack import NETWORK, REGION
from farthing.deployment.aws.wanted import (
    Rule,
    Wanted,
    between,
    exactly,
    given,
    hold,
    missing,
    one_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.billing.prices import PriceBook
    from farthing.deployment.aws.stack import Stack
    from farthing.deployment.findings import Finding
    from farthing.deployment.project import Project

TARGET = "AWS::ApplicationAutoScaling::ScalableTarget"
POLICY = "AWS::ApplicationAutoScaling::ScalingPolicy"
PROVIDER = "AWS::Serverless::CapacityProvider"
UTILISATION = 0.7
CPU_PERCENT = 70
FEE = "lambda.managed_fee."


def check_scaling(project: Project, stack: Stack, book: PriceBook) -> Iterator[Finding]:
    only_in = {TARGET: "warm", POLICY: "warm", PROVIDER: "cpu"}
    for kind, profile in only_in.items():
        for resource in stack.of(kind):
            if stack.profile != profile:
                yield missing(
                    f"Resources.{resource.id}",
                    f"It exists with Profile {stack.profile}, and belongs to {profile} alone.",
                    "Give it that profile's condition.",
                )
    if stack.profile == "warm":
        for name in serving(project):
            yield from _tracking(stack, name)
    if stack.profile == "cpu":
        yield from _instances(stack, book)


def _tracking(stack: Stack, name: str) -> Iterator[Finding]:
    target = stack.one(TARGET, ResourceId=f"function:{deployed(name)}:{ALIAS}")
    function = stack.function(name)
    policy = stack.one(POLICY, ScalingTargetId=target.id) if target else None
    if target is None or policy is None or function is None:
        yield missing(
            "Resources",
            f"Profile warm lacks the scalable target or the scaling policy of {name}.",
            f"Add a {TARGET} for function:${{AWS::StackName}}-{name}:{ALIAS} and its {POLICY}.",
        )
        return
    alias = f"{function.id}Alias{ALIAS}"
    if alias not in target.depends_on:
        yield missing(
            f"Resources.{target.id}.DependsOn",
            f"The alias that it scales is made later, unless it waits for {alias}.",
            f"Set DependsOn to {alias}.",
        )
    kept = function.get("ProvisionedConcurrencyConfig.ProvisionedConcurrentExecutions") or 1
    yield from hold(target, _target(kept))
    yield from hold(policy, _policy())


def _target(kept: int) -> Iterator[Rule]:
    yield Rule("ServiceNamespace", exactly("lambda"), "a function is scaled")
    yield Rule(
        "ScalableDimension",
        exactly("lambda:function:ProvisionedConcurrency"),
        "it is provisioned concurrency that is scaled",
    )
    yield Rule(
        "MinCapacity",
        exactly(kept),
        f"{kept} is what the alias provisions, and at 0 the metric falls silent for good",
    )
    yield Rule("MaxCapacity", between(max(kept, 2), 1000), "the target must have room to rise")


def _policy() -> Iterator[Rule]:
    yield Rule("PolicyType", exactly("TargetTrackingScaling"), "it tracks a target")
    path = "TargetTrackingScalingPolicyConfiguration."
    yield Rule(
        path + "PredefinedMetricSpecification.PredefinedMetricType",
        exactly("LambdaProvisionedConcurrencyUtilization"),
        "that is the one metric which Lambda has for it",
    )
    yield Rule(
        path + "TargetValue",
        exactly(UTILISATION),
        "the utilisation to hold is 70 %, and this metric is a fraction",
    )
    yield Rule(
        path + "DisableScaleIn", one_of(None, False), "what was raised would be paid for ever"
    )


def _instances(stack: Stack, book: PriceBook) -> Iterator[Finding]:
    if not stack.of(PROVIDER):
        yield missing(
            "Resources", "Profile cpu has no capacity provider to run on.", f"Add a {PROVIDER}."
        )
    for resource in stack.of(PROVIDER):
        yield from hold(resource, _provider(stack, book))


def _provider(stack: Stack, book: PriceBook) -> Iterator[Rule]:
    priced = {
        row.rule.removeprefix(FEE)
        for row in book.rows
        if row.rule.startswith(FEE) and REGION in row.regions
    }
    yield Rule(
        "ScalingConfig.AverageCPUUtilization",
        exactly(CPU_PERCENT),
        "the rule is 70 % CPU, and this target is a percentage",
    )
    most = stack.parameters.get("MaxVCpuCount")
    yield Rule("ScalingConfig.MaxVCpuCount", exactly(most), "MaxVCpuCount caps the bill")
    for key, value in NETWORK.items():
        yield Rule(f"VpcConfig.{key}", exactly(value), f"instances stand in {key}")
    yield Rule(
        "InstanceRequirements.Architectures", exactly(["x86_64"]), "the images are for x86_64"
    )
    yield Rule(
        "InstanceRequirements.AllowedTypes",
        Wanted(lambda it: len(it or ()) == 1 and it[0] in priced, f"one of {sorted(priced)}"),
        "an answer is priced by one type, which the price book must have",
    )
    yield Rule("PropagateTags", exactly(True), "its instances are what is billed")
    yield Rule("CapacityProviderName", given(), "functions name it in its ARN")
