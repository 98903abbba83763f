"""Warmth: pings that keep one environment, and hours in which environments stand ready."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from farthing.deployment.aws.names import alias_arn, function_arn, serving
from farthing.deployment.aws.scaling import TARGET
from farthing.deployment.aws.scheduled import RATE, RULE, check_rule, rules_of
from farthing.deployment.aws.wanted import ABSENT, Rule, Wanted, exactly, hold, missing
from farthing.deployment.pings import PING, is_ping

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.aws.stack import Resource, Stack
    from farthing.deployment.findings import Finding
    from farthing.deployment.project import Project

# Lambda says not how long an idle environment stays; ten minutes were never too long.
EVERY_MINUTES = (2, 3, 4, 5, 6, 10)
# https://docs.aws.amazon.com/autoscaling/application/userguide/scheduled-scaling-using-cron-expressions.html
CRON = re.compile(r"cron\(\S+( \S+){5}\)")


def check_warmth(project: Project, stack: Stack) -> Iterator[Finding]:
    """With KeepWarm on every function that answers is pinged at its alias, else none is."""
    yield from _unpublished(project, stack)
    is_pinged = stack.parameters.get("KeepWarm") == "on"
    for name in serving(project):
        rules = rules_of(stack, name)
        if len(rules) != is_pinged:
            yield missing(
                rules[0].id if rules else "Resources",
                f"KeepWarm is {stack.parameters.get('KeepWarm')}, and {len(rules)} schedules call "
                f"the alias of {name}.",
                f"Keep one {RULE} for it, under the condition of that parameter.",
            )
            continue
        for rule in rules:
            yield from hold(rule, _ping())
            yield from check_rule(stack, rule, name)
    for target in stack.of(TARGET):
        yield from hold(target, _hours(stack, target))


def _unpublished(project: Project, stack: Stack) -> Iterator[Finding]:
    """Schedules whose target is the function itself, or a version of it."""
    for rule in stack.of(RULE):
        for index, target in enumerate(rule.get("Targets") or []):
            arn = str(target.get("Arn"))
            for name in project.on("aws"):
                its_own = arn == function_arn(name) or arn.startswith(f"{function_arn(name)}:")
                if its_own and arn != alias_arn(name):
                    yield missing(
                        f"Resources.{rule.id}.Targets.{index}.Arn",
                        f"It is {arn}, whose environments are not those that callers of {name} "
                        "meet.",
                        f"Make it the alias, {alias_arn(name)}.",
                    )


def _ping() -> Iterator[Rule]:
    often = ", ".join(map(str, EVERY_MINUTES))
    yield Rule(
        "ScheduleExpression",
        Wanted(_is_often, f"rate(N minutes) with one of {often}"),
        "fewer would find the environment gone, and more are paid for in vain",
    )
    yield Rule(
        "Targets.0.Input",
        Wanted(is_ping, PING),
        "a ping is answered without inference, at the house's cost",
    )
    yield Rule(
        "Targets.0.RetryPolicy.MaximumRetryAttempts",
        exactly(0),
        "the next ping makes up for one that is lost",
    )


def _hours(stack: Stack, target: Resource) -> Iterator[Rule]:
    starts, ends, zone, ready = (
        stack.parameters.get(it)
        for it in ("WarmFrom", "WarmUntil", "WarmTimezone", "WarmEnvironments")
    )
    if not starts:
        yield Rule("ScheduledActions", ABSENT, "WarmFrom is empty, so it is warm always")
        return
    wanted = ((starts, ready, "WarmFrom"), (ends, 0, "WarmUntil"))
    for index, (at, least, parameter) in enumerate(wanted):
        action = f"ScheduledActions.{index}."
        yield Rule(action + "Schedule", exactly(at), f"{parameter} says when")
        yield Rule(action + "Timezone", exactly(zone), "WarmTimezone says where the clock hangs")
        capacity = action + "ScalableTargetAction."
        yield Rule(capacity + "MinCapacity", exactly(least), f"{least} are ready after {parameter}")
    # A target that may not rise has no use for a policy that raises it.
    yield Rule(
        "ScheduledActions.0.ScalableTargetAction.MaxCapacity",
        exactly(target.get("MaxCapacity")),
        "the target may rise as far as without hours",
    )
    yield Rule(
        "ScheduledActions.1.ScalableTargetAction.MaxCapacity",
        exactly(0),
        "environments would be raised, and paid for, after WarmUntil",
    )


def _is_often(expression: object) -> bool:
    rate = RATE.fullmatch(str(expression))
    return rate is not None and int(rate[1]) in EVERY_MINUTES
