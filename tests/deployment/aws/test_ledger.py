"""The ledger's resources: each planted mistake is named, and what a user may choose is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farthing.billing.prices import read_price_book
from farthing.deployment.aws import check
from farthing.deployment.aws.names import SETTLE
from farthing.deployment.aws.stack import make_stack, read_template
from farthing.deployment.aws.standing import runs_usd
from farthing.deployment.project import Project

if TYPE_CHECKING:
    from decimal import Decimal
    from pathlib import Path

    from farthing.billing.prices import PriceBook


def findings(checkout: Path) -> list[str]:
    return [str(finding) for finding in check(Project.read(checkout))]


def change(checkout: Path, was: str, becomes: str) -> None:
    template = checkout / "template.yaml"
    text = template.read_text()
    assert was in text, was
    template.write_text(text.replace(was, becomes, 1))


KEYS = "!Sub '{{resolve:secretsmanager:${KeysSecret}}}'"
LEDGER = "          FARTHING_LEDGER: !Sub dynamodb://${LedgerTable}?region=${AWS::Region}\n"
SETTLES = "- {Id: settle, Arn: !Ref SettleFunction.Alias}"
SETTLE_ALARM = "      Period: 900\n      EvaluationPeriods: 1"

# (what the template says, what a hand makes of it, what the finding says)
MISTAKES = [
    # The table.
    ("    DeletionPolicy: Retain\n", "", "the books would go with the stack"),
    ("    UpdateReplacePolicy: Retain", "    UpdateReplacePolicy: Delete", "go with the stack"),
    ("PointInTimeRecoveryEnabled: true", "PointInTimeRecoveryEnabled: false", "would be lost"),
    (
        "      BillingMode: PAY",
        "      SSESpecification: {SSEEnabled: true}\n      BillingMode: PAY",
        "billed by the request",
    ),
    ("PAY_PER_REQUEST", "PROVISIONED", "nothing is paid while nobody calls"),
    ("{AttributeName: pk, KeyType: HASH}", "{AttributeName: id, KeyType: HASH}", "under pk and sk"),
    (
        "{AttributeName: sk, AttributeType: S}",
        "{AttributeName: sk, AttributeType: N}",
        "both keys are text",
    ),
    (
        "      BillingMode: PAY",
        "      TableName: ledger\n      BillingMode: PAY",
        "in the way of the next stack",
    ),
    (
        "      BillingMode: PAY",
        "      TimeToLiveSpecification: {AttributeName: t, Enabled: true}\n      BillingMode: PAY",
        "books do not expire",
    ),
    (
        "    Type: AWS::DynamoDB::Table\n    Condition: WithBilling\n",
        "    Type: AWS::DynamoDB::Table\n",
        "Billing is off, and there are 1 tables",
    ),
    # Who is told of it.
    (
        "            - !Sub dynamodb://${LedgerTable}?region=${AWS::Region}\n",
        "            - !Sub dynamodb://${LedgerTable}\n",
        "Environment.Variables.FARTHING_LEDGER: With Billing=on",
    ),
    ("[WithBilling, !Ref BudgetOutage,", "[WithBilling, open,", "BudgetOutage closed"),
    ("[WithPlans, !Ref Plans,", "[WithPlans, '[]',", "prices and invoices follow the same Plans"),
    (
        "          FARTHING_PLANS:",
        "          FARTHING_RECORDER: spool\n          FARTHING_PLANS:",
        "settle reads entries from the log",
    ),
    # Secrets.
    (KEYS, "'1a=c2VjcmV0'", "It is a secret, and is not read from Secrets Manager"),
    (KEYS, "!Sub '{{resolve:ssm:${KeysSecret}}}'", "is not read from Secrets Manager"),
    (
        LEDGER,
        f"{LEDGER}          FARTHING_SIGNING_KEY: c2VjcmV0\n",
        "SettleFunction.Environment.Variables.FARTHING_SIGNING_KEY: With Billing=on: It is a secr",
    ),
    (
        "SIGNING_KEY_SECRET: !Ref SigningKeySecret",
        "SIGNING_KEY_SECRET: farthing/key",
        "that SigningKeySecret names",
    ),
    ("[WithRevokedKeys, !Ref RevokedKeys,", "[ByKeys, !Ref RevokedKeys,", "none while it is empty"),
    # Settle.
    (
        "${ClassifyLogs},${EmbedLogs},${SearchLogs},${SettleLogs}",
        "${ClassifyLogs},${SearchLogs},${SettleLogs}",
        "SETTLE_LOG_GROUPS: With Billing=on",
    ),
    ("    ReservedConcurrentExecutions: 1\n", "    Description: x\n", "two settlements at once"),
    (
        "    ReservedConcurrentExecutions: 1\n",
        "    ReservedConcurrentExecutions: 10\n",
        "two settlements at once",
    ),
    (
        "Layers: [!Ref CoreLayer, !Ref LedgerLayer]",
        "Layers: [!Ref CoreLayer]",
        "gives settle the layers core, ledger; ledger is not attached",
    ),
    ("      Timeout: 300\n", "", "pyproject.toml gives settle 300 s"),
    ("    Condition: WithZips\n", "    Condition: BilledByDuration\n", "only under another cond"),
    (
        "  SettleFunction:\n    Type: AWS::Serverless::Function\n    Condition: WithBilling\n",
        "  SettleFunction:\n    Type: AWS::Serverless::Function\n",
        "where nothing calls it",
    ),
    # Its schedule.
    (
        SETTLES,
        "- {Id: settle, Arn: !GetAtt SettleFunction.Arn}",
        "No schedule calls the alias of settle",
    ),
    ("rate(15 minutes)", "rate(1 minute)", "a rate of 5 to 60 minutes"),
    ("rate(15 minutes)", "rate(7 minutes)", "a rate of 5 to 60 minutes"),
    ("State: ENABLED", "State: DISABLED", "it would never be called"),
    ("Principal: events.amazonaws.com", "Principal: events", "lets the rule SettleSchedule"),
    ("      SourceArn: !GetAtt SettleSchedule.Arn\n", "", "Any account's events.amazonaws.com"),
    # Its rights.
    ("                  - !GetAtt EmbedLogs.Arn\n", "", "does not allow logs:FilterLogEvents"),
    ("-??????", "-*", "does not allow secretsmanager:GetSecretValue"),
    (
        "secret:${SigningKeySecret}-??????",
        "secret:*",
        "may secretsmanager:GetSecretValue on arn:aws:secretsmanager:us-east-1:123456789012:se",
    ),
    (
        "Action: logs:FilterLogEvents",
        "Action: [logs:FilterLogEvents, logs:DeleteLogGroup]",
        "settle may logs:DeleteLogGroup",
    ),
    (
        "                    - dynamodb:UpdateItem\n",
        "                    - dynamodb:UpdateItem\n                    - dynamodb:DeleteTable\n",
        "may dynamodb:DeleteTable",
    ),
    ("                    - dynamodb:PutItem\n", "", "does not allow dynamodb:PutItem"),
    (
        "                  Resource: !GetAtt LedgerTable.Arn\n",
        "                  Resource: '*'\n",
        "It is every resource there is",
    ),
    # Its watch.
    (SETTLE_ALARM, "      Period: 3600\n      EvaluationPeriods: 3", "speaks too late"),
    ("-settle:live'}\n      Statistic: Sum", "-settle:live'}\n      Statistic: Average", "counted"),
    (
        "  SettleErrors:\n    Type: AWS::CloudWatch::Alarm\n    Condition: WithBilling\n",
        "  SettleErrors:\n    Type: AWS::CloudWatch::Alarm\n    Condition: WithHttpApi\n",
        "No alarm watches Errors of the alias live of settle",
    ),
    ("    Value: !Sub dynamodb://", "    Value: !Sub dynamo://", "gives the ledger's address"),
    (
        "  SettleErrors:\n    Type: AWS::CloudWatch::Alarm\n    Condition: WithBilling\n",
        "  SettleErrors:\n    Type: AWS::CloudWatch::Alarm\n",
        "an alarm costs by the month",
    ),
    # Parameters.
    ("    MaxLength: 2000\n", "", "a plan that fits"),
    ("    MaxLength: 1000\n", "    MaxLength: 10000\n", "a list fits"),
    (
        "  Billing:\n    Type: String\n    Default: 'off'",
        "  Billing:\n    Type: String\n    Default: 'on'",
        "off unless someone asks",
    ),
    ("Default: closed", "Default: open", "no call is answered that no budget was asked for"),
]


@pytest.mark.parametrize(("was", "becomes", "says"), MISTAKES, ids=lambda it: str(it)[:40])
def test_a_planted_mistake_is_named(checkout: Path, was: str, becomes: str, says: str) -> None:
    change(checkout, was, becomes)
    found = findings(checkout)
    assert any(says in finding for finding in found), found


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("rate(15 minutes)", "rate(30 minutes)"),
        ("Default: farthing/signing-key", "Default: books/key"),
        (LEDGER, f"{LEDGER}          MY_OWN: x\n"),
        ("      BillingMode: PAY", "      DeletionProtectionEnabled: true\n      BillingMode: PAY"),
    ],
)
def test_what_a_user_may_choose_is_no_finding(checkout: Path, was: str, becomes: str) -> None:
    change(checkout, was, becomes)
    assert findings(checkout) == []


def test_half_as_many_runs_cost_half(checkout: Path) -> None:
    project, book = Project.read(checkout), read_price_book()
    often = settling(project, book, {"Billing": "on"})
    change(checkout, "rate(15 minutes)", "rate(30 minutes)")
    seldom = settling(project, book, {"Billing": "on"})
    assert often == 2 * seldom > 0
    assert settling(project, book, {}) == 0


def settling(project: Project, book: PriceBook, chosen: dict[str, str]) -> Decimal:
    return runs_usd(make_stack(read_template(project), chosen), SETTLE, book, "us-east-1")
