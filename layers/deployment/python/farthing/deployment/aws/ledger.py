"""The ledger: a table that outlives the stack, who may touch it, and settle's way to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.deployment.aws.names import (
    BATCH,
    CACHE_TABLE,
    LOG_GROUP,
    SETTLE,
    TABLE,
    deployed,
)
from farthing.deployment.aws.scheduled import check_schedule
from farthing.deployment.aws.stack import REGION
from farthing.deployment.aws.wanted import (
    ABSENT,
    Rule,
    Wanted,
    check_retained,
    exactly,
    hold,
    missing,
    one_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.aws.stack import Stack
    from farthing.deployment.findings import Finding

VARIABLE = "Environment.Variables."


def check_ledger(stack: Stack) -> Iterator[Finding]:
    """With Billing on there is one ledger, which everyone is told of; with it off there is none."""
    tables = [it for it in stack.of(TABLE) if it.id != CACHE_TABLE]
    if len(tables) != stack.with_billing:
        yield missing(
            "Resources",
            f"Billing is {stack.parameters.get('Billing')}, and there are {len(tables)} tables.",
            "Keep one table, under the condition of that parameter.",
        )
        return
    for table in tables:
        yield from hold(table, _table())
        yield from check_retained(stack, table, "the books")
    address = f"dynamodb://{tables[0].id}?region={REGION}" if tables else None
    if address and address not in stack.outputs.values():
        yield missing("Outputs", "No output gives the ledger's address.", "Add it.")
    for function in stack.of("AWS::Serverless::Function"):
        if function.get("FunctionName") == deployed(SETTLE):
            yield from hold(function, _settle(stack, address))
            why = "hours are sealed, and spent leases settled, by it"
            yield from check_schedule(stack, function, SETTLE, why)
        elif function.get("FunctionUrlConfig") or function.get("FunctionName") == deployed(BATCH):
            yield from hold(function, _budgets(stack, address))


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
