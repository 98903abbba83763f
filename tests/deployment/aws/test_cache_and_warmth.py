"""The cache of answers and what keeps functions warm: each planted mistake is named."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from farthing.billing.prices import read_price_book
from farthing.deployment.aws.cache import check_cache
from farthing.deployment.aws.ledger import check_ledger
from farthing.deployment.aws.parameters import check_parameters
from farthing.deployment.aws.refusals import check_rules
from farthing.deployment.aws.roles import check_roles
from farthing.deployment.aws.scaling import check_scaling
from farthing.deployment.aws.stack import HOURS, NETWORK, make_stack, read_template
from farthing.deployment.aws.standing import standing_usd
from farthing.deployment.aws.warmth import check_warmth
from farthing.deployment.project import Project

if TYPE_CHECKING:
    from pathlib import Path

TABLE: dict[str, Any] = {"Cache": "dynamodb"}
SERVER: dict[str, Any] = {"Cache": "redis", **NETWORK}
PINGED: dict[str, Any] = {"KeepWarm": "on"}
WARM: dict[str, Any] = {"Profile": "warm", "WarmEnvironments": 2, **HOURS}


def findings(checkout: Path, chosen: dict[str, Any]) -> list[str]:
    project = Project.read(checkout)
    template = read_template(project)
    stack = make_stack(template, chosen)
    return [
        str(finding)
        for found in (
            check_parameters(template),
            check_rules(template),
            check_cache(project, stack),
            check_warmth(project, stack),
            check_ledger(stack),
            check_roles(project, stack),
            check_scaling(project, stack, read_price_book()),
        )
        for finding in found
    ]


def change(checkout: Path, was: str, becomes: str) -> None:
    template = checkout / "template.yaml"
    text = template.read_text()
    assert was in text, was
    template.write_text(text.replace(was, becomes, 1))


CACHE_TABLE = "  CacheTable:\n    Type: AWS::DynamoDB::Table\n    Condition: WithCacheTable\n"
ENDS = "{AttributeName: expires_at, Enabled: true}"
LIFE = f"      TimeToLiveSpecification: {ENDS}\n"
RIGHTS = "Action: [dynamodb:BatchGetItem, dynamodb:BatchWriteItem]\n"
IN_NETWORK = "        - {SubnetIds: !Ref SubnetIds, SecurityGroupIds: !Ref SecurityGroupIds}\n"
PING = """Input: '{"farthing": "ping"}'"""
ACTION = "ScalableTargetAction: {MinCapacity: "

MISTAKES = [
    # The table.
    (TABLE, LIFE, "", "an answer's end is in expires_at"),
    (TABLE, ENDS, "{AttributeName: expires, Enabled: true}", "an answer's end is in expires_at"),
    (TABLE, ENDS, "{AttributeName: expires_at, Enabled: false}", "would be kept, and paid for"),
    (TABLE, "AttributeType: B", "AttributeType: S", "a key is bytes"),
    (TABLE, LIFE, f"{LIFE}      TableName: cache\n", "could not make its own"),
    (
        TABLE,
        LIFE,
        f"{LIFE}      PointInTimeRecoverySpecification: {{PointInTimeRecoveryEnabled: true}}\n",
        "nobody restores a cache",
    ),
    (
        TABLE,
        LIFE,
        f"{LIFE}      SSESpecification: {{SSEEnabled: true}}\n",
        "billed by the request",
    ),
    (TABLE, "    DeletionPolicy: Delete\n", "    DeletionPolicy: Retain\n", "left behind is paid"),
    (TABLE, CACHE_TABLE, CACHE_TABLE.replace("WithCacheTable", "WithRedis"), "there are 0 tables"),
    ({}, CACHE_TABLE, CACHE_TABLE.replace("    Condition: WithCacheTable\n", ""), "are 1 tables"),
    # Who is told of it, and may reach it.
    (TABLE, "dynamodb:${CacheTable}?", "dynamodb:cache?", "FARTHING_CACHE: It is dynamodb:cache"),
    (
        TABLE,
        "          FARTHING_CACHE: !If\n",
        "          FARTHING_CASH: !If\n",
        "FARTHING_CACHE: It is missing, but Cache is dynamodb",
    ),
    (TABLE, RIGHTS, "Action: dynamodb:BatchGetItem\n", "does not allow dynamodb:BatchWriteItem"),
    (
        TABLE,
        RIGHTS,
        "Action: [dynamodb:BatchGetItem, dynamodb:BatchWriteItem, dynamodb:Scan]\n",
        "may dynamodb:Scan on",
    ),
    (TABLE, "Resource: !GetAtt CacheTable.Arn", "Resource: '*'", "It is every resource there is"),
    (
        {},
        "          FARTHING_INDEX: !If\n",
        "          FARTHING_CACHE: memory\n          FARTHING_INDEX: !If\n",
        "the function keeps no answers",
    ),
    # A server.
    (
        SERVER,
        "!Sub '{{resolve:secretsmanager:${CacheUrlSecret}}}'",
        "rediss://shop:secret@cache.example.org:6379",
        "holds a password, so it comes from the secret",
    ),
    (SERVER, IN_NETWORK, "        - !Ref AWS::NoValue\n", "stand in your network"),
    (
        SERVER,
        "  InNetwork: !And [!Condition WithRedis, !Condition BilledByDuration]",
        "  InNetwork: !And [!Condition WithCacheTable, !Condition BilledByDuration]",
        "does not allow ec2:CreateNetworkInterface",
    ),
    (
        {"Profile": "cpu", **SERVER},
        "!And [!Condition WithRedis, !Condition BilledByDuration]",
        "!Equals [!Ref Cache, redis]",
        "which it has no use for",
    ),
    (
        {},
        "  RedisNeedsNetwork:\n    RuleCondition: !Equals [!Ref Cache, redis]\n",
        "  RedisNeedsNetwork:\n    RuleCondition: !Equals [!Ref Cache, dynamodb]\n",
        "No rule refuses Cache redis without SubnetIds",
    ),
    ({}, "    Default: memory\n", "    Default: dynamodb\n", "what costs nothing is kept unasked"),
    # Pings.
    (PINGED, "!Ref EmbedFunction.Alias\n          In", "!GetAtt EmbedFunction.Arn\n          In",
     "whose environments are not those that callers of embed meet"),
    (PINGED, "!Ref EmbedFunction.Alias\n          In", "!Ref EmbedFunction.Version\n          In",
     "0 schedules call the alias of embed"),
    (PINGED, PING, """Input: '{"inputs": "keep warm"}'""", "a ping is answered without inference"),
    (PINGED, f"          {PING}\n", "", "a ping is answered without inference"),
    (PINGED, PING, """Input: '{"farthing": "pong"}'""", "a ping is answered without inference"),
    (PINGED, "rate(4 minutes)", "rate(15 minutes)", "would find the environment gone"),
    (PINGED, "rate(4 minutes)", "rate(1 minute)", "more are paid for in vain"),
    (PINGED, "MaximumRetryAttempts: 0", "MaximumRetryAttempts: 185", "makes up for one that is"),
    (PINGED, "SourceArn: !GetAtt ClassifyPing.Arn", "SourceArn: !GetAtt EmbedPing.Arn",
     "No permission lets the rule ClassifyPing call classify"),
    (
        {},
        "  ClassifyPing:\n    Type: AWS::Events::Rule\n    Condition: WithPings\n",
        "  ClassifyPing:\n    Type: AWS::Events::Rule\n    Condition: BilledByDuration\n",
        "KeepWarm is off, and 1 schedules call the alias of classify",
    ),
    (
        {},
        "  KeepWarmWithZero:\n    RuleCondition: !Equals [!Ref KeepWarm, 'on']\n",
        "  KeepWarmWithZero:\n    RuleCondition: !Equals [!Ref KeepWarm, 'off']\n",
        "No rule refuses pings of what stands ready",
    ),
    # Hours.
    (WARM, "Schedule: !Ref WarmFrom", "Schedule: !Ref WarmUntil", "WarmFrom says when"),
    (WARM, "Timezone: !Ref WarmTimezone", "Timezone: Etc/UTC", "where the clock hangs"),
    (WARM, f"{ACTION}0, MaxCapacity: 0}}", f"{ACTION}0, MaxCapacity: 10}}", "after WarmUntil"),
    (WARM, f"{ACTION}0, ", f"{ACTION}1, ", "0 are ready after WarmUntil"),
    (WARM, f"{ACTION}!Ref WarmEnvironments", f"{ACTION}1", "2 are ready after WarmFrom"),
    (WARM, "MinCapacity: !Ref WarmEnvironments\n", "MinCapacity: 1\n", "2 is what the alias prov"),
    (
        {"Profile": "warm"},
        "      ScheduledActions: !If\n        - ByHours\n",
        "      ScheduledActions: !If\n        - Warm\n",
        "it is warm always",
    ),
    ({}, "RuleCondition: !Not [!Equals [!Ref WarmFrom, '']]",
     "RuleCondition: !Equals [!Ref WarmFrom, '']", "No rule refuses hours that never end"),
]  # fmt: skip


@pytest.mark.parametrize("chosen", [{}, TABLE, SERVER, {"Profile": "cpu", **SERVER}, PINGED, WARM])
def test_what_ships_is_clean(checkout: Path, chosen: dict[str, Any]) -> None:
    assert findings(checkout, chosen) == []


@pytest.mark.parametrize(
    ("chosen", "was", "becomes", "says"), MISTAKES, ids=lambda it: str(it)[:40]
)
def test_a_planted_mistake_is_named(
    checkout: Path, chosen: dict[str, Any], was: str, becomes: str, says: str
) -> None:
    change(checkout, was, becomes)
    found = findings(checkout, chosen)
    assert any(says in finding for finding in found), found


@pytest.mark.parametrize(
    ("chosen", "was", "becomes"),
    [
        (PINGED, "rate(4 minutes)", "rate(10 minutes)"),
        (PINGED, PING, """Input: '{"farthing": "ping", "hold_ms": 50}'"""),
        (TABLE, "    DeletionPolicy: Delete\n", ""),
        (TABLE, LIFE, f"{LIFE}      DeletionProtectionEnabled: false\n"),
    ],
)
def test_what_a_user_may_choose_is_no_finding(
    checkout: Path, chosen: dict[str, Any], was: str, becomes: str
) -> None:
    change(checkout, was, becomes)
    assert findings(checkout, chosen) == []


def test_pings_cost_their_requests_and_five_milliseconds_each(project: Project) -> None:
    template, book = read_template(project), read_price_book()
    # Three functions, 15 an hour, 730 hours: a request at 2e-7, 5 ms of a GB at 0.0000166667.
    expected = Decimal(3 * 15 * 730 * (2_000_000 + 5 * 166_667)) / 10**13
    assert standing_usd(make_stack(template, PINGED), book, "us-east-1") == expected
    assert standing_usd(make_stack(template, {}), book, "us-east-1") == 0


def test_a_table_for_answers_and_a_ledger_have_rights_of_their_own(project: Project) -> None:
    stack = make_stack(read_template(project), {**TABLE, "Billing": "on"})
    assert {it.id for it in stack.of("AWS::DynamoDB::Table")} == {"CacheTable", "LedgerTable"}
    assert [*check_ledger(stack), *check_cache(project, stack), *check_roles(project, stack)] == []
    role = stack.resources["SearchRole"].get("Policies.0.PolicyDocument")
    assert "CacheTable" not in str(role)
    assert "LedgerTable" in str(role)
