"""The index's resources: each planted mistake is named, choices are none, and S3 takes them."""

from __future__ import annotations

import ast
import json
from typing import TYPE_CHECKING, Any

import pytest

from farthing.deployment.aws import check
from farthing.deployment.aws.stack import make_stack, read_template
from farthing.deployment.project import Project
from farthing.errors import FileMissing
from farthing.storage import open_storage

if TYPE_CHECKING:
    from pathlib import Path

INDEX = {"Index": "bucket"}
BUCKET = "  IndexBucket:\n    Type: AWS::S3::Bucket\n    Condition: WithIndexBucket\n"
NAMED = "    Properties:\n      BucketEncryption"
INDEXER = (
    "  IndexerFunction:\n    Type: AWS::Serverless::Function\n    Condition: WithIndexBucket\n"
)
ALARM = "  IndexerErrors:\n    Type: AWS::CloudWatch::Alarm\n    Condition: WithIndexBucket\n"
ONE_WRITER = "what indexing costs.\n      ReservedConcurrentExecutions: 1\n"
SEARCHES = "            - !Sub s3://${IndexBucket}?region=${AWS::Region}\n            - !Ref"
REPLACED = "            NoncurrentVersionExpiration: {NoncurrentDays: 365}\n"
PUT_AWAY = "          - Id: archive\n            Status: Enabled"
WRITES = "          FARTHING_INDEX_WRITES:"
SCHEDULED = "rate(60 minutes)"


def findings(checkout: Path) -> list[str]:
    return [str(finding) for finding in check(Project.read(checkout))]


def change(checkout: Path, was: str, becomes: str) -> None:
    template = checkout / "template.yaml"
    text = template.read_text()
    assert was in text, was
    template.write_text(text.replace(was, becomes, 1))


# (what the template says, what a hand makes of it, what the finding says)
MISTAKES = [
    # The bucket.
    (BUCKET, BUCKET.replace("    Condition: WithIndexBucket\n", ""), "there are 1 buckets"),
    ("IndexBucket\n    DeletionPolicy: Retain\n", "IndexBucket\n", "the catalogue would go with"),
    ("SSEAlgorithm: AES256", "SSEAlgorithm: aws:kms", "billed by the request"),
    ("BlockPublicPolicy: true", "BlockPublicPolicy: false", "nobody else's to read"),
    ("        RestrictPublicBuckets: true\n", "", "nobody else's to read"),
    ("BucketOwnerEnforced", "ObjectWriter", "its policy alone says who may do what"),
    ("VersioningConfiguration: {Status: Enabled}", "VersioningConfiguration: {Status: Suspended}",
     "deleted by mistake is lost"),
    ("EventBridgeEnabled: true", "EventBridgeEnabled: false", "hears of writes by EventBridge"),
    (NAMED, NAMED.replace("BucketE", "BucketName: shop\n      BucketE"), "way of the next stack"),
    # What becomes of what is old.
    ("            Prefix: archive/\n", "            Prefix: archives/\n", "below archive/ stays"),
    ("{StorageClass: DEEP_ARCHIVE, TransitionInDays", "{StorageClass: GLACIER, TransitionInDays",
     "below archive/ stays"),
    (PUT_AWAY, PUT_AWAY.replace("Enabled", "Disabled"), "below archive/ stays"),
    ("            NoncurrentVersionTransitions:\n", "            Transitions:\n",
     "replaced versions stay in the dearest class"),
    (REPLACED, "", "replaced versions go before DEEP_ARCHIVE's 180 days, or never"),
    (REPLACED, REPLACED.replace("365", "60"), "replaced versions go before"),
    (REPLACED, f"{REPLACED}            ExpirationInDays: 365\n", "deletes what the index is made"),
    ("{DaysAfterInitiation: 1}", "{DaysAfterInitiation: 100}", "never finished uploading"),
    # Who gets in.
    ("aws:SecureTransport: 'false'", "aws:SecureTransport: 'true'", "refuses calls without TLS"),
    ("Resource: [!GetAtt IndexBucket.Arn, !Sub '${IndexBucket.Arn}/*']",
     "Resource: !GetAtt IndexBucket.Arn", "refuses calls without TLS"),
    ("          - Effect: Deny\n", "          - Effect: Allow\n", "lets somebody in"),
    # Who is told of it.
    (SEARCHES, SEARCHES.replace("?region=${AWS::Region}", ""), "FARTHING_INDEX: With Index=bucket"),
    ("[WithIndexBucket, queue,", "[WithIndexBucket, apply,", "one writer of many"),
    ("EphemeralStorage: !If [WithIndexBucket, {Size: !Ref IndexDiskMb}, !Ref AWS::NoValue]",
     "EphemeralStorage: {Size: 512}", "512 MB are there without it"),
    ("[WithIndexBucket, !Ref IndexDiskMb, !Ref AWS::NoValue]",
     "[WithIndexBucket, '512', !Ref AWS::NoValue]", "part of the price"),
    ("    Value: !Sub s3://${IndexBucket}", "    Value: !Sub s4://${IndexBucket}",
     "No output gives the index's address"),
    # Search may not publish; the indexer may, and alone.
    ("${IndexBucket.Arn}/writes/*", "${IndexBucket.Arn}/*", "search may s3:PutObject on"),
    ("Action: s3:GetObject\n", "Action: [s3:GetObject, s3:DeleteObject]\n",
     "search may s3:DeleteObject on"),
    ("                  Action: s3:ListBucket\n", "                  Action: s3:GetBucketPolicy\n",
     "does not allow s3:ListBucket"),
    ("[s3:DeleteObject, s3:GetObject, s3:PutObject]", "[s3:GetObject, s3:PutObject]",
     "does not allow s3:DeleteObject"),
    ("[s3:DeleteObject, s3:GetObject, s3:PutObject]",
     "[s3:DeleteObject, s3:GetObject, s3:PutObject, s3:PutBucketPolicy]",
     "indexer may s3:PutBucketPolicy"),
    ("Role: !GetAtt SearchRole.Arn", "Role: !GetAtt IndexerRole.Arn", "exists only under another"),
    (ONE_WRITER, ONE_WRITER.replace("1\n", "2\n"), "one writer at a time"),
    (ONE_WRITER, ONE_WRITER.partition("      ")[0], "one writer at a time"),
    ("FUNCTION: indexer", "FUNCTION: search", "the function is indexer"),
    (INDEXER, INDEXER.replace("    Condition: WithIndexBucket\n", ""), "where nothing calls it"),
    # Its rules.
    ("prefix: writes/", "prefix: write/", "when an object comes below writes/"),
    ("source: [aws.s3]", "source: [aws.ec2]", "when an object comes below writes/"),
    (SCHEDULED, "rate(90 minutes)", "what a run left behind waits for it"),
    (SCHEDULED, "rate(1 minute)", "a rate of 5 to 60 minutes"),
    ("      SourceArn: !GetAtt IndexerWrites.Arn\n", "", "Any account's events.amazonaws.com"),
    ("!GetAtt IndexerSchedule.Arn", "!GetAtt IndexerWrites.Arn", "lets the rule IndexerSchedule"),
    # Its watch.
    (ALARM, ALARM.replace("    Condition: WithIndexBucket\n", ""), "an alarm costs by the month"),
    ("'${AWS::StackName}-indexer:live'", "'${AWS::StackName}-indexer:dead'", "No alarm watches"),
    ("                  - !If [WithIndexBucket, !GetAtt IndexerLogs.Arn, !Ref AWS::NoValue]\n", "",
     "does not allow logs:FilterLogEvents"),
    ("Indexer: !If [WithIndexBucket, !Sub ',${IndexerLogs}', '']", "Indexer: ''",
     "what a function costs is read from its log"),
    # Parameters.
    ("    Default: sample\n", "    Default: bucket\n", "kept, unless asked for"),
    ("    MaxValue: 10240\n", "", "10,240 what Lambda gives"),
    ("    MaxValue: 180\n", "    MaxValue: 365\n", "half a year until it is deleted"),
    ("Assert: !Equals [!Ref IndexDiskMb, 512]", "Assert: !Equals [!Ref SnapStart, 'on']",
     "No rule refuses SnapStart with a larger disk"),
]  # fmt: skip


@pytest.mark.parametrize(("was", "becomes", "says"), MISTAKES, ids=lambda it: str(it)[:40])
def test_a_planted_mistake_is_named(checkout: Path, was: str, becomes: str, says: str) -> None:
    change(checkout, was, becomes)
    found = findings(checkout)
    assert any(says in finding for finding in found), found


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (SCHEDULED, "rate(15 minutes)"),
        (REPLACED, REPLACED.replace("365", "730")),
        ("    Default: 30\n    MinValue: 1\n", "    Default: 7\n    MinValue: 1\n"),
        (WRITES, f"          FARTHING_INDEX_POLL_S: '5'\n{WRITES}"),
    ],
)
def test_what_a_user_may_choose_is_no_finding(checkout: Path, was: str, becomes: str) -> None:
    change(checkout, was, becomes)
    assert findings(checkout) == []


# -- created in moto ----------------------------------------------------------------------------


@pytest.fixture
def bucket(created: Any, aws: Any) -> str:
    created({**INDEX, "ArchiveAfterDays": "7"})
    (name,) = {it["Name"] for it in aws("s3").list_buckets()["Buckets"]} - {"bucket"}
    return str(name)


def test_the_bucket_is_encrypted(bucket: str, aws: Any) -> None:
    found = aws("s3").get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    used = found["Rules"][0]["ApplyServerSideEncryptionByDefault"]
    assert used["SSEAlgorithm"] == "AES256"


def test_s3_takes_what_moto_leaves_out(aws: Any, project: Any) -> None:
    """The policy, the rules, the block and the versions."""
    stack = make_stack(read_template(project), {**INDEX, "ArchiveAfterDays": "7"})
    (bucket,) = stack.of("AWS::S3::Bucket")
    s3 = aws("s3")
    blocked = bucket.get("PublicAccessBlockConfiguration")
    s3.put_public_access_block(Bucket="bucket", PublicAccessBlockConfiguration=blocked)
    closed = s3.get_public_access_block(Bucket="bucket")["PublicAccessBlockConfiguration"]
    assert set(closed.values()) == {True}
    kept = bucket.get("VersioningConfiguration")
    s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration=kept)
    assert s3.get_bucket_versioning(Bucket="bucket")["Status"] == "Enabled"
    (policy,) = stack.of("AWS::S3::BucketPolicy")
    document = json.dumps(policy.get("PolicyDocument"))
    s3.put_bucket_policy(Bucket="bucket", Policy=document)
    rules = [as_the_api_says(it) for it in bucket.get("LifecycleConfiguration.Rules")]
    s3.put_bucket_lifecycle_configuration(Bucket="bucket", LifecycleConfiguration={"Rules": rules})
    assert s3.get_bucket_policy(Bucket="bucket")["Policy"] == document
    found = s3.get_bucket_lifecycle_configuration(Bucket="bucket")["Rules"]
    archive = next(it for it in found if it["ID"] == "archive")
    assert archive["Transitions"] == [{"Days": 7, "StorageClass": "DEEP_ARCHIVE"}]


def as_the_api_says(rule: dict[str, Any]) -> dict[str, Any]:
    """CloudFormation's words for a rule, in those of S3's own API."""

    def moved(parts: list[dict[str, Any]], days: str) -> list[dict[str, Any]]:
        return [
            {days: int(it["TransitionInDays"]), "StorageClass": it["StorageClass"]} for it in parts
        ]

    said = {
        "ID": rule["Id"],
        "Status": rule["Status"],
        "Filter": {"Prefix": rule.get("Prefix", "")},
    }
    for key in ("NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"):
        if key in rule:
            said[key] = rule[key]
    if "Transitions" in rule:
        said["Transitions"] = moved(rule["Transitions"], "Days")
    if "NoncurrentVersionTransitions" in rule:
        old = rule["NoncurrentVersionTransitions"]
        said["NoncurrentVersionTransitions"] = moved(old, "NoncurrentDays")
    if "ExpiredObjectDeleteMarker" in rule:
        said["Expiration"] = {"ExpiredObjectDeleteMarker": True}
    return said


def test_the_address_that_functions_are_told_is_one_that_the_storage_opens(
    bucket: str, aws: Any, moto_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    read = aws("lambda").get_function_configuration
    told = {
        name: read(FunctionName=f"farthing-{name}")["Environment"]["Variables"]
        for name in ("search", "indexer")
    }
    address = told["search"]["FARTHING_INDEX"]
    assert address == told["indexer"]["FARTHING_INDEX"] == f"s3://{bucket}?region=us-east-1"
    assert told["search"]["FARTHING_INDEX_WRITES"] == "queue"
    storage = open_storage(f"{address}&endpoint={moto_server}")
    with pytest.raises(FileMissing):
        storage.read("manifest.json")
    storage.write("writes/0.json", b"{}", expect=None)
    (kept,) = aws("s3").list_objects_v2(Bucket=bucket)["Contents"]
    assert kept["Key"] == "writes/0.json"


def test_the_indexer_runs_alone_and_is_called_by_writes_and_a_clock(created: Any, aws: Any) -> None:
    created(INDEX)
    read = aws("lambda").get_function_concurrency
    assert read(FunctionName="farthing-indexer")["ReservedConcurrentExecutions"] == 1
    rules = aws("events").list_rules()["Rules"]
    patterns = [json.loads(it["EventPattern"]) for it in rules if "EventPattern" in it]
    assert [it["detail"]["object"]["key"] for it in patterns] == [[{"prefix": "writes/"}]]
    assert [it["ScheduleExpression"] for it in rules if "ScheduleExpression" in it] == [SCHEDULED]
    for rule in rules:
        (target,) = aws("events").list_targets_by_rule(Rule=rule["Name"])["Targets"]
        assert "indexer" in target["Arn"].lower()


def test_search_may_queue_and_only_the_indexer_publish(created: Any, aws: Any) -> None:
    created(INDEX)
    iam = aws("iam")
    allowed: dict[str, dict[str, str]] = {}
    for name in (it["RoleName"] for it in iam.list_roles()["Roles"]):
        for policy in ("search", "indexer", "inference"):
            if f"{policy.title()}Role" in name:
                read = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
                allowed[policy] = {
                    action: it["Resource"]
                    for it in ast.literal_eval(read)["Statement"]
                    if it
                    for action in (
                        [it["Action"]] if isinstance(it["Action"], str) else it["Action"]
                    )
                    if action.startswith("s3:")
                }
    assert allowed["inference"] == {}
    assert allowed["search"].keys() == {"s3:ListBucket", "s3:GetObject", "s3:PutObject"}
    assert allowed["search"]["s3:PutObject"].endswith("/writes/*")
    assert allowed["indexer"]["s3:PutObject"].endswith("/*")
    assert "s3:DeleteObject" in allowed["indexer"]


def test_without_an_index_of_ones_own_nothing_is_kept_or_scheduled(created: Any, aws: Any) -> None:
    created({})
    assert [it["Name"] for it in aws("s3").list_buckets()["Buckets"]] == ["bucket"]
    assert aws("events").list_rules()["Rules"] == []
    names = {it["FunctionName"] for it in aws("lambda").list_functions()["Functions"]}
    assert "farthing-indexer" not in names
    read = aws("lambda").get_function_configuration(FunctionName="farthing-search")
    assert "FARTHING_INDEX" not in read["Environment"]["Variables"]
