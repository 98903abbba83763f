"""The ledger: a table that outlives the stack, who may touch it, and settle's way to it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from farthing.deployment.aws.names import (
    LOG_GROUP,
    PERMISSION,
    SETTLE,
    alias_arn,
    deployed,
)
from farthing.deployment.aws.stack import REGION
from farthing.deployment.aws.wanted import (
    ABSENT,
    Rule,
    Wanted,
    exactly,
    hold,
    missing,
    one_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.aws.stack import Resource, Stack
    from farthing.deployment.findings import Finding

TABLE = "AWS::DynamoDB::Table"
SCHEDULE = "AWS::Events::Rule"
RETAINED = ("DeletionPolicy", "UpdateReplacePolicy")
RATE = re.compile(r"rate\((\d+) minutes\)")
# Shorter pays for runs that find nothing; longer keeps spent leases and unsealed hours waiting.
EVERY_MINUTES = range(5, 61)
VARIABLE = "Environment.Variables."


def check_ledger(stack: Stack) -> Iterator[Finding]:
    """With Billing on there is one ledger, which everyone is told of; with it off there is none."""
    tables = stack.of(TABLE)
    if len(tables) != stack.with_billing:
        yield missing(
            "Resources",
            f"Billing is {stack.parameters.get('Billing')}, and there are {len(tables)} tables.",
            "Keep one table, under the condition of that parameter.",
        )
        return
    for table in tables:
        yield from hold(table, _table())
        yield from _retained(stack, table)
    address = f"dynamodb://{tables[0].id}?region={REGION}" if tables else None
    if address and address not in stack.outputs.values():
        yield missing("Outputs", "No output gives the ledger's address.", "Add it.")
    for function in stack.of("AWS::Serverless::Function"):
        if function.get("FunctionName") == deployed(SETTLE):
            yield from hold(function, _settle(stack, address))
            yield from _schedule(stack, function)
        elif function.get("PackageType") == "Image":
            yield from hold(function, _budgets(stack, address))


def runs_per_hour(stack: Stack) -> int:
    """How often settle's schedule calls it; 0 where nothing does."""
    for rule in stack.of(SCHEDULE):
        rate = RATE.fullmatch(str(rule.get("ScheduleExpression")))
        if rate and rule.get("Targets.0.Arn") == alias_arn(SETTLE):
            return 60 // int(rate[1])
    return 0


def _table() -> Iterator[Rule]:
    yield Rule("BillingMode", exactly("PAY_PER_REQUEST"), "nothing is paid while nobody calls")
    yield Rule(
        "KeySchema",
        exactly(
            [
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ]
        ),
        "the store keeps its items under pk and sk",
    )
    yield Rule(
        "AttributeDefinitions",
        exactly([{"AttributeName": it, "AttributeType": "S"} for it in ("pk", "sk")]),
        "both keys are text",
    )
    recovery = "PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled"
    yield Rule(recovery, exactly(True), "what was deleted by mistake would be lost")
    # Without it DynamoDB encrypts with a key of its own, for which no request is billed.
    yield Rule("SSESpecification", ABSENT, "a key of KMS is billed by the request")
    yield Rule("TimeToLiveSpecification", ABSENT, "books do not expire")
    yield Rule("TableName", ABSENT, "a retained table would stand in the way of the next stack")


def _retained(stack: Stack, table: Resource) -> Iterator[Finding]:
    declared = stack.template["Resources"][table.id]
    for key in RETAINED:
        if declared.get(key) != "Retain":
            yield missing(
                f"Resources.{table.id}.{key}",
                f"It is {declared.get(key)}, so the books would go with the stack.",
                "Make it Retain.",
            )


def _budgets(stack: Stack, address: str | None) -> Iterator[Rule]:
    outage = stack.parameters.get("BudgetOutage")
    billing = f"Billing is {stack.parameters.get('Billing')}"
    yield Rule(f"{VARIABLE}FARTHING_LEDGER", exactly(address) if address else ABSENT, billing)
    yield Rule(
        f"{VARIABLE}FARTHING_BUDGET_OUTAGE",
        exactly(outage) if address else ABSENT,
        f"{billing}, and BudgetOutage {outage}",
    )
    yield _plans(stack)
    line = one_of(None, "line")
    yield Rule(f"{VARIABLE}FARTHING_RECORDER", line, "settle reads entries from the log")


def _plans(stack: Stack) -> Rule:
    plans = stack.parameters.get("Plans")
    wanted = exactly(plans) if plans else ABSENT
    return Rule(f"{VARIABLE}FARTHING_PLANS", wanted, "prices and invoices follow the same Plans")


def _settle(stack: Stack, address: str | None) -> Iterator[Rule]:
    groups = {str(it.get("LogGroupName")) for it in stack.of(LOG_GROUP)}
    yield Rule(f"{VARIABLE}FARTHING_LEDGER", exactly(address), "it settles the stack's own ledger")
    yield Rule(
        f"{VARIABLE}SETTLE_LOG_GROUPS",
        Wanted(lambda it: sorted(str(it).split(",")) == sorted(groups), ",".join(sorted(groups))),
        "what a function costs is read from its log, and every function costs",
    )
    secret = stack.parameters.get("SigningKeySecret")
    yield Rule(
        f"{VARIABLE}SETTLE_SIGNING_KEY_SECRET",
        exactly(secret),
        "receipts are signed with the key that SigningKeySecret names",
    )
    yield _plans(stack)
    yield Rule(
        "ReservedConcurrentExecutions",
        exactly(1),
        "two settlements at once would do the work twice",
    )
    yield Rule("ProvisionedConcurrencyConfig", ABSENT, "nobody waits for it")
    yield Rule("FunctionUrlConfig", ABSENT, "nobody calls it")


def _schedule(stack: Stack, function: Resource) -> Iterator[Finding]:
    rule = next(
        (it for it in stack.of(SCHEDULE) if it.get("Targets.0.Arn") == alias_arn(SETTLE)), None
    )
    if rule is None:
        yield missing(
            f"Resources.{function.id}",
            "No schedule calls its alias, so nothing would be settled.",
            f"Add an {SCHEDULE} whose target is the alias.",
        )
        return
    yield from hold(
        rule,
        [
            Rule(
                "ScheduleExpression",
                Wanted(_often_enough, "a rate of 5 to 60 minutes that divides an hour"),
                "hours are sealed, and spent leases settled, by it",
            ),
            Rule("State", one_of(None, "ENABLED"), "nothing would be settled"),
        ],
    )
    arn = f"arn:aws:events:{REGION}:123456789012:rule/{rule.id}"
    invoked = {"FunctionName": alias_arn(SETTLE), "Action": "lambda:InvokeFunction"}
    caller = {"Principal": "events.amazonaws.com", "SourceArn": arn}
    if stack.one(PERMISSION, **invoked, **caller) is None:
        yield missing(
            "Resources",
            f"No permission lets the schedule {rule.id} call settle.",
            f"Add an {PERMISSION} on its alias for events.amazonaws.com, with that SourceArn.",
        )


def _often_enough(expression: object) -> bool:
    rate = RATE.fullmatch(str(expression))
    return rate is not None and int(rate[1]) in EVERY_MINUTES and 60 % int(rate[1]) == 0
