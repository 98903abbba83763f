"""The translated template, created in a moto server and read back.

moto's CloudFormation makes functions, versions, permissions, layers, roles, log groups, queues,
topics, tables, buckets and schedules. It knows no alias, URL, alarm, scalable target, budget,
policy of a topic, queue or bucket, HTTP API, capacity provider or CodeDeploy group: those of them
that moto serves by API are made from the same properties with boto3, which holds them to the
services' own models.
"""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest

from farthing.billing.breaker import Breaker
from farthing.billing.stores import open_store
from farthing.billing.tenants import Budget, Tenant
from farthing.deployment.aws.stack import NETWORK, PLANS, SCENARIOS, make_stack, read_template
from farthing.serving.keys import KeyRing, new_claims

# A vCPU of the instance that the capacity provider buys.
PRICED_AS = {"FARTHING_NODE": "c7i.xlarge", "FARTHING_VCPU_MILLI": "1000"}
SERVING = ("classify", "embed", "search")
SIZES = {"zero": 1024, "warm": 1024, "cpu": 2048}


@pytest.mark.parametrize("chosen", SCENARIOS, ids=lambda it: "-".join(map(str, it)) or "default")
def test_every_scenario_is_created_as_the_rules_see_it(
    created: Any, aws: Any, project: Any, chosen: dict[str, Any]
) -> None:
    created(chosen)
    client = aws("cloudformation")
    found = client.describe_stacks(StackName="farthing")["Stacks"][0]
    assert found["StackStatus"] == "CREATE_COMPLETE"
    listed = client.list_stack_resources(StackName="farthing")["StackResourceSummaries"]
    seen = make_stack(read_template(project), chosen)
    for kind in (
        "AWS::DynamoDB::Table", "AWS::Events::Rule", "AWS::Logs::LogGroup", "AWS::S3::Bucket",
        "AWS::SNS::Topic", "AWS::SQS::Queue",
    ):  # fmt: skip
        made = {it["LogicalResourceId"] for it in listed if it["ResourceType"] == kind}
        assert made == {it.id for it in seen.of(kind)}
    functions = {it["FunctionName"] for it in aws("lambda").list_functions()["Functions"]}
    assert functions == {it.get("FunctionName") for it in seen.of("AWS::Serverless::Function")}


@pytest.mark.parametrize("profile", ["zero", "warm", "cpu"])
def test_functions_are_as_large_as_they_should_be(
    created: Any, aws: Any, project: Any, profile: str
) -> None:
    created({"Profile": profile, **(NETWORK if profile == "cpu" else {})})
    for name in SERVING:
        found = aws("lambda").get_function(FunctionName=f"farthing-{name}")
        configuration = found["Configuration"]
        assert configuration["MemorySize"] == SIZES[profile]
        assert configuration["Timeout"] == project.function(name).timeout_s
        priced_as = PRICED_AS if profile == "cpu" else {}
        variables = configuration["Environment"]["Variables"]
        keeps = {} if name == "search" else {"FARTHING_CACHE": "memory"}
        assert variables == {"FARTHING_ACCESS": "platform", **keeps, **priced_as}
    names = {it["FunctionName"] for it in aws("lambda").list_functions()["Functions"]}
    assert ("farthing-breaker" in names) is (profile != "cpu")


def test_what_verifies_keys_comes_from_secrets_manager(created: Any, aws: Any) -> None:
    created({"Access": "keys"})
    found = aws("lambda").get_function(FunctionName="farthing-embed")["Configuration"]
    variables = found["Environment"]["Variables"]
    assert variables["FARTHING_ACCESS"] == "keys"
    # CloudFormation resolves the reference; moto leaves it as it is behind Fn::Sub.
    reference = variables["FARTHING_KEYS"]
    name = reference.removeprefix("{{resolve:secretsmanager:").removesuffix("}}")
    secret = aws("secretsmanager").get_secret_value(SecretId=name)["SecretString"]
    ring = KeyRing([secret])
    assert ring.caller(f"Bearer {ring.sign(new_claims('acme', 60))}").sub == "acme"


def test_nothing_is_reserved_unless_asked_for(created: Any, aws: Any) -> None:
    created({})
    found = aws("lambda").get_function_concurrency(FunctionName="farthing-classify")
    assert "ReservedConcurrentExecutions" not in found


def test_the_cap_reaches_the_functions_but_not_the_breaker(created: Any, aws: Any) -> None:
    created({"ReservedConcurrency": "7"})
    read = aws("lambda").get_function_concurrency
    assert read(FunctionName="farthing-embed")["ReservedConcurrentExecutions"] == 7
    assert "ReservedConcurrentExecutions" not in read(FunctionName="farthing-breaker")


def test_the_queue_is_tagged_encrypted_and_patient(created: Any, aws: Any) -> None:
    created({"Profile": "warm"})
    (url,) = aws("sqs").list_queues()["QueueUrls"]
    assert aws("sqs").list_queue_tags(QueueUrl=url)["Tags"] == {
        "app": "farthing",
        "profile": "warm",
    }
    attributes = aws("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert attributes["SqsManagedSseEnabled"] == "true"
    assert attributes["MessageRetentionPeriod"] == "1209600"


def test_logs_end(created: Any, aws: Any) -> None:
    created({"LogRetentionDays": "7"})
    groups = {it["logGroupName"]: it for it in aws("logs").describe_log_groups()["logGroups"]}
    for name in (*SERVING, "breaker"):
        assert groups[f"/aws/lambda/farthing-{name}"]["retentionInDays"] == 7


def test_the_breaker_stops_the_functions_of_its_own_stack(
    created: Any, aws: Any, sample_event: Any
) -> None:
    created({})
    client = aws("lambda")
    variables = client.get_function(FunctionName="farthing-breaker")["Configuration"][
        "Environment"
    ]["Variables"]
    Breaker(client, variables["BREAKER_FUNCTIONS"].split(",")).handle(
        sample_event("breaker", "alarm")
    )
    for name in SERVING:
        found = client.get_function_concurrency(FunctionName=f"farthing-{name}")
        assert found["ReservedConcurrentExecutions"] == 0


def test_roles_grant_what_they_say_and_nothing_managed(created: Any, aws: Any) -> None:
    created({})
    iam = aws("iam")
    roles = {it["RoleName"] for it in iam.list_roles()["Roles"]}
    (breaker,) = [it for it in roles if "BreakerRole" in it]
    assert iam.list_attached_role_policies(RoleName=breaker)["AttachedPolicies"] == []
    document = iam.get_role_policy(RoleName=breaker, PolicyName="breaker")["PolicyDocument"]
    # moto keeps the document as Python's text, with None where CloudFormation leaves an item out.
    statements = [it for it in ast.literal_eval(document)["Statement"] if it]
    statements[0]["Resource"] = [it for it in statements[0]["Resource"] if it]
    assert statements[0] == {
        "Effect": "Allow",
        "Action": "lambda:PutFunctionConcurrency",
        "Resource": [
            f"arn:aws:lambda:us-east-1:123456789012:function:farthing-{name}" for name in SERVING
        ],
    }
    assert "*" not in [it["Resource"] for it in statements]


# -- the ledger ---------------------------------------------------------------------------------


def test_the_stacks_table_is_one_that_the_store_can_keep_books_in(
    created: Any, aws: Any, moto_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    created({"Billing": "on"})
    client = aws("dynamodb")
    (name,) = client.list_tables()["TableNames"]
    table = client.describe_table(TableName=name)["Table"]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    tags = client.list_tags_of_resource(ResourceArn=table["TableArn"])["Tags"]
    assert {"Key": "app", "Value": "farthing"} in tags
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    read = aws("lambda").get_function_configuration(FunctionName="farthing-classify")
    address = read["Environment"]["Variables"]["FARTHING_LEDGER"]
    store = open_store(f"{address}&endpoint={moto_server}")
    store.put_tenant(Tenant(name="acme", budgets=(Budget("month", 10**12),)))
    (budget,) = store.free("acme", 1_795_327_200_000).values()
    assert budget == (10**12, 0, 10**12)
    store.close()


def test_dynamodb_takes_recovery(aws: Any, project: Any) -> None:
    """moto's CloudFormation leaves it out."""
    stack = make_stack(read_template(project), {"Billing": "on"})
    (table,) = stack.of("AWS::DynamoDB::Table")
    own = dict(table.properties)
    recovery = own.pop("PointInTimeRecoverySpecification")
    client = aws("dynamodb")
    client.create_table(TableName="ledger", **own)
    client.update_continuous_backups(TableName="ledger", PointInTimeRecoverySpecification=recovery)
    found = client.describe_continuous_backups(TableName="ledger")
    description = found["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    assert description["PointInTimeRecoveryStatus"] == "ENABLED"


def test_functions_and_settle_keep_one_ledger_with_one_set_of_plans(created: Any, aws: Any) -> None:
    created({"Billing": "on", "Plans": PLANS, "BudgetOutage": "open"})
    (table,) = aws("dynamodb").list_tables()["TableNames"]
    read = aws("lambda").get_function_configuration
    for name in (*SERVING, "settle"):
        variables = read(FunctionName=f"farthing-{name}")["Environment"]["Variables"]
        assert variables["FARTHING_LEDGER"] == f"dynamodb://{table}?region=us-east-1"
        assert json.loads(variables["FARTHING_PLANS"])[0]["name"] == "shop"
        assert variables.get("FARTHING_BUDGET_OUTAGE") == (None if name == "settle" else "open")


@pytest.mark.parametrize(
    "chosen",
    [{}, {"Profile": "cpu", **NETWORK}, {"Index": "bucket"}],
    ids=["zero", "cpu", "index"],
)
def test_settle_reads_every_log_there_is_and_runs_alone(
    created: Any, aws: Any, chosen: dict[str, Any]
) -> None:
    created({**chosen, "Billing": "on"})
    client = aws("lambda")
    found = client.get_function_configuration(FunctionName="farthing-settle")
    assert (found["MemorySize"], found["Timeout"]) == (512, 300)
    groups = {it["logGroupName"] for it in aws("logs").describe_log_groups()["logGroups"]}
    assert set(found["Environment"]["Variables"]["SETTLE_LOG_GROUPS"].split(",")) == groups
    concurrency = client.get_function_concurrency(FunctionName="farthing-settle")
    assert concurrency["ReservedConcurrentExecutions"] == 1


def test_a_schedule_and_nobody_else_calls_settle(created: Any, aws: Any) -> None:
    created({"Billing": "on"})
    (rule,) = aws("events").list_rules()["Rules"]
    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(15 minutes)", "ENABLED")
    (target,) = aws("events").list_targets_by_rule(Rule=rule["Name"])["Targets"]
    assert "settle" in target["Arn"].lower()
    policy = json.loads(aws("lambda").get_policy(FunctionName="farthing-settle")["Policy"])
    (statement,) = policy["Statement"]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Condition"]["ArnLike"]["AWS:SourceArn"] == rule["Arn"]


def test_settle_may_read_one_secret_and_no_other(created: Any, aws: Any) -> None:
    created({"Billing": "on", "SigningKeySecret": "books/key"})
    iam = aws("iam")
    (role,) = [it["RoleName"] for it in iam.list_roles()["Roles"] if "SettleRole" in it["RoleName"]]
    document = iam.get_role_policy(RoleName=role, PolicyName="settle")["PolicyDocument"]
    allowed = {
        action: it["Resource"]
        for it in ast.literal_eval(document)["Statement"]
        if it
        for action in ([it["Action"]] if isinstance(it["Action"], str) else it["Action"])
    }
    secret = "arn:aws:secretsmanager:us-east-1:123456789012:secret:books/key-??????"
    assert allowed["secretsmanager:GetSecretValue"] == secret
    assert {"dynamodb:DeleteTable", "dynamodb:Scan", "dynamodb:*"}.isdisjoint(allowed)


def test_without_billing_there_is_no_ledger_and_nothing_is_scheduled(
    created: Any, aws: Any
) -> None:
    created({})
    assert aws("dynamodb").list_tables()["TableNames"] == []
    assert aws("events").list_rules()["Rules"] == []
    names = {it["FunctionName"] for it in aws("lambda").list_functions()["Functions"]}
    assert "farthing-settle" not in names


# -- what moto's CloudFormation does not make ---------------------------------------------------


def test_cloudwatch_takes_every_alarm(aws: Any, project: Any) -> None:
    stack = make_stack(read_template(project), {"Billing": "on"})
    client = aws("cloudwatch")
    for alarm in stack.of("AWS::CloudWatch::Alarm"):
        client.put_metric_alarm(AlarmName=alarm.id, **alarm.properties)
    found = client.describe_alarms(AlarmNames=["SpendAlarm", "ClassifyErrors"])["MetricAlarms"]
    by_name = {it["AlarmName"]: it for it in found}
    assert len(by_name["SpendAlarm"]["Metrics"]) == 1 + 2 * len(SERVING)
    assert by_name["ClassifyErrors"]["Threshold"] == 0


def test_auto_scaling_takes_the_warm_profile(aws: Any, project: Any) -> None:
    stack = make_stack(read_template(project), {"Profile": "warm"})
    client = aws("application-autoscaling")
    for target in stack.of("AWS::ApplicationAutoScaling::ScalableTarget"):
        properties = dict(target.properties)
        tags = {it["Key"]: it["Value"] for it in properties.pop("Tags")}
        client.register_scalable_target(**properties, Tags=tags)
        for policy in stack.of("AWS::ApplicationAutoScaling::ScalingPolicy"):
            if policy.get("ScalingTargetId") == target.id:
                about = {
                    key: properties[key]
                    for key in ("ResourceId", "ScalableDimension", "ServiceNamespace")
                }
                own = {k: v for k, v in policy.properties.items() if k != "ScalingTargetId"}
                client.put_scaling_policy(**own, **about)
    found = client.describe_scaling_policies(ServiceNamespace="lambda")["ScalingPolicies"]
    targets = {
        it["ResourceId"]: it["TargetTrackingScalingPolicyConfiguration"]["TargetValue"]
        for it in found
    }
    assert targets == {f"function:farthing-{name}:live": 0.7 for name in SERVING}


def test_queue_and_topics_take_their_policies(aws: Any, project: Any) -> None:
    stack = make_stack(read_template(project), {})
    (queue,) = stack.of("AWS::SQS::QueuePolicy")
    url = aws("sqs").create_queue(QueueName="DeadLetters")["QueueUrl"]
    policy = json.dumps(queue.get("PolicyDocument"))
    aws("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    for it in stack.of("AWS::SNS::TopicPolicy"):
        (arn,) = it.get("Topics")
        assert aws("sns").create_topic(Name=arn.rpartition(":")[2])["TopicArn"] == arn
        policy = json.dumps(it.get("PolicyDocument"))
        aws("sns").set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=policy)


def test_budgets_takes_the_budget(aws: Any, project: Any) -> None:
    stack = make_stack(read_template(project), {"MonthlyBudgetUsd": "35"})
    (budget,) = stack.of("AWS::Budgets::Budget")
    client = aws("budgets")
    client.create_budget(
        AccountId="123456789012",
        Budget={"BudgetName": "farthing", **budget.get("Budget")},
        NotificationsWithSubscribers=budget.get("NotificationsWithSubscribers"),
    )
    found = client.describe_budget(AccountId="123456789012", BudgetName="farthing")["Budget"]
    assert found["BudgetLimit"] == {"Amount": "35", "Unit": "USD"}
    notices = client.describe_notifications_for_budget(
        AccountId="123456789012", BudgetName="farthing"
    )["Notifications"]
    assert [it["Threshold"] for it in notices] == [80, 100]


@pytest.mark.parametrize(("access", "auth"), [("iam", "AWS_IAM"), ("keys", "NONE")])
def test_lambda_takes_alias_url_and_permissions(
    created: Any, aws: Any, project: Any, access: str, auth: str
) -> None:
    created({"Access": access})
    stack = make_stack(read_template(project), {"Access": access})
    client = aws("lambda")
    name = "farthing-classify"
    function = stack.function("classify")
    assert function is not None
    version = client.publish_version(FunctionName=name)["Version"]
    client.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
    client.create_function_url_config(
        FunctionName=name, Qualifier="live", AuthType=function.get("FunctionUrlConfig.AuthType")
    )
    found = client.get_function_url_config(FunctionName=name, Qualifier="live")
    assert found["AuthType"] == auth
    for index, it in enumerate(stack.of("AWS::Lambda::Permission")):
        if str(it.get("FunctionName")).endswith(f"{name}:live"):
            own = {k: v for k, v in it.properties.items() if k != "FunctionName"}
            client.add_permission(
                FunctionName=name, StatementId=f"s{index}", Qualifier="live", **own
            )
