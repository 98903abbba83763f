"""Functions that a clock or an event calls: their rule, its rights, how often they run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from farthing.deployment.aws.names import PERMISSION, alias_arn
from farthing.deployment.aws.stack import REGION
from farthing.deployment.aws.wanted import Rule, Wanted, hold, missing, one_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.aws.stack import Resource, Stack
    from farthing.deployment.findings import Finding

RULE = "AWS::Events::Rule"
RATE = re.compile(r"rate\((\d+) minutes\)")
# Shorter pays for runs that find nothing; longer keeps waiting what waits.
EVERY_MINUTES = range(5, 61)


def check_schedule(stack: Stack, function: Resource, name: str, why: str) -> Iterator[Finding]:
    """A clock calls the function; `why` completes "It is …, but …" of its rate."""
    rule = next((it for it in rules_of(stack, name) if it.get("ScheduleExpression")), None)
    if rule is None:
        yield missing(
            f"Resources.{function.id}",
            f"No schedule calls the alias of {name}, so nothing would make up for what is missed.",
            f"Add an {RULE} whose target is the alias.",
        )
        return
    rate = Wanted(_often_enough, "a rate of 5 to 60 minutes that divides an hour")
    yield from hold(rule, [Rule("ScheduleExpression", rate, why)])
    yield from check_rule(stack, rule, name)


def check_rule(stack: Stack, rule: Resource, name: str) -> Iterator[Finding]:
    """The rule is on, and may call the function."""
    yield from hold(rule, [Rule("State", one_of(None, "ENABLED"), "it would never be called")])
    arn = f"arn:aws:events:{REGION}:123456789012:rule/{rule.id}"
    invoked = {"FunctionName": alias_arn(name), "Action": "lambda:InvokeFunction"}
    caller = {"Principal": "events.amazonaws.com", "SourceArn": arn}
    if stack.one(PERMISSION, **invoked, **caller) is None:
        yield missing(
            "Resources",
            f"No permission lets the rule {rule.id} call {name}.",
            f"Add an {PERMISSION} on its alias for events.amazonaws.com, with that SourceArn.",
        )


def rules_of(stack: Stack, name: str) -> list[Resource]:
    """The rules of EventBridge that call the alias of that function."""
    return [it for it in stack.of(RULE) if it.get("Targets.0.Arn") == alias_arn(name)]


def runs_per_hour(stack: Stack, name: str) -> int:
    """How often a schedule calls it; 0 where none does."""
    for rule in rules_of(stack, name):
        rate = RATE.fullmatch(str(rule.get("ScheduleExpression")))
        if rate:
            return 60 // int(rate[1])
    return 0


def _often_enough(expression: object) -> bool:
    rate = RATE.fullmatch(str(expression))
    return rate is not None and int(rate[1]) in EVERY_MINUTES and 60 % int(rate[1]) == 0
