"""Batch's resources: each planted mistake is named, choices are none, and AWS takes them."""

from __future__ import annotations

import ast
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import pytest

from farthing.deployment.aws import check, stack
from farthing.deployment.aws.stack import make_stack, read_template
from farthing.deployment.aws.states import DEFINITION, check_definition
from farthing.deployment.project import Project
from farthing.settings import read_settings
from farthing.storage import open_storage

if TYPE_CHECKING:
    from pathlib import Path

BATCH = {"Batch": "on", "BatchTask": "embed", "BatchId": "sku", "JobsKeptDays": "7"}
BUCKET = "  BatchBucket:\n    Type: AWS::S3::Bucket\n    Condition: WithBatch\n"
FUNCTION = "  BatchFunction:\n    Type: AWS::Serverless::Function\n    Condition: WithBatch\n"
SCHEDULE = "  BatchSchedule:\n    Type: AWS::Events::Rule\n"
RATE = "rate(15 minutes)\n      State: ENABLED\n      Targets:\n        - {Id: batch"
TARGET = "{Id: batch, Arn: !Ref BatchFunction.Alias}"
MAPPING = "  BatchMapping:\n    Type: AWS::Lambda::EventSourceMapping\n"
ERRORS = "  BatchErrors:\n    Type: AWS::CloudWatch::Alarm\n    Condition: WithBatch\n"
OUT_RIGHTS = "[!Sub '${BatchBucket.Arn}/out/*', !Sub '${BatchBucket.Arn}/jobs/*']"
TAKES = "                  - sqs:DeleteMessage\n"
KEPT = "            Prefix: jobs/\n            ExpirationInDays: !Ref JobsKeptDays\n"
SUMMED = "Value: !Sub '${AWS::StackName}-batch'}]\n            Period: 3600"
STARTS = "Action: states:StartExecution\n                Resource: !Ref"
NEVER = '"ErrorEquals": ["BudgetSpent", '


# Where batch is not there at all, and where it is with all that it can be joined by.
SCENARIOS = ({}, *(it for it in stack.SCENARIOS if "Batch" in it))


@pytest.fixture(autouse=True)
def few_scenarios(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped template is checked in all of them elsewhere."""
    monkeypatch.setattr(stack, "SCENARIOS", SCENARIOS)


def findings(checkout: Path) -> list[str]:
    return [str(finding) for finding in check(Project.read(checkout))]


def change(checkout: Path, was: str, becomes: str, file: str = "template.yaml") -> None:
    path = checkout / file
    text = path.read_text()
    assert was in text, was
    path.write_text(text.replace(was, becomes, 1))


# (what the template says, what a hand makes of it, what the finding says)
MISTAKES = [
    # The bucket, and what it tells of.
    (BUCKET, BUCKET.replace("    Condition: WithBatch\n", ""), "it is there all the same"),
    ("DependsOn: BatchQueuePolicy\n    DeletionPolicy: Retain\n", "DependsOn: BatchQueuePolicy\n",
     "what was scored would go with the stack"),
    ("    DependsOn: BatchQueuePolicy\n", "", "S3 refuses a notification before"),
    ("Value: in/}", "Value: inn/}", "what comes below in/"),
    ("Value: jobs/in/}", "Value: jobs/}", "what comes below jobs/in/"),
    ("Value: jobs/batches/in/}", "Value: out/}", "what comes below jobs/batches/in/"),
    ("Event: s3:ObjectCreated:*", "Event: s3:ObjectCreated:Put", "what comes below in/"),
    (KEPT, KEPT.replace("!Ref JobsKeptDays", "36500"), "is not kept for JobsKeptDays"),
    ("            Prefix: map/\n", "            Prefix: out/\n", "A rule deletes files or results"),
    ("Principal: {Service: s3.amazonaws.com}", "Principal: '*'", "or others may too"),
    # The queue.
    ("VisibilityTimeout: 5400", "VisibilityTimeout: 900", "6 calls' time is asked for"),
    ("maxReceiveCount: 5", "maxReceiveCount: 1", "a throttled call counts as a try too"),
    ("deadLetterTargetArn: !GetAtt BatchDeadLetters.Arn",
     "deadLetterTargetArn: !GetAtt DeadLetters.Arn",
     "sends back what it finds there"),
    ("QueueName, Value: !GetAtt BatchDeadLetters.QueueName", "QueueName, Value: batch",
     "No alarm says that BatchDeadLetters holds"),
    # What works it off.
    (MAPPING, MAPPING.replace("EventSourceMapping", "EventInvokeConfig"), "hands the messages of"),
    ("FunctionResponseTypes: [ReportBatchItemFailures]\n", "FunctionResponseTypes: []\n",
     "would bring the others back"),
    ("MaximumConcurrency: 10", "MaximumConcurrency: 1000", "it caps what a full queue costs"),
    ("BatchSize: 5", "BatchSize: 1000", "a quarter of an hour for all of them"),
    # What calls it when nothing else does.
    (SCHEDULE, SCHEDULE.replace("Rule", "EventBusPolicy"), "No schedule calls the alias of batch"),
    (TARGET, TARGET.replace("Batch", "Classify"), "No schedule calls the alias of batch"),
    (RATE, RATE.replace("15", "90"), "webhooks that failed wait for it"),
    (RATE, RATE.replace("ENABLED", "DISABLED"), "never be called"),
    ("!GetAtt BatchSchedule.Arn", "!GetAtt SettleSchedule.Arn", "lets the rule BatchSchedule"),
    ("      SourceArn: !GetAtt BatchSchedule.Arn\n", "", "Any account's events.amazonaws.com"),
    # What works it off.
    (FUNCTION, FUNCTION.replace("    Condition: WithBatch\n", ""), "where nothing calls it"),
    ("FUNCTION: batch", "FUNCTION: embed", "the function is batch"),
    ("      MemorySize: 1792\n      Timeout: 900\n      Role: !GetAtt BatchRole.Arn",
     "      MemorySize: 1024\n      Timeout: 900\n      Role: !GetAtt BatchRole.Arn",
     "gives batch 1792 MB"),
    ("FARTHING_BATCH_TASK: !Ref BatchTask", "FARTHING_BATCH_TASK: classify", "BatchTask says what"),
    ("FARTHING_BATCH_OUT: !Sub s3://${BatchBucket}/out",
     "FARTHING_BATCH_OUT: !Sub s3://${BatchBucket}/in",
     "results go beside what arrives"),
    ("FARTHING_BATCH_QUEUE: !Ref BatchQueue", "FARTHING_BATCH_QUEUE: !Ref BatchDeadLetters",
     "too large for a call is handed on"),
    ("FARTHING_BATCH_DEAD_LETTERS: !Ref BatchDeadLetters",
     "FARTHING_BATCH_DEAD_LETTERS: !Ref DeadLetters",
     "is kept there, with the reason"),
    ("          FARTHING_BATCH_STATE_MACHINE: !Ref BatchStateMachine\n", "", "handed to it"),
    ("          FARTHING_JOBS:\n", "          FARTHING_JBS:\n", "Batch is on"),
    ("{{resolve:secretsmanager:${WebhookSecret}}}", "${WebhookSecret}", "not read from Secrets"),
    # Its rights.
    (OUT_RIGHTS, "!Sub '${BatchBucket.Arn}/*'", "batch may s3:DeleteObject on"),
    (TAKES, "", "does not allow sqs:DeleteMessage"),
    (TAKES, f"{TAKES}                  - sqs:PurgeQueue\n", "batch may sqs:PurgeQueue"),
    (STARTS, STARTS.replace("StartE", "StopE"),
     "does not allow states:StartExecution"),
    ("${BatchBucket.Arn}/jobs/*\n", "${BatchBucket.Arn}/*\n", "classify may s3:DeleteObject on"),
    # The state machine.
    ("      Type: STANDARD\n", "      Type: EXPRESS\n", "only such a one runs a Distributed Map"),
    ("Tracing: {Enabled: !If [Traced, true, false]}", "Tracing: {Enabled: false}",
     "is traced where"),
    ("Principal: {Service: states.amazonaws.com}", "Principal: {Service: lambda.amazonaws.com}",
     "States cannot assume it"),
    ("execution:${AWS::StackName}-batch/shards:*", "execution:${AWS::StackName}-batch/rows:*",
     "does not allow states:RedriveExecution"),
    ("Action: [states:DescribeExecution, states:StopExecution]", "Action: states:DescribeExecution",
     "does not allow states:StopExecution"),
    ("MetricName: ExecutionsFailed", "MetricName: ExecutionsStarted", "were not all done"),
    # The wallet.
    ("(r_batch * ${Request} + d_batch * 1792 / 1024",
     "(r_batch * ${Request} + d_batch * 1024 / 1024",
     "1792 MB at the book's price"),
    ("/ 1024 / 1000 * ${GbSecond}) / 60", "/ 1024 / 1000 * ${GbSecond})",
     "a minute's part of 3600 s"),
    (SUMMED, SUMMED.replace("3600", "60"),
     "No alarm on spend counts batch"),
    ("            - Batch: !If [WithBatch, !Sub ',${AWS::StackName}-batch', '']\n",
     "            - Batch: ''\n", "it must stop every function"),
    ("                  - !If [WithBatch, !GetAtt BatchFunction.Arn, !Ref AWS::NoValue]\n", "",
     "does not allow lambda:PutFunctionConcurrency"),
    ("            ; aws lambda delete-function-concurrency",
     "            ; aws lambda put-function-concurrency",
     "how to start batch again"),
    ("!GetAtt BatchSpendAlarm.Arn", "!GetAtt SpendAlarm.Arn", "lets BatchSpendAlarm call the"),
    # Its watch.
    (ERRORS, ERRORS.replace("    Condition: WithBatch\n", ""), "an alarm costs by the month"),
    ("              Batch: !If [WithBatch, !Sub ',${BatchLogs}', '']\n",
     "              Batch: ''\n",
     "what a function costs is read from its log"),
    ("    Value: !Sub s3://${BatchBucket}/in/\n", "    Value: !Ref BatchBucket\n",
     "where files are put"),
    # What tells of requests that wait.
    ("          /v1/jobs/{id}: !If\n", "          /v1/job/{id}: !If\n", "answers GET /v1/jobs/"),
    ("          /v1/batches: !If\n", "          /v1/batch: !If\n", "answers POST /v1/batches,"),
    # Parameters.
    ("    AllowedValues: [classify, embed]\n", "    AllowedValues: [classify]\n", "one of these"),
    ("    Default: text\n    MinLength: 1\n", "    Default: text\n", "is in a named column"),
]  # fmt: skip


@pytest.mark.parametrize(("was", "becomes", "says"), MISTAKES, ids=lambda it: str(it)[:40])
def test_a_planted_mistake_is_named(checkout: Path, was: str, becomes: str, says: str) -> None:
    change(checkout, was, becomes)
    found = findings(checkout)
    assert any(says in finding for finding in found), found


@pytest.mark.parametrize(
    ("was", "becomes", "says"),
    [
        ('"Mode": "DISTRIBUTED"', '"Mode": "INLINE"', "EXPRESS children end"),
        ('"ExecutionType": "STANDARD"', '"ExecutionType": "EXPRESS"', "EXPRESS children end"),
        ('"MaxItemsPerBatch": 4', '"MaxItemsPerBatch": 4000', "which a call has time for"),
        ('"MaxItemsPerBatch": 4', '"MaxItemPerBatch": 4', "knows no such key"),
        ('"BatchInput": {"job.$": "$.job"}', '"BatchInput": {}', "must know the job"),
        ('"InputType": "JSON"', '"InputType": "CSV"', "the list is JSON"),
        ('"Key.$": "$.items"', '"Key.$": "$.plan"', "where the list is"),
        ('"MaxConcurrency": 10', '"MaxConcurrency": 10000', "it caps the bill"),
        ('"MaxConcurrency": 10', '"MaxConcurency": 10', "The states language refuses it"),
        ('"ToleratedFailurePercentage": 5', '"ToleratedFailurePercentage": 100', "all will"),
        ('"ResultPath": null', '"ResultPath": "$"', "would not know the job"),
        ('"Prefix": "map"', '"Prefix": "out"', "its role may write there"),
        ('"Label": "shards"', '"Label": "rows"', "runs of that label"),
        ('"Next": "Finish"', '"End": true', "nobody writes the manifest"),
        ('"shards": []', '"shards": [0]', "Make it {'FunctionName'"),
        ('"TimeoutSeconds": 960', '"TimeoutSeconds": 600', "more than the function's 900 s"),
        ('"TimeoutSeconds": 86400', '"TimeoutSeconds": 864000000', "an hour to a week"),
        (f'{NEVER}"InputChanged", ', NEVER, "or not tried again: InputChanged"),
        ('"Lambda.TooManyRequestsException"', '"Lambda.Throttled"', "gives up soon"),
        ('"ErrorEquals": ["States.ALL"]', '"ErrorEquals": ["States.Timeout"]', "that dies fails"),
        ('"JitterStrategy": "FULL"', '"JitterStrategy": "NONE"', "come back at once"),
        ('"BackoffRate": 2', '"BackoffRate": 1', "does not wait longer"),
        ('"BackoffRate": 2', '"BackofRate": 2', "A retry has no such key"),
        ('"Type": "Fail"', '"Type": "Succeed"', "The states language refuses it"),
        ('"BooleanEquals": true', '"BooleanEquals": false', "Nothing asks whether"),
        ('"StartAt": "Shards"', '"StartAt": "Finish"', "Begin with the Map"),
        ('"StartAt": "Shards",', '"StartAt": "Shards"', "It is no JSON"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_definition_is_named(
    checkout: Path, was: str, becomes: str, says: str
) -> None:
    change(checkout, was, becomes, DEFINITION)
    found = [str(it) for it in check_definition(Project.read(checkout))]
    assert any(says in finding for finding in found), found


@pytest.mark.parametrize(
    ("was", "becomes", "file"),
    [
        ("MaximumConcurrency: 10", "MaximumConcurrency: 50", "template.yaml"),
        (RATE, RATE.replace("15", "5"), "template.yaml"),
        ("BatchSize: 5", "BatchSize: 1", "template.yaml"),
        ("maxReceiveCount: 5", "maxReceiveCount: 10", "template.yaml"),
        ("    Default: text\n", "    Default: title\n", "template.yaml"),
        ('"MaxConcurrency": 10', '"MaxConcurrency": 100', DEFINITION),
        ('"MaxItemsPerBatch": 4', '"MaxItemsPerBatch": 1', DEFINITION),
    ],
)
def test_what_a_user_may_choose_is_no_finding(
    checkout: Path, was: str, becomes: str, file: str
) -> None:
    change(checkout, was, becomes, file)
    assert findings(checkout) == []


# -- created in moto ----------------------------------------------------------------------------


@pytest.fixture
def bucket(created: Any, aws: Any) -> str:
    created(BATCH)
    (name,) = {it["Name"] for it in aws("s3").list_buckets()["Buckets"]} - {"bucket"}
    return str(name)


def environment(aws: Any, name: str) -> dict[str, str]:
    read = aws("lambda").get_function_configuration(FunctionName=f"farthing-{name}")
    found: dict[str, str] = read["Environment"]["Variables"]
    return found


def test_the_addresses_that_functions_are_told_are_ones_that_the_storage_opens(
    bucket: str, aws: Any, moto_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    told = {name: environment(aws, name) for name in ("classify", "embed", "batch")}
    (jobs,) = {it["FARTHING_JOBS"] for it in told.values()}
    assert jobs == f"s3://{bucket}/jobs?region=us-east-1"
    out = told["batch"]["FARTHING_BATCH_OUT"]
    for address, key in ((jobs, "jobs/in/1.json"), (out, "out/in/1.json")):
        open_storage(f"{address}&endpoint={moto_server}").write("in/1.json", b"{}", expect=None)
        assert aws("s3").get_object(Bucket=bucket, Key=key)["Body"].read() == b"{}"


def test_what_the_function_is_told_are_settings_that_it_reads(bucket: str, aws: Any) -> None:
    told = environment(aws, "batch")
    settings = read_settings({**told, "FARTHING_PLATFORM": "lambda", "FARTHING_MEMORY_MB": "1792",
                              "FARTHING_REGION": "us-east-1"})  # fmt: skip
    assert (settings.batch_task, settings.batch_id) == ("embed", "sku")
    assert (settings.batch_text, settings.batch_format) == ("text", "jsonl")
    assert settings.batch_queue.rpartition("/")[2] != settings.batch_dead_letters.rpartition("/")[2]


def test_what_failed_often_goes_to_the_queue_that_the_function_knows(bucket: str, aws: Any) -> None:
    told, sqs = environment(aws, "batch"), aws("sqs")
    names = {url.rpartition("/")[2]: url for url in sqs.list_queues()["QueueUrls"]}
    queue = names[told["FARTHING_BATCH_QUEUE"].rpartition("/")[2]]
    found = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    policy = json.loads(found["RedrivePolicy"])
    letters = told["FARTHING_BATCH_DEAD_LETTERS"].rpartition("/")[2]
    assert policy["deadLetterTargetArn"].rpartition(":")[2] == letters
    assert (int(policy["maxReceiveCount"]), found["VisibilityTimeout"]) == (5, "5400")
    assert found["SqsManagedSseEnabled"] == "true"


def test_s3_takes_the_notifications_and_tells_the_queue(aws: Any, project: Any) -> None:
    found = make_stack(read_template(project), BATCH).resources["BatchBucket"]
    s3, sqs = aws("s3"), aws("sqs")
    queue = sqs.create_queue(QueueName="BatchQueue")["QueueUrl"]
    told = [
        {
            "QueueArn": it["Queue"],
            "Events": [it["Event"]],
            "Filter": {"Key": {"FilterRules": it["Filter"]["S3Key"]["Rules"]}},
        }
        for it in found.get("NotificationConfiguration.QueueConfigurations")
    ]
    s3.put_bucket_notification_configuration(
        Bucket="bucket", NotificationConfiguration={"QueueConfigurations": told}
    )
    for key in ("in/a.csv", "out/a/part-00000.jsonl", "jobs/in/1.json", "jobs/out/1.json",
                "jobs/batches/in/2.json"):  # fmt: skip
        s3.put_object(Bucket="bucket", Key=key, Body=b"x")
    heard = []
    while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            heard += [
                unquote_plus(it["s3"]["object"]["key"])
                for it in json.loads(message["Body"]).get("Records", [])
            ]
    wanted = ["in/a.csv", "jobs/batches/in/2.json", "jobs/in/1.json"]
    assert sorted(it for it in heard if "a.csv" in it or "json" in it) == wanted


def test_batch_may_not_change_what_arrives(created: Any, aws: Any) -> None:
    created(BATCH)
    iam = aws("iam")
    (role,) = [it["RoleName"] for it in iam.list_roles()["Roles"] if "BatchRole" in it["RoleName"]]
    read = iam.get_role_policy(RoleName=role, PolicyName="batch")["PolicyDocument"]
    writes = [
        resource
        for it in ast.literal_eval(read)["Statement"]
        if it and "s3:PutObject" in it["Action"]
        for resource in it["Resource"]
    ]
    assert sorted(it.partition("/")[2] for it in writes) == ["jobs/*", "out/*"]


def test_a_clock_calls_batch_and_no_other(created: Any, aws: Any) -> None:
    created(BATCH)
    (rule,) = aws("events").list_rules()["Rules"]
    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(15 minutes)", "ENABLED")
    (target,) = aws("events").list_targets_by_rule(Rule=rule["Name"])["Targets"]
    assert "batch" in target["Arn"].lower()


def test_without_batch_nothing_is_kept_or_polled(created: Any, aws: Any) -> None:
    created({})
    assert [it["Name"] for it in aws("s3").list_buckets()["Buckets"]] == ["bucket"]
    assert len(aws("sqs").list_queues()["QueueUrls"]) == 1
    assert aws("events").list_rules()["Rules"] == []
    names = {it["FunctionName"] for it in aws("lambda").list_functions()["Functions"]}
    assert "farthing-batch" not in names
    assert "FARTHING_JOBS" not in environment(aws, "classify")
