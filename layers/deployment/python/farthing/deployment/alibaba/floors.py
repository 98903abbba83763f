"""The two profiles as floors of instances: none standing by, or some moved by 70 % CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.deployment.alibaba.shape import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.alibaba.models import FunctionProps

WARM = "warm"
CPU = "CPUUtilization"
CPU_TARGET = 0.7


def floor_faults(props: FunctionProps, profile: str) -> Iterator[Fault]:
    """`profile` is `warm` for the file of that name, and anything else for a floor of 0."""
    yield from (_warm if profile == WARM else _zero)(props)
    scaling = props.scaling_config
    names = [it.name for it in scaling.horizontal_scaling_policies]
    names += [it.name for it in scaling.scheduled_policies]
    if len(set(names)) < len(names):
        yield Fault("scalingConfig", "Two policies have one name.", "Rename one.")
    log = props.log_config
    if scaling.horizontal_scaling_policies and log != "auto" and not log.enable_instance_metrics:
        yield Fault(
            "logConfig.enableInstanceMetrics",
            "A rule reads the instances' CPU, and their metrics are off.",
            "Write true, or logConfig: auto.",
        )


def _zero(props: FunctionProps) -> Iterator[Fault]:
    scaling = props.scaling_config
    at = "scalingConfig"
    if scaling.min_instances != 0:
        says = f"The floor is {scaling.min_instances} in a file that is no warm profile."
        yield Fault(f"{at}.minInstances", says, "Write 0, or deploy s.warm.yaml.")
    for key, policies in (
        ("horizontalScalingPolicies", scaling.horizontal_scaling_policies),
        ("scheduledPolicies", scaling.scheduled_policies),
    ):
        if policies:
            # Documented only for a floor of one or more:
            # https://help.aliyun.com/zh/functioncompute/fc-3-0/user-guide/instance-scaling-restrictions-and-rules
            says = "A policy moves a floor, and this file's floor is 0."
            yield Fault(f"{at}.{key}", says, "Remove it, or deploy s.warm.yaml.")


def _warm(props: FunctionProps) -> Iterator[Fault]:
    scaling = props.scaling_config
    at = "scalingConfig"
    if scaling.min_instances < 1:
        says = f"The floor is {scaling.min_instances}, so nothing is warm."
        yield Fault(f"{at}.minInstances", says, "Write 1 or more.")
    rules = [it for it in scaling.horizontal_scaling_policies if it.metric_type == CPU]
    if len(rules) != 1:
        says = f"It has {len(rules)} rules on {CPU}; the profile promises one."
        yield Fault(f"{at}.horizontalScalingPolicies", says, "Keep one, at 0.7.")
    for index, rule in enumerate(scaling.horizontal_scaling_policies):
        where = f"{at}.horizontalScalingPolicies.{index}"
        if rule.metric_type == CPU and rule.metric_target != CPU_TARGET:
            says = f"The CPU target is {rule.metric_target:g}; the profile promises 70 %."
            yield Fault(f"{where}.metricTarget", says, f"Write {CPU_TARGET}.")
        if rule.min_instances != scaling.min_instances:
            says = f"The rule starts at {rule.min_instances}, the floor at {scaling.min_instances}."
            yield Fault(f"{where}.minInstances", says, "Let both say the same.")
        if rule.max_instances <= rule.min_instances:
            says = f"The rule cannot rise above {rule.max_instances}."
            yield Fault(f"{where}.maxInstances", says, "Write more than the minimum.")
